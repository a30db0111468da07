/** A server that has too much to do: sessions go elsewhere first, then new ones do, then the largest; and none loses a byte. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import {
  connect,
  createServer,
  overloadPolicy,
  type GodwitError,
  type OverloadChange,
  type OverloadPolicy,
  type Refusal,
  type Relief,
  type Server,
  type ServerSocket,
  type Socket,
} from 'godwit';
import { Role, encodeFrame, encodePreface } from '../../packages/godwit/src/wire/index.ts';
import { startCluster, type Cluster } from './cluster.ts';

/** Answers each byte with its complement. Its state is empty: all it needs is the input. */
function complement(socket: ServerSocket): void {
  socket.onExportState(() => '');
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(chunk.map((byte) => 255 - byte)));
  socket.on('end', () => socket.end());
}

const MIB = 1024 * 1024;
const CHUNK_BYTES = 4096;

/**
 * Sends so many chunks at a pace, and more until it `mayEnd`, and checks every byte of the answer; resolves with how often the
 * session has moved.
 */
async function exchange(
  socket: Socket,
  chunks: number,
  pauseMs: number,
  mayEnd: () => boolean = () => true,
): Promise<number> {
  const byteAt = (offset: number): number => (offset * 7 + (offset >> 8)) & 255;
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    for (const byte of chunk) {
      if (byte !== 255 - byteAt(received)) assert.fail(`byte ${received} is ${byte}`);
      received += 1;
    }
  });
  const ended = once(socket, 'end');
  let chunk = 0;
  for (; chunk < chunks || !mayEnd(); chunk += 1) {
    socket.write(Uint8Array.from({ length: CHUNK_BYTES }, (_, index) => byteAt(chunk * CHUNK_BYTES + index)));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  socket.end();
  await ended;
  assert.equal(received, chunk * CHUNK_BYTES);
  return socket.migrations;
}

async function open(servers: readonly (string | undefined)[]): Promise<Socket> {
  const socket = connect({ servers: servers as string[] });
  await once(socket, 'connect');
  return socket;
}

/** Peers that connect, `perTurn` every few milliseconds, and say no more than `first`, if that. */
class Flood {
  readonly #sockets = new Set<net.Socket>();
  readonly #timer: NodeJS.Timeout;
  begun = 0;

