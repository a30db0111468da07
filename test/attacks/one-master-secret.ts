/**
 * Somebody in between with a certificate that the client believes, who gives both of his TLS 1.2 connections one master secret
 * (the "triple handshake"): he takes the extension of RFC 7627 off the hello, has the secret sent under his own RSA key, and
 * sends it on under the server's. All else that the secret depends on is both ends' own, so their exporters are the same too.
 */
import {
  X509Certificate,
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Identity } from '../integration/certificates.ts';
import type { Member, Scene } from './scene.ts';

const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const CERTIFICATE = 11;
const CLIENT_KEY_EXCHANGE = 16;
const FINISHED = 20;
const TLS_1_2 = [3, 3];

/** TLS_RSA_WITH_AES_128_GCM_SHA256, and that there was no handshake before. */
const CIPHERS = Buffer.from([0, 4, 0x00, 0x9c, 0x00, 0xff]);

/** Name of the server, ALPN, groups, formats of points, signatures. What is not named is taken off. */
const EXTENSIONS_KEPT: ReadonlySet<number> = new Set([0, 16, 10, 11, 13]);

export interface OneMasterSecret extends Member {
  /** The first thing that the client says inside TLS. */
  readonly heard: Promise<Buffer>;
}

export async function oneMasterSecret(
  scene: Scene,
  to: Member,
  identity: Identity,
): Promise<OneMasterSecret> {
  const heard = Promise.withResolvers<Buffer>();
  const relay = net.createServer((client) => {
    const server = net.connect(to.port, to.host);
    for (const socket of [client, server]) {
      socket.on('error', () => undefined);
      scene.defer(() => void socket.destroy());
    }
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
    // Whoever hangs up in the midst of it ends it.
    stand(client, server, identity).then(heard.resolve, () => server.destroy());
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  scene.defer(() => void relay.close());
  const { port } = relay.address() as net.AddressInfo;
  return { name: 'relay', host: '127.0.0.1', port, heard: heard.promise };
}

async function stand(client: net.Socket, server: net.Socket, identity: Identity): Promise<Buffer> {
  const fromClient = new Records(client);
  const fromServer = new Records(server);
  const hello = await fromClient.message();
  const { stripped, random: clientRandom } = strip(hello);
  server.write(record(HANDSHAKE, stripped));
  const serverHello = await fromServer.message();
  const serverRandom = serverHello.subarray(6, 38);
  const certificate = await fromServer.message();
  const done = await fromServer.message();
  const ownCertificate = message(CERTIFICATE, sized(3, sized(3, new X509Certificate(identity.cert).raw)));
  client.write(record(HANDSHAKE, Buffer.concat([serverHello, ownCertificate, done])));
  const exchange = await fromClient.message();
  await fromClient.next(CHANGE_CIPHER_SPEC);
  await fromClient.next(HANDSHAKE);

  const padding = constants.RSA_PKCS1_PADDING;
  const secret = privateDecrypt({ key: identity.key, padding }, exchange.subarray(6));
  const { publicKey } = new X509Certificate(certificate.subarray(10));
  const sealed = publicEncrypt({ key: publicKey, padding }, secret);
  const ownExchange = message(CLIENT_KEY_EXCHANGE, sized(2, sealed));
  const master = prf(secret, 'master secret', [clientRandom, serverRandom], 48);
  const keys = prf(master, 'key expansion', [serverRandom, clientRandom], 40);
  const clientKeys = { key: keys.subarray(0, 16), salt: keys.subarray(32, 36) };
  const serverKeys = { key: keys.subarray(16, 32), salt: keys.subarray(36, 40) };
  const finished = (label: string, transcript: readonly Buffer[]): Buffer =>
    message(FINISHED, prf(master, label, [hash(transcript)], 12));

  const atServer = [stripped, serverHello, certificate, done, ownExchange];
  server.write(record(HANDSHAKE, ownExchange));
  server.write(record(CHANGE_CIPHER_SPEC, Buffer.from([1])));
  server.write(record(HANDSHAKE, seal(clientKeys, HANDSHAKE, finished('client finished', atServer))));
  await fromServer.next(CHANGE_CIPHER_SPEC);
  await fromServer.next(HANDSHAKE);
  const atClient = [hello, serverHello, ownCertificate, done, exchange];
  const whole = [...atClient, finished('client finished', atClient)];
  client.write(record(CHANGE_CIPHER_SPEC, Buffer.from([1])));
  client.write(record(HANDSHAKE, seal(serverKeys, HANDSHAKE, finished('server finished', whole))));

  // From here on keys and numbers of records are the same, so all passes as it is.
  server.on('data', (chunk: Buffer) => client.write(chunk));
  client.write(fromServer.stop());
  const first = await fromClient.next();
  server.write(record(first.type, first.body));
  client.on('data', (chunk: Buffer) => server.write(chunk));
  server.write(fromClient.stop());
  return open(clientKeys, first.body);
}

/** The hello of a client that has not heard of RFC 7627, nor of TLS 1.3. */
function strip(hello: Buffer): { stripped: Buffer; random: Buffer } {
  let at = 38 + 1 + hello.readUInt8(38);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  const end = at + 2 + hello.readUInt16BE(at);
  const kept: Buffer[] = [];
  for (let from = at + 2; from < end;) {
    const to = from + 4 + hello.readUInt16BE(from + 2);
    if (EXTENSIONS_KEPT.has(hello.readUInt16BE(from))) kept.push(hello.subarray(from, to));
    from = to;
  }
  const random = hello.subarray(6, 38);
  const noSession = Buffer.from([0]);
  const noCompression = Buffer.from([1, 0]);
  const extensions = sized(2, Buffer.concat(kept));
  const fields = [Buffer.from(TLS_1_2), random, noSession, CIPHERS, noCompression, extensions];
  return { stripped: message(1, Buffer.concat(fields)), random };
}

interface Keys {
  readonly key: Buffer;
  readonly salt: Buffer;
}

/** The first encrypted record of its way, number 0. */
function seal({ key, salt }: Keys, type: number, plain: Buffer): Buffer {
  const number = Buffer.alloc(8);
  const cipher = createCipheriv('aes-128-gcm', key, Buffer.concat([salt, number]));
  cipher.setAAD(Buffer.concat([number, Buffer.from([type, ...TLS_1_2, 0, plain.byteLength])]));
  return Buffer.concat([number, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Reads what is in a record; that it is whole is not our worry. */
function open({ key, salt }: Keys, body: Buffer): Buffer {
  const nonce = Buffer.concat([salt, body.subarray(0, 8)]);
  return createDecipheriv('aes-128-gcm', key, nonce).update(body.subarray(8, -16));
}

function prf(secret: Buffer, label: string, seeds: readonly Buffer[], length: number): Buffer {
  const seed = Buffer.concat([Buffer.from(label), ...seeds]);
  const parts: Buffer[] = [];
  let a = seed;
  for (let count = 0; count * 32 < length; count += 1) {
    a = createHmac('sha256', secret).update(a).digest();
    parts.push(createHmac('sha256', secret).update(a).update(seed).digest());
  }
  return Buffer.concat(parts).subarray(0, length);
}

function hash(parts: readonly Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

function sized(sizeBytes: number, bytes: Buffer): Buffer {
  const size = Buffer.alloc(sizeBytes);
  size.writeUIntBE(bytes.byteLength, 0, sizeBytes);
  return Buffer.concat([size, bytes]);
}

function message(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), sized(3, body)]);
}

function record(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, ...TLS_1_2]), sized(2, body)]);
}

