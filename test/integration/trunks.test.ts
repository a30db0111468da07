/** Sessions of one process that share a connection (protocol.md §3.6): what they have in common, and what they must not. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  connect,
  createServer,
  type ConnectOptions,
  type Refusal,
  type Server,
  type ServerOptions,
  type ServerSocket,
  type Socket,
} from 'godwit';
import { OWN_CONNECTIONS } from '../../packages/godwit/src/carriers/sharing.ts';
import { findCollector } from '../../packages/godwit/src/carriers/collector.ts';
import { TRUNK_IDLE_MS } from '../../packages/godwit/src/carriers/client-trunk.ts';
import { FRUITLESS_CHANNELS_MAX } from '../../packages/godwit/src/server/trunks.ts';
import {
  NONCE_BYTES,
  RecordType,
  Role,
  encodeFrame,
  encodePreface,
  writeRecordHeader,
} from '../../packages/godwit/src/wire/index.ts';
import { startCluster } from './cluster.ts';
import { count, startCounters } from './counters.ts';
import { freePorts } from './free-ports.ts';
import { until } from './until.ts';

const FIXTURES = path.join(import.meta.dirname, '..', '..', 'bench', 'fixtures');
const IDENTITY = {
  cert: readFileSync(path.join(FIXTURES, 'tls-certificate.pem')),
  key: readFileSync(path.join(FIXTURES, 'tls-key.pem')),
};

/** Of X25519, as OPEN carries it. */
const KEY_SHARE = new Uint8Array(
  generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' }).subarray(-32),
);

function echo(socket: ServerSocket): void {
  socket.importState();
  socket.onExportState(() => '');
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
}

async function start(options: ServerOptions = {}, serve = echo): Promise<Server> {
  const server = createServer(options, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function addressOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sessions of a client. Ended before the servers are, which wait for them. */
class Clients extends Array<Socket> {
  [Symbol.dispose](): void {
    for (const client of this) client.destroy();
  }
}

/** What is held in arrays outside of V8's heap, and not only waits to be collected, in bytes. */
function heldBytes(): number {
  const collect = findCollector();
  assert.ok(collect !== undefined);
  collect({ type: 'major' });
  return process.memoryUsage().arrayBuffers;
}

/** So many sessions, all connected. */
async function open(
  sessions: number,
  servers: readonly string[],
  options: ConnectOptions = {},
): Promise<Clients> {
  const clients = new Clients();
  for (let count = 0; count < sessions; count += 1)
    clients.push(connect({ servers, standby: false, ...options }));
  await Promise.all(Array.from(clients, (client) => once(client, 'connect')));
  return clients;
}

async function echoes(client: Socket, text: string): Promise<void> {
  client.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(client, 'data'))[0]);
  assert.equal(received, text);
}

async function allEcho(clients: readonly Socket[], text: string): Promise<void> {
  await Promise.all(Array.from(clients, (client, index) => echoes(client, `${text} ${index}`)));
}

/** Something on the way that counts connections, and can swallow all that comes in those there are. */
class Relay {
  connections = 0;
  readonly #pairs = new Set<readonly [net.Socket, net.Socket]>();
  readonly #server: net.Server;

  constructor(portOf: () => number) {
    this.#server = net.createServer((near) => {
      this.connections += 1;
      const far = net.connect(portOf(), '127.0.0.1');
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      near.on('close', () => this.#pairs.delete(pair));
      for (const [from, into] of [pair, [far, near] as const]) {
        from.on('error', () => into.destroy());
        from.on('close', () => into.destroy());
        from.pipe(into);
      }
    });
  }

  /** Connections that are open. */
  get open(): number {
    return this.#pairs.size;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** The path of all connections there are is gone, without a word; new ones go through. */
  swallow(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe().resume();
      far.unpipe().resume();
    }
  }

  close(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.#server.close();
  }
}

/** A server that its clients know, and hear of, under the address of a relay, which ends with the test. */
async function startBehindRelay(
  t: TestContext,
  options: ServerOptions = {},
): Promise<{ server: Server; relay: Relay; address: string }> {
  const relay: Relay = new Relay(() => (server.address() as AddressInfo).port);
  await relay.listen();
  t.after(() => relay.close());
  const server = await start({ ...options, advertise: { host: '127.0.0.1', port: relay.port } });
  return { server, relay, address: `127.0.0.1:${relay.port}` };
}

