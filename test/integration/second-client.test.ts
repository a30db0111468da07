/**
 * A client written from docs/protocol.md alone, over a bare socket: if it gets along with our servers, a stranger's will.
 * It uses nothing of the library but the servers; the section that each step follows is named.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, test } from 'node:test';
import { createServer, type Server } from 'godwit';
import { freePorts } from './free-ports.ts';

const servers: Server[] = [];
const sockets: net.Socket[] = [];
after(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
});

test('a second client, made from the specification, opens a session and takes it to another server by its ticket', async () => {
  const ports = await freePorts(2);
  const members = ports.map((port) => `127.0.0.1:${port}`);
  for (const port of ports) servers.push(await echoServer(Number(port), members));

  // Opening (§5.5): preface, OPEN and input at once.
  const first = new Carrier(Number(ports[0]));
  const sessionId = crypto.randomBytes(16);
  const pair = crypto.generateKeyPairSync('x25519');
  const share = Buffer.from(pair.publicKey.export({ format: 'jwk' }).x as string, 'base64url');
  const nonce = crypto.randomBytes(16);
  const limits = [u64(1 << 20), u32(1 << 22), u32(1 << 20), u32(0)];
  const open = concat(sessionId, u48(1), text(''), share, nonce, ...limits);
  first.send(concat(hex('676f647769740d0a01010000'), frame(0x02, open), frame(0x10, Buffer.from('hello '))));

  const challenge = await first.next(0x01);
  assert.equal(challenge[0], 1);
  let ticket = readSnapshot(await first.next(0x13));
  assert.deepEqual([ticket.epoch, ticket.k, ticket.body.length], [1, 0, 0]);

  // The session secret (§8.2) and the MAC of SUPPORT (§8.3).
  const support = await first.next(0x03);
  const peerShare = support.subarray(9, 41);
  const publicKey = crypto.createPublicKey({
    key: { kty: 'OKP', crv: 'X25519', x: peerShare.toString('base64url') },
    format: 'jwk',
  });
  const shared = crypto.diffieHellman({ privateKey: pair.privateKey, publicKey });
  const salt = concat(nonce, support.subarray(43, 59));
  const info = concat(Buffer.from('godwit/1 session'), sessionId);
  const secret = Buffer.from(crypto.hkdfSync('sha256', shared, salt, info, 32));
  const macOf = (label: string, ...data: Buffer[]): Buffer =>
    crypto
      .createHmac('sha256', secret)
      .update(concat(Buffer.from(`godwit/1 ${label}\0`), ...data))
      .digest()
      .subarray(0, 16);
  assert.deepEqual(support.subarray(-16), macOf('support', open, support.subarray(0, -16)));

  // Output, and the ticket that covers it (§7.3). The application exports behind each answer.
  let output = (await first.next(0x10)).toString();
  assert.equal(output, 'HELLO ');
  first.send(frame(0x11, concat(u64(6), u64(1 << 20))));
  ticket = readSnapshot(await first.next(0x13));
  assert.deepEqual([ticket.input, ticket.output], [6, 6]);
  first.send(frame(0x14, concat(u48(ticket.epoch), u48(ticket.k))));
  first.socket.destroy();

  // The same session elsewhere (§5.6, §10.5): 'migrat' was sent to nobody, and is input from offset 6 on.
  const second = new Carrier(Number(ports[1]));
  second.send(hex('676f647769740d0a01010000'));
  const answer = await second.next(0x01);
  const serverName = answer.subarray(19, 19 + answer.readUInt16BE(17));
  const attachId = crypto.randomBytes(8);
  const position = concat(
    ...[u48(2), attachId, u64(6), u64(6), u48(ticket.epoch), u48(ticket.k), u64(6), u32(0), u64(6)],
    ...[
      text(`127.0.0.1:${ports[0]}`),
      u48(1),
      u8(1),
      u8(0),
      u32(3000),
      u64(1 << 20),
      u32(1 << 22),
      u32(1 << 20),
    ],
  );
  const migrate = concat(text(''), bytes(ticket.head), bytes(ticket.body), position);
  const proof = macOf('migrate', serverName, answer.subarray(1, 17), migrate);
  second.send(frame(0x06, concat(migrate, proof)));

  const accept = await second.next(0x07);
  assert.deepEqual(accept.subarray(-16), macOf('accept', attachId, accept.subarray(0, -16)));
  assert.equal(accept[6], 2, 'the source is the ticket');
  assert.deepEqual(
    [accept.readBigUInt64BE(27), accept.readBigUInt64BE(35)],
    [6n, 6n],
    'both streams go on at 6',
  );
  const confirm = u48(2);
  second.send(frame(0x0a, concat(confirm, macOf('confirm', accept, confirm))));
  second.send(concat(frame(0x10, Buffer.from('again')), frame(0x12, u64(11))));
  output += (await second.next(0x10)).toString();
  assert.equal(output, 'HELLO AGAIN');

  // The end (§5.12): FIN, CLOSE, CLOSE_ACK.
  assert.deepEqual(await second.next(0x12), u64(11));
  const close = await second.next(0x1a);
  assert.deepEqual(close.subarray(-16), macOf('close-server', close.subarray(0, -16)));
  second.send(frame(0x1b, hex('')));
  await once(second.socket, 'close');
});

/** Answers in capitals, and exports its (empty) state behind each answer. */
async function echoServer(port: number, members: readonly string[]): Promise<Server> {
  const server = createServer(
    { keys: 'cd'.repeat(32), members, timers: { snapshotIntervalMs: 20 } },
    (socket) => {
      socket.on('data', (chunk: Buffer) => {
        socket.write(chunk.toString().toUpperCase());
        socket.exportState('state');
      });
      socket.on('error', () => undefined);
    },
  );
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** A TCP connection as a sequence of frames (§4.1). */
class Carrier {
  readonly socket: net.Socket;
  #received: Buffer = Buffer.alloc(0);
  constructor(port: number) {
    this.socket = net.connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = concat(this.#received, chunk);
    });
    sockets.push(this.socket);
  }
  send(data: Buffer): void {
    this.socket.write(data);
  }
  /** The payload of the next frame of that type; others in between are passed over. */
  async next(type: number): Promise<Buffer> {
    for (;;) {
      while (this.#received.length < 4 || this.#received.length < 4 + this.#received.readUIntBE(1, 3)) {
        await once(this.socket, 'data');
      }
      const [found] = this.#received;
      const end = 4 + this.#received.readUIntBE(1, 3);
      const payload = this.#received.subarray(4, end);
      this.#received = this.#received.subarray(end);
      if (found === 0x08) throw new Error(`REFUSE: ${payload.subarray(11).toString()}`);
      if (found === 0x18) throw new Error(`RESET: ${payload.subarray(10, -16).toString()}`);
      if (found === type) return payload;
    }
  }
}