/** The records of TLS that come over a socket, and the messages of the handshake in them. */
class Records {
  readonly #socket: net.Socket;
  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#wake();
  };
  #bytes = Buffer.alloc(0);
  #messages = Buffer.alloc(0);
  #wake = (): void => undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.on('close', () => this.#wake());
  }

  async next(expected?: number): Promise<{ readonly type: number; readonly body: Buffer }> {
    for (;;) {
      const end = this.#bytes.byteLength < 5 ? Infinity : 5 + this.#bytes.readUInt16BE(3);
      if (end <= this.#bytes.byteLength) {
        const type = this.#bytes.readUInt8(0);
        const body = this.#bytes.subarray(5, end);
        this.#bytes = this.#bytes.subarray(end);
        if (expected !== undefined && type !== expected) throw new Error(`a record of type ${type}`);
        return { type, body };
      }
      if (this.#socket.destroyed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async message(): Promise<Buffer> {
    for (;;) {
      const end = this.#messages.byteLength < 4 ? Infinity : 4 + this.#messages.readUIntBE(1, 3);
      if (end <= this.#messages.byteLength) {
        const found = this.#messages.subarray(0, end);
        this.#messages = this.#messages.subarray(end);
        return found;
      }
      this.#messages = Buffer.concat([this.#messages, (await this.next(HANDSHAKE)).body]);
    }
  }

  /** Reads no more; what was read and not asked for. */
  stop(): Buffer {
    this.#socket.off('data', this.#onData);
    return this.#bytes;
  }
}
