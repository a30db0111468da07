/** Tries what must be refused, again and again, so many times at once; and TLS handshakes, to compare. */
import { randomBytes, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import { TcpTransport, createServer, type Carrier, type ServerSocket } from 'godwit';
import {
  ATTACH_ID_BYTES,
  FrameDecoder,
  NO_MAC,
  NONCE_BYTES,
  Role,
  encodeFrame,
  encodePreface,
} from '../../packages/godwit/src/wire/index.ts';
import { runProgram } from '../harness/program.ts';

export type Attempt = 'handshake' | 'open' | 'migrate' | 'standby' | 'trigger';

export interface RefusalAttackerConfig {
  /** Of the victim, where that is a server. */
  readonly port?: number;
}

export interface AttackOptions {
  readonly attempt: Attempt;
  readonly count: number;
  /** More, until so long is over. Default 0. */
  readonly atLeastMs?: number;
}

/** Attempts under way at once, each over a connection of its own. */
const AT_ONCE = 16;
/** TRIGGERs in one write. */
const TRIGGERS_AT_ONCE = 64;

const PREFACE = encodePreface(Role.Client);

await runProgram(async ({ port }: RefusalAttackerConfig) => {
  const rogue = port === undefined ? await startRogueServer() : undefined;
  return {
    ready: rogue?.port ?? null,
    calls: {
      attack: async ({ attempt, count, atLeastMs = 0 }: AttackOptions): Promise<null> => {
        const endMs = performance.now() + atLeastMs;
        do {
          if (attempt === 'trigger') await rogue?.sendTriggers(count);
          else await attack(port as number, attempt, count);
        } while (performance.now() < endMs);
        return null;
      },
    },
  };
});

async function attack(port: number, attempt: Exclude<Attempt, 'trigger'>, count: number): Promise<void> {
  const bytes = attempt === 'handshake' ? undefined : Buffer.concat([PREFACE, await bogus(port, attempt)]);
  let left = count;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await (bytes === undefined ? handshake(port) : beRefused(port, bytes));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** A full one: no ticket is taken along. */
async function handshake(port: number): Promise<void> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const closed = once(socket, 'close');
  socket.end();
  await closed;
}

/** Throws when the server answers anything but a refusal. */
async function beRefused(port: number, bytes: Uint8Array): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(bytes);
  const frames = await framesOf(socket, (frame) => frame === 'refuse');
  if (frames.at(-1)?.frame !== 'refuse') throw new Error('the server did not refuse');
  const closed = once(socket, 'close');
  socket.end();
  await closed;
}

type Received = NonNullable<ReturnType<ReturnType<typeof FrameDecoder.forCarrier>['next']>>;

/** What the server says, up to a frame that is waited for. */
async function framesOf(socket: net.Socket, isLast: (frame: string) => boolean): Promise<Received[]> {
  const decoder = FrameDecoder.forCarrier('server');
  const frames: Received[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  socket.on('error', reject).on('end', () => reject(new Error('the server hung up')));
  socket.on('data', (chunk) => {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      frames.push(frame);
      if (isLast(frame.frame)) resolve(undefined);
    }
  });
  await promise;
  return frames;
}

/** The dearest of its kind: all is right but the proof, which is looked at last. */
async function bogus(port: number, attempt: 'open' | 'migrate' | 'standby'): Promise<Uint8Array> {
  // Of low order: the agreement is computed before that shows.
  if (attempt === 'open') return openFrame(new Uint8Array(32));
  const head = await ownTicket(port);
  if (attempt === 'standby') return encodeFrame('standby', { service: '', head, mac: randomBytes(16) });
  return encodeFrame('migrate', {
    service: '',
    head,
    body: new Uint8Array(0),
    epoch: 2,
    attachId: randomBytes(ATTACH_ID_BYTES),
    received: 0,
    delivered: 0,
    newestEpoch: 1,
    newestK: 0,
    digestFrom: 0,
    digest: 0,
    retainedFrom: 0,
    origin: 'elsewhere',
    originEpoch: 1,
    originState: 0,
    cause: 0,
    budgetMs: 3_000,
    credit: 65_536,
    retainLimitBytes: 65_536,
    maxBodyBytes: 65_536,
    mac: randomBytes(16),
  });
}

function openFrame(keyShare: Uint8Array): Uint8Array {
  return encodeFrame('open', {
    sessionId: randomBytes(16),
    epoch: 1,
    service: '',
    keyShare,
    nonce: randomBytes(NONCE_BYTES),
    credit: 65_536,
    retainLimitBytes: 65_536,
    maxBodyBytes: 65_536,
    features: 0,
  });
}

/** The ticket of a session of the attacker's own, as an honest server gives it to anybody. */
async function ownTicket(port: number): Promise<Uint8Array> {
  const { publicKey } = generateKeyPairSync('x25519');
  const share = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const socket = net.connect(port, '127.0.0.1');
  socket.write(Buffer.concat([PREFACE, openFrame(share)]));
  const frames = await framesOf(socket, (frame) => frame === 'snapshot');
  socket.destroy();
  const ticket = frames.find((frame) => frame.frame === 'snapshot');
  if (ticket?.frame !== 'snapshot') throw new Error('the server gave no ticket');
  return ticket.bytes;
}

/** A server that an honest client is connected to, and that sends it TRIGGERs which the cluster's key did not make. */
async function startRogueServer(): Promise<{
  port: number;
  sendTriggers: (count: number) => Promise<void>;
}> {
  const transport = new TcpTransport();
  let carrier: Carrier | undefined;
  let session: ServerSocket | undefined;
  const listenWith = transport.listen.bind(transport);
  transport.listen = (target, handlers) =>
    listenWith(target, {
      ...handlers,
      onCarrier: (accepted) => {
        carrier = accepted;
        handlers.onCarrier(accepted);
      },
    });
  const server = createServer({ transport }, (socket) => {
    session = socket;
    socket.on('error', () => undefined).on('data', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  let counter = 1;
  const trigger = (): Uint8Array =>
    encodeFrame('trigger', {
      sessionId: Buffer.from(session?.sessionId ?? '', 'hex'),
      epoch: session?.epoch ?? 0,
      counter: counter++,
      reason: 0,
      from: server.advertised?.name ?? '',
      name: 'elsewhere',
      host: '127.0.0.1',
      port: 9,
      mac: NO_MAC,
    });
  return {
    port: (server.address() as AddressInfo).port,
    sendTriggers: async (count) => {
      for (let sent = 0; sent < count; sent += TRIGGERS_AT_ONCE) {
        carrier?.write([Buffer.concat(Array.from({ length: TRIGGERS_AT_ONCE }, trigger))]);
        // It answers what comes behind them once it has handled them.
        session?.write('handled?');
        await once(session as ServerSocket, 'data');
      }
    },
  };
}
