/** Sessions of one process that share a connection (protocol.md §3.6): what they have in common, and what they must not. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connect, type Server, type ServerOptions, type Socket } from 'godwit';
import { OWN_CONNECTIONS } from '../../packages/godwit/src/carriers/sharing.ts';
import { TRUNK_IDLE_MS } from '../../packages/godwit/src/carriers/client-trunk.ts';
import { Role } from '../../packages/godwit/src/wire/index.ts';
import { addressOf, allEcho, echo, echoes, open, start } from './echo.ts';
import { startCluster } from './cluster.ts';
import { count, startCounters } from './counters.ts';
import { freePorts } from './free-ports.ts';
import { until } from './until.ts';

const FIXTURES = path.join(import.meta.dirname, '..', '..', 'bench', 'fixtures');
const IDENTITY = {
  cert: readFileSync(path.join(FIXTURES, 'tls-certificate.pem')),
  key: readFileSync(path.join(FIXTURES, 'tls-key.pem')),
};

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