test('the first sessions to a server have connections of their own, all further ones share one', async (t) => {
  const { server, relay, address } = await startBehindRelay(t);
  await using _server = server;
  using few = await open(OWN_CONNECTIONS, [address]);
  await allEcho(few, 'alone');
  assert.deepEqual([relay.connections, server.stats.trunks], [OWN_CONNECTIONS, 0]);
  using many = await open(40, [address]);
  await allEcho([...few, ...many], 'together');
  assert.deepEqual([relay.connections, server.stats.trunks], [OWN_CONNECTIONS + 1, 1]);
  assert.deepEqual(
    [server.stats.sessions, server.stats.carriers],
    [OWN_CONNECTIONS + 40, OWN_CONNECTIONS + 40],
  );
  // What they know of their ends is the connection's.
  assert.equal(new Set(Array.from(many, ({ localPort }) => localPort)).size, 1);
  // Where there is a shared connection, it is taken, though one of the others is free.
  few[0]?.destroy();
  await until(() => relay.open === OWN_CONNECTIONS);
  using next = await open(1, [address]);
  await allEcho(next, 'next');
  assert.deepEqual([relay.connections, relay.open], [OWN_CONNECTIONS + 1, OWN_CONNECTIONS]);
  assert.equal(next[0]?.localPort, many[0]?.localPort);
});

for (const [why, options] of [
  ['shareConnections is false', { shareConnections: false }],
  ['they say from which address', { localAddress: '127.0.0.1' }],
  ['they have a type of service', { typeOfService: 16 }],
  ['they want addresses of one family', { family: 4 }],
] as const)
  test(`sessions have connections of their own where ${why}`, async (t) => {
    const { server, relay, address } = await startBehindRelay(t);
    await using _server = server;
    using clients = await open(OWN_CONNECTIONS + 3, [address], options);
    await allEcho(clients, 'hello');
    assert.deepEqual([relay.connections, server.stats.trunks], [OWN_CONNECTIONS + 3, 0]);
  });

describe('the end', () => {
  test('of a session is nobody else’s; of the last one, after a while, the connection’s', async (t) => {
    const { server, address } = await startBehindRelay(t);
    await using _server = server;
    using clients = await open(OWN_CONNECTIONS + 3, [address]);
    const [ended, reset, left] = Array.from(clients).slice(OWN_CONNECTIONS) as [Socket, Socket, Socket];
    ended.end();
    await once(ended, 'close');
    reset.resetAndDestroy();
    await once(reset, 'close');
    await echoes(left, 'still here');
    for (const client of clients) client.destroy();
    const startedMs = performance.now();
    await until(() => server.stats.trunks === 0);
    assert.ok(performance.now() - startedMs > TRUNK_IDLE_MS / 2, 'kept for the next session');
  });

  test('of a server waits for the sessions, and closes the connection behind them', async () => {
    const server = await start();
    const address = addressOf(server);
    using clients = await open(OWN_CONNECTIONS + 3, [address]);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await allEcho(clients, 'still served');
    // As with connections of their own: no new ones.
    const late = connect({ servers: [address], giveUpTimeoutMs: 500 });
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    assert.ok(['ECONNREFUSED', 'ECONNRESET'].includes(String(error.code)), String(error.code));
    for (const client of clients) client.end();
    await closed;
    await until(() => server.stats.trunks === 0);
  });
});

test('one that is reset by an application, or breaks the protocol, costs the others nothing', async () => {
  await using server = await start();
  using clients = await open(OWN_CONNECTIONS + 10, [addressOf(server)]);
  const doomed = Array.from(clients).slice(-3);
  const victims = [...server.sessions].filter(({ sessionId }) =>
    doomed.some((client) => client.sessionId === sessionId),
  );
  const errors = doomed.map((client) => once(client, 'error'));
  for (const victim of victims) victim.resetAndDestroy();
  await Promise.all(errors);
  await allEcho(Array.from(clients).slice(0, -3), 'well');
});