  constructor(t: TestContext, address: string, perTurn: number, first?: () => Uint8Array) {
    const [host, port] = address.split(':') as [string, string];
    this.#timer = setInterval(() => {
      for (let count = 0; count < perTurn; count += 1) {
        const socket = net.connect({ host, port: Number(port) });
        this.begun += 1;
        this.#sockets.add(socket);
        socket.on('error', () => undefined).resume();
        if (first !== undefined) socket.write(first());
        socket.on('close', () => this.#sockets.delete(socket));
      }
    }, 5);
    t.after(() => this.stop());
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** What a server does about its overload, and whom it refuses, in order. */
function watch(server: Server | undefined): { readonly reliefs: Relief[]; readonly order: string[] } {
  const [reliefs, order]: [Relief[], string[]] = [[], []];
  server?.on('overload', ({ relief }: OverloadChange) => {
    reliefs.push(relief);
    order.push(relief);
  });
  server?.on('refused', ({ code }: Refusal) => order.push(code));
  return { reliefs, order };
}

const FLOODED = { maxHalfOpen: 200, maxHalfOpenPerAddress: 200 };

test('under a flood of connections a server sends its sessions elsewhere before it refuses anybody, and none loses a byte', async (t) => {
  await using cluster = await startCluster(3, complement, { limits: FLOODED });
  const [flooded, ...others] = cluster.servers;
  const { reliefs, order } = watch(flooded);
  const sockets = await Promise.all(Array.from({ length: 24 }, () => open([cluster.addresses[0]])));
  // On a busy machine the flood takes its time.
  const exchanges = sockets.map((socket) => exchange(socket, 40, 50, () => socket.migrations > 0));
  let movedBeforeRefusal = -1;
  flooded?.once('refused', () => {
    movedBeforeRefusal = flooded.stats.movedAway;
  });
  const flood = new Flood(t, cluster.addresses[0] as string, 2);
  while (flooded?.stats.sessions !== 0) await new Promise((resolve) => setTimeout(resolve, 10));
  // Whoever knows more than the flooded server gets in, in the midst of it.
  const late = await open(cluster.addresses);
  await exchange(late, 2, 1);
  const moves = await Promise.all(exchanges);
  flood.stop();
  assert.ok(moves.every((count) => count >= 1));
  // A client may find its server slow, and leave before it is asked to.
  assert.ok((flooded?.stats.shed ?? 0) > sockets.length / 4, `${flooded?.stats.shed} were sent elsewhere`);
  assert.deepEqual(reliefs.slice(0, 2), ['shed', 'refuse']);
  assert.ok(order.indexOf('shed') < order.findIndex((what) => what.startsWith('ERR_')));
  assert.ok(movedBeforeRefusal > 0, 'sessions had moved before anybody was refused');
  assert.ok(flood.begun > FLOODED.maxHalfOpen, `${flood.begun} connections are no flood`);
  assert.ok(others.every(({ stats }) => stats.restored > 0));
});

/** A share that all of a flood have in common: it costs the attacker nothing. */
const KEY_SHARE = generateKeyPairSync('x25519')
  .publicKey.export({ format: 'der', type: 'spki' })
  .subarray(-32);

test('under a flood of OPENs, too, sessions that live leave before anybody is refused, and none loses a byte', async (t) => {
  await using cluster = await startCluster(2, complement, { limits: { maxMemoryBytes: 2 * MIB } });
  const [flooded] = cluster.servers;
  const { order } = watch(flooded);
  const sockets = await Promise.all(Array.from({ length: 12 }, () => open([cluster.addresses[0]])));
  // On a busy machine the flood takes its time.
  const exchanges = sockets.map((socket) => exchange(socket, 40, 50, () => socket.migrations > 0));
  const flood = new Flood(t, cluster.addresses[0] as string, 1, () =>
    Buffer.concat([
      encodePreface(Role.Client),
      encodeFrame('open', {
        sessionId: randomBytes(16),
        epoch: 1,
        service: '',
        keyShare: KEY_SHARE,
        nonce: randomBytes(16),
        credit: 65_536,
        retainLimitBytes: 65_536,
        maxBodyBytes: 65_536,
        features: 0,
      }),
    ]),
  );
  while (!order.includes('ERR_GODWIT_BUSY')) await new Promise((resolve) => setTimeout(resolve, 10));
  const moves = await Promise.all(exchanges);
  flood.stop();
  assert.ok(moves.every((count) => count >= 1));
  assert.ok((flooded?.stats.shed ?? 0) > 0);
  assert.ok(order.indexOf('shed') < order.indexOf('ERR_GODWIT_BUSY'));
});

test('a flooded server without others goes on with the sessions it has, refuses new ones, and takes some again later', async (t) => {
  await using cluster = await startCluster(1, complement, { limits: FLOODED });
  const [server] = cluster.servers;
  const { reliefs } = watch(server);
  const sockets = await Promise.all(Array.from({ length: 8 }, () => open(cluster.addresses)));
  const exchanges = sockets.map((socket) => exchange(socket, 20, 50));
  const flood = new Flood(t, cluster.addresses[0] as string, 1);
  while (server?.stats.relief !== 'refuse') await new Promise((resolve) => setTimeout(resolve, 5));
  const refused = connect({ servers: cluster.addresses });
  const [{ code }] = (await once(refused, 'error')) as [GodwitError];
  assert.ok(['ERR_GODWIT_BUSY', 'ECONNRESET'].includes(code), code);
  assert.deepEqual(new Set(await Promise.all(exchanges)), new Set([0]));
  flood.stop();
  while (reliefs.at(-1) !== 'none') await once(server, 'overload');
  assert.equal(await exchange(await open(cluster.addresses), 1, 1), 0);
});

test('what a policy sees is what the server has, the delay of the event loop included, and what it says is done', async () => {
  const delays: number[] = [];
  let relief: Relief = 'none';
  const policy: OverloadPolicy = {
    measuresEventLoop: true,
    judge: (load) => {
      delays.push(load.eventLoopDelayMs);
      return relief;
    },
  };
  await using cluster = await startCluster(2, complement, { overload: policy });
  const socket = await open([cluster.addresses[0]]);
  while (delays.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const [seen, until] = [delays.length, performance.now() + 300];
  while (performance.now() < until);
  while (delays.length === seen) await new Promise((resolve) => setTimeout(resolve, 5));
  const delay = delays[seen] ?? 0;
  assert.ok(delay > 40, `the loop was held up for 300 ms, and the policy told of ${delay} ms`);
  relief = 'shed';
  await once(socket, 'migrated');
  assert.equal(socket.currentServer?.name, 's1');
  relief = 'none';
  socket.destroy();
});

/** Clients that read nothing, to each of which a server writes so much. */
async function pinMemory(
  cluster: Cluster,
  count: number,
  bytes: number,
  onFailed: (code: string) => void,
): Promise<Socket[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => open([cluster.addresses[0]])));
  for (const socket of sockets) {
    socket.on('error', ({ code }: GodwitError) => onFailed(code));
    socket.pause();
    socket.write(String(bytes));
  }
  return sockets;
}