interface Ticket {
  readonly epoch: number;
  readonly k: number;
  readonly input: number;
  readonly output: number;
  readonly head: Buffer;
  readonly body: Buffer;
}

/** A ticket that came in one piece (§5.9). */
function readSnapshot(payload: Buffer): Ticket {
  const headBytes = payload.readUInt16BE(28);
  const whole = payload.subarray(38);
  assert.equal(payload.readUInt32BE(30), whole.length);
  return {
    epoch: payload.readUIntBE(0, 6),
    k: payload.readUIntBE(6, 6),
    input: Number(payload.readBigUInt64BE(12)),
    output: Number(payload.readBigUInt64BE(20)),
    head: whole.subarray(0, headBytes),
    body: whole.subarray(headBytes),
  };
}

function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header[0] = type;
  header.writeUIntBE(payload.length, 1, 3);
  return concat(header, payload);
}

function concat(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}
function hex(digits: string): Buffer {
  return Buffer.from(digits, 'hex');
}
function unsigned(value: number, length: number): Buffer {
  return hex(value.toString(16).padStart(length * 2, '0'));
}
function u8(value: number): Buffer {
  return unsigned(value, 1);
}
function u32(value: number): Buffer {
  return unsigned(value, 4);
}
function u48(value: number): Buffer {
  return unsigned(value, 6);
}
function u64(value: number): Buffer {
  return unsigned(value, 8);
}
function bytes(value: Uint8Array): Buffer {
  return concat(unsigned(value.length, 2), value);
}
function text(value: string): Buffer {
  return bytes(Buffer.from(value));
}