describe('a process is killed', () => {
  test('and none of the sessions that share notices: every number comes once, in order', async (t) => {
    const ports = await freePorts(3);
    const counters = await startCounters(
      t,
      ports.map((port) => `127.0.0.1:${port}`),
    );
    const clients = Array.from({ length: OWN_CONNECTIONS + 12 }, () =>
      connect({ servers: counters.addresses }),
    );
    t.after(() => clients.forEach((client) => client.destroy()));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    const [killer, ...others] = clients.toReversed() as [Socket, ...Socket[]];
    await Promise.all([
      count(killer, counters, { to: 600, killEvery: 250 }),
      ...others.map((client) => count(client, counters, { to: 600, killEvery: Infinity })),
    ]);
    assert.equal(killer.migrations, 2);
    for (const client of others) assert.ok(client.migrations >= 1, 'it lived where nobody was killed');
  });
});

test('sessions that share move one by one, and all at once when their server drains', async () => {
  await using cluster = await startCluster(2, echo);
  using clients = await open(OWN_CONNECTIONS + 30, cluster.addresses.slice(0, 1), { standby: true });
  await allEcho(clients, 'before');
  const mover = clients.at(-1) as Socket;
  await mover.migrate({ to: 's1' });
  await allEcho(clients, 'one is there');
  assert.equal(await cluster.servers[0]?.drain(), OWN_CONNECTIONS + 29);
  await allEcho(clients, 'all are there');
  assert.equal(cluster.servers[1]?.stats.sessions, OWN_CONNECTIONS + 30);
  assert.ok(cluster.servers[1].stats.trunks >= 1);
});

test('a connection whose path is gone costs its sessions the time to notice; they go on over another one', async (t) => {
  const { server, relay, address } = await startBehindRelay(t);
  await using _server = server;
  using clients = await open(OWN_CONNECTIONS + 8, [address]);
  await allEcho(clients, 'before');
  const connections = relay.connections;
  relay.swallow();
  await allEcho(clients, 'behind the hole');
  assert.ok(relay.connections > connections);
  // A newcomer does not fall into it either.
  using late = await open(1, [address]);
  await allEcho(late, 'late');
});

test('a session that is opened on a connection whose path is gone gets another one', async (t) => {
  const { server, relay, address } = await startBehindRelay(t, { timers: { detachedTimeoutMs: 200 } });
  await using _server = server;
  using before = await open(OWN_CONNECTIONS + 1, [address]);
  await allEcho(before, 'before');
  relay.swallow();
  using late = await open(1, [address], { giveUpTimeoutMs: 5_000 });
  await allEcho(late, 'late');
  // Nothing else tells the server that nobody is there any more.
  relay.close();
});

test('over TLS sessions share a handshake, and each is bound to the connection', async (t) => {
  const { server, relay, address } = await startBehindRelay(t, { tls: IDENTITY });
  await using _server = server;
  const tls = { ca: IDENTITY.cert, servername: 'localhost' };
  using clients = await open(OWN_CONNECTIONS + 20, [address], { tls });
  await allEcho(clients, 'secret');
  assert.equal(relay.connections, OWN_CONNECTIONS + 1);
  for (const socket of server.sessions) assert.ok(socket.encrypted);
});

test('an application hears of its session in the asynchronous context in which it opened it', async () => {
  await using server = await start();
  using _others = await open(OWN_CONNECTIONS + 1, [addressOf(server)]);
  const context = new AsyncLocalStorage<number>();
  const seen = await Promise.all(
    Array.from({ length: 5 }, (_, index) =>
      context.run(index, async () => {
        const client = connect({ servers: [addressOf(server)], standby: false });
        const heard: unknown[] = [];
        client.on('connect', () => heard.push(context.getStore()));
        client.on('data', () => heard.push(context.getStore()));
        client.write('x');
        await once(client, 'data');
        client.destroy();
        return heard;
      }),
    ),
  );
  assert.deepEqual(
    seen,
    [0, 1, 2, 3, 4].map((index) => [index, index]),
  );
});

test('what a listener of one session throws is thrown, and the others get what is theirs', async () => {
  await using server = await start();
  using clients = await open(OWN_CONNECTIONS + 3, [addressOf(server)]);
  const [thrower, ...others] = Array.from(clients).slice(OWN_CONNECTIONS) as [Socket, ...Socket[]];
  thrower.on('data', () => {
    throw new Error('a bug of the application');
  });
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  thrower.write('x');
  await allEcho(others, 'well');
  assert.equal(((await thrown) as Error).message, 'a bug of the application');
  process.setUncaughtExceptionCaptureCallback(null);
});