/** Writes as many bytes as it is asked for, at once. */
function writer(socket: ServerSocket): void {
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(Buffer.alloc(Number(chunk), 1)));
}

test('a server that has more in memory than it may ends the sessions that hold most, with a code at both ends, and no others', async () => {
  await using cluster = await startCluster(1, writer, {
    limits: { maxMemoryBytes: 16 * MIB },
    overload: overloadPolicy({ shedAt: 1, refuseAt: 1 }),
  });
  const [server] = cluster.servers;
  const { reliefs } = watch(server);
  const small = await open(cluster.addresses);
  small.write('10');
  assert.equal(((await once(small, 'data')) as [Buffer])[0].byteLength, 10);
  const atServer: string[] = [];
  server?.on('connection', (socket: ServerSocket) => {
    socket.on('error', ({ code }: GodwitError) => atServer.push(code));
  });
  const codes: string[] = [];
  const large = await pinMemory(cluster, 12, 5 * MIB, (code) => codes.push(code));
  while (codes.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  // What is left grows on, up to what a session may hold, and may be too much once more.
  const isBelow = (): boolean => (server?.stats.memoryBytes ?? Infinity) < 16 * MIB;
  while (!isBelow() || server?.stats.relief === 'end')
    await new Promise((resolve) => setTimeout(resolve, 10));
  while (atServer.length < codes.length) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(new Set([...codes, ...atServer]), new Set(['ERR_GODWIT_OVERLOADED']));
  assert.equal(reliefs[0], 'end');
  assert.ok((server?.stats.sessions ?? 0) >= 6, 'no more than it took');
  small.write('20');
  assert.equal(((await once(small, 'data')) as [Buffer])[0].byteLength, 20);
  for (const socket of [small, ...large]) socket.destroy();
});

test('where there are other servers, sessions that must end go on there from their tickets, and lose nothing', async () => {
  let relief: Relief = 'none';
  const policy: OverloadPolicy = { measuresEventLoop: false, judge: () => relief };
  // The first server alone: where both end what the other sends there is nowhere to go.
  await using cluster = await startCluster(2, complement, (name) =>
    name === 's0' ? { overload: policy } : {},
  );
  const sockets = await Promise.all(Array.from({ length: 4 }, () => open([cluster.addresses[0]])));
  const codes: string[] = [];
  for (const socket of cluster.servers[0]?.sessions ?? [])
    socket.on('error', ({ code }: GodwitError) => codes.push(code));
  const exchanges = sockets.map((socket) => exchange(socket, 20, 20));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const sources: string[] = [];
  for (const socket of sockets) socket.on('migrated', ({ source }) => sources.push(source));
  relief = 'end';
  while (cluster.servers[0]?.stats.sessions !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
  relief = 'none';
  await Promise.all(exchanges);
  // Some may have left before their end came.
  assert.ok(codes.includes('ERR_GODWIT_OVERLOADED'), codes.join());
  assert.deepEqual(
    new Set([...codes, 'ERR_GODWIT_MOVED']),
    new Set(['ERR_GODWIT_OVERLOADED', 'ERR_GODWIT_MOVED']),
  );
  assert.ok(sources.includes('ticket'), sources.join());
});

test('a policy that is none is refused', () => {
  assert.throws(() => createServer({ overload: {} as OverloadPolicy }), { code: 'ERR_INVALID_ARG_TYPE' });
});