test('where one session is denied, another on the same connection has all the time it would have by itself', async () => {
  let verdict = async (): Promise<boolean> => true;
  await using server = await start({ timers: { authenticateTimeoutMs: 1_000 }, authorize: () => verdict() });
  using _own = await open(OWN_CONNECTIONS, [addressOf(server)]);
  verdict = async () => false;
  const denied = connect({ servers: [addressOf(server)], standby: false });
  await once(denied, 'error');
  await wait(700);
  verdict = async () => {
    await wait(600);
    return true;
  };
  using late = await open(1, [addressOf(server)]);
  await allEcho(late, 'late');
});

describe('strangers', () => {
  function header(type: RecordType, channel: number, length = 0): Uint8Array {
    const bytes = new Uint8Array(8);
    writeRecordHeader(bytes, 0, { type, channel, length });
    return bytes;
  }

  function bytesOf(channel: number, bytes: Uint8Array): Uint8Array {
    return Buffer.concat([header(RecordType.Bytes, channel, bytes.byteLength), bytes]);
  }

  async function stranger(
    t: TestContext,
    server: Server,
    ...bytes: readonly Uint8Array[]
  ): Promise<net.Socket> {
    const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    socket.write(Buffer.concat([encodePreface(Role.Trunk), ...bytes]));
    return socket;
  }

  /** What the server says of those it refuses. */
  function refusalsOf(server: Server): Refusal[] {
    const refusals: Refusal[] = [];
    server.on('refused', (refusal: Refusal) => refusals.push(refusal));
    return refusals;
  }

  test('that say nothing in their channels are given up in time, and count until then', async (t) => {
    await using server = await start({
      timers: { authenticateTimeoutMs: 300 },
      limits: { prefaceTimeoutMs: 200 },
    });
    const refusals = refusalsOf(server);
    const socket = await stranger(t, server, header(RecordType.Open, 1), header(RecordType.Open, 2));
    await until(() => server.stats.halfOpen === 3);
    await once(socket, 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      Array(3).fill('ERR_GODWIT_TIMEOUT'),
    );
    assert.match(
      refusals.at(-1)?.message ?? '',
      /no channel of the connection came to anything within 300 ms/,
    );
    await until(() => server.stats.halfOpen === 0 && server.stats.trunks === 0);
  });

  test('that open no channel at all are given up in time', async (t) => {
    await using server = await start({ timers: { authenticateTimeoutMs: 200 } });
    const refusals = refusalsOf(server);
    await once(await stranger(t, server), 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_TIMEOUT'],
    );
    await until(() => server.stats.halfOpen === 0);
  });

  test('whose channels are more than an address may have are refused channel by channel', async (t) => {
    await using server = await start({ limits: { maxHalfOpenPerAddress: 4 } });
    const refusals = refusalsOf(server);
    const opens = Array.from({ length: 10 }, (_, index) => header(RecordType.Open, index + 1));
    await stranger(t, server, ...opens);
    await until(() => refusals.length === 7);
    assert.deepEqual(new Set(refusals.map(({ code }) => code)), new Set(['ERR_GODWIT_LIMIT_EXCEEDED']));
    assert.equal(server.stats.halfOpen, 4);
  });

  test('that open and close channels without end are refused, and cost nothing more', async (t) => {
    await using server = await start();
    const socket = await stranger(t, server);
    let refused = 0;
    let isChallenged = false;
    socket.on('data', (chunk: Buffer) => {
      // Of a server that was sent no preface, nothing but Close and Refused comes.
      for (let at = 0; at + 8 <= chunk.byteLength; at += 8) {
        if (chunk[at] === RecordType.Refused) refused += 1;
        else if (chunk[at] === RecordType.Bytes) isChallenged = true;
      }
    });
    const all = FRUITLESS_CHANNELS_MAX + 500;
    for (let channel = 1; channel <= all; channel += 1)
      socket.write(Buffer.concat([header(RecordType.Open, channel), header(RecordType.Close, channel)]));
    await until(() => refused > 0);
    assert.equal(isChallenged, false);
    // The same server serves everybody else.
    using clients = await open(1, [addressOf(server)]);
    await allEcho(clients, 'well');
  });

  for (const [what, records] of [
    ['what is no record', [Buffer.from('GET / HTTP/1.1\r\n')]],
    ['a channel twice', [header(RecordType.Open, 1), header(RecordType.Open, 1)]],
    ['bytes of a channel that is not open', [bytesOf(1, Buffer.from('x'))]],
  ] as const)
    test(`that send ${what} are hung up on, with a code`, async (t) => {
      await using server = await start();
      const refusals = refusalsOf(server);
      await once(await stranger(t, server, ...records), 'close');
      await until(() => refusals.length > 0);
      assert.ok(refusals.some(({ code }) => code === 'ERR_GODWIT_PROTOCOL'));
      await until(() => server.stats.halfOpen === 0);
    });

  test('that begin a trunk within a trunk, or a link of a member, are refused in that channel', async (t) => {
    await using server = await start();
    const refusals = refusalsOf(server);
    await stranger(
      t,
      server,
      header(RecordType.Open, 1),
      bytesOf(1, encodePreface(Role.Trunk)),
      header(RecordType.Open, 2),
      bytesOf(2, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    );
    await until(() => refusals.length === 2);
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_PROTOCOL'],
    );
    assert.match(refusals[0]?.message ?? '', /a channel begins with a client's preface, and not with role 2/);
  });

  test('that are not of Godwit are not served plainly in a channel', async (t) => {
    await using server = await start({
      plain: 'accept',
      plainAfterMs: 50,
      limits: { prefaceTimeoutMs: 200 },
    });
    const refusals = refusalsOf(server);
    await stranger(
      t,
      server,
      header(RecordType.Open, 1),
      bytesOf(1, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
      header(RecordType.Open, 2),
    );
    await until(() => refusals.length === 2);
    assert.equal(server.stats.plain, 0);
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_TIMEOUT'],
    );
  });

  /** An OPEN that the server takes, behind its preface. */
  function opening(): Buffer {
    return Buffer.concat([
      encodePreface(Role.Client),
      encodeFrame('open', {
        sessionId: new Uint8Array(randomBytes(16)),
        epoch: 1,
        service: '',
        keyShare: KEY_SHARE,
        nonce: new Uint8Array(randomBytes(NONCE_BYTES)),
        credit: 2 ** 21,
        retainLimitBytes: 2 ** 22,
        maxBodyBytes: 2 ** 20,
        features: 0,
      }),
    ]);
  }

  test('that were refused for want of room are taken again, once there is some and they are quiet', async (t) => {
    const held: (() => void)[] = [];
    let isHeld = true;
    await using server = await start({
      limits: { maxHalfOpenPerAddress: 8 },
      authorize: () => (isHeld ? new Promise((resolve) => held.push(() => resolve(true))) : true),
    });
    const alone = { servers: [addressOf(server)], standby: false, shareConnections: false };
    using _waiting = Clients.from(Array.from({ length: 7 }, () => connect(alone))) as Clients;
    await until(() => held.length === 7);
    const socket = await stranger(t, server);
    const opens = Array.from({ length: FRUITLESS_CHANNELS_MAX + 8 }, (_, index) =>
      header(RecordType.Open, index + 1),
    );
    let answered = 0;
    socket.on('data', (chunk: Buffer) => (answered += chunk.byteLength / 8));
    socket.write(Buffer.concat(opens));
    await until(() => answered === opens.length);
    isHeld = false;
    for (const go of held) go();
    await until(() => server.stats.halfOpen === 1);
    // The first of them that is taken is sent a CHALLENGE, which is more than Refused.
    let channel = opens.length;
    while (answered === Math.floor(answered) && answered <= channel) {
      channel += 1;
      socket.write(
        Buffer.concat([header(RecordType.Open, channel), bytesOf(channel, encodePreface(Role.Client))]),
      );
      await once(socket, 'data');
      await wait(100);
    }
    assert.ok(channel < opens.length + 90);
    socket.destroy();
  });

  test('that begin a link of a member in a channel are no less strangers for it', async (t) => {
    await using server = await start({ timers: { authenticateTimeoutMs: 300 } });
    const refusals = refusalsOf(server);
    const link = [header(RecordType.Open, 1), bytesOf(1, encodePreface(Role.Peer))];
    await once(await stranger(t, server, ...link), 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_TIMEOUT'],
    );
    await until(() => server.stats.halfOpen === 0);
  });

  test('that read nothing keep no more of a server’s memory than a connection may', async (t) => {
    await using server = await start({ timers: { detachedTimeoutMs: 100 } }, (socket) => {
      socket.on('error', () => undefined);
      socket.write(Buffer.alloc(256 * 1024));
    });
    const before = heldBytes();
    const socket = await stranger(t, server);
    socket.pause();
    const rounds = 40;
    const atOnce = 20;
    for (let round = 0; round < rounds; round += 1) {
      for (let index = 1; index <= atOnce; index += 1) {
        const channel = round * atOnce + index;
        socket.write(Buffer.concat([header(RecordType.Open, channel), bytesOf(channel, opening())]));
      }
      await until(() => server.stats.sessions > 0);
      for (let index = 1; index <= atOnce; index += 1)
        socket.write(header(RecordType.Close, round * atOnce + index));
      await until(() => server.stats.sessions === 0);
    }
    // 200 MiB were written for them.
    const held = heldBytes() - before;
    assert.ok(held < 32 * 2 ** 20, `${held} bytes`);
    socket.destroy();
  });

  test('that say a part of a preface in each of many channels keep no more than that', async (t) => {
    await using server = await start();
    const socket = await stranger(t, server);
    const before = heldBytes();
    const filler = Buffer.alloc(60 * 1024);
    const channels = 500;
    socket.write(header(RecordType.Open, 1));
    socket.write(header(RecordType.Close, 1));
    for (let channel = 2; channel < channels + 2; channel += 1) {
      // In one chunk with what is dropped, as a server reads it.
      const records = [
        header(RecordType.Open, channel),
        bytesOf(channel, Buffer.from('god')),
        bytesOf(1, filler),
      ];
      if (!socket.write(Buffer.concat(records))) await once(socket, 'drain');
    }
    await until(() => server.stats.halfOpen === channels + 1);
    const held = heldBytes() - before;
    assert.ok(held < (channels * filler.byteLength) / 10, `${held} bytes`);
    socket.destroy();
  });

  test('whose only channel ends before it is begun leave nothing behind', async (t) => {
    const asked = Promise.withResolvers<undefined>();
    const answer = Promise.withResolvers<boolean>();
    await using server = await start({
      authorize: () => {
        asked.resolve(undefined);
        return answer.promise;
      },
      timers: { detachedTimeoutMs: 100 },
    });
    const socket = await stranger(t, server, header(RecordType.Open, 1));
    // More than the server reads before it knows who is there.
    socket.write(bytesOf(1, Buffer.concat([opening(), Buffer.alloc(160 * 1024)])));
    await asked.promise;
    socket.write(Buffer.concat([bytesOf(1, Buffer.alloc(1_000)), header(RecordType.Close, 1)]));
    // It answers what was sent last, so it has read all of it.
    socket.write(Buffer.concat([header(RecordType.Open, 2), bytesOf(2, encodePreface(Role.Client))]));
    await once(socket, 'data');
    socket.write(header(RecordType.Close, 2));
    await until(() => server.stats.halfOpen === 2);
    answer.resolve(true);
    await until(() => server.stats.sessions === 0 && server.stats.carriers === 0);
    await until(() => server.stats.trunks === 0);
    socket.destroy();
  });
});

test('a server that knows no trunks is spoken to over connections of one’s own', async (t) => {
  await using server = await start();
  const { port } = server.address() as AddressInfo;
  let trunks = 0;
  // Hangs up on whoever says role 2, as a server of an older version would.
  const old = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => into.destroy());
      from.on('close', () => into.destroy());
    }
    far.pipe(near);
    near.once('data', (chunk: Buffer) => {
      if (chunk[10] === Role.Trunk) {
        trunks += 1;
        near.destroy();
        return;
      }
      far.write(chunk);
      near.pipe(far);
    });
  });
  old.listen(0, '127.0.0.1');
  await once(old, 'listening');
  t.after(() => old.close());
  const address = `127.0.0.1:${(old.address() as AddressInfo).port}`;
  using clients = await open(OWN_CONNECTIONS + 6, [address]);
  await allEcho(clients, 'hello');
  assert.equal(trunks, 1);
  for (const client of clients) client.destroy();
});
