/** Servers with a fence, over real sockets (protocol.md §10.10). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  connect,
  createLocalFence,
  createServer,
  type Fence,
  type FenceRecord,
  type ServerOptions,
  type Socket,
} from 'godwit';
import { startCluster } from './cluster.ts';

/** Never answers until it is told to. */
class SilentFence implements Fence {
  readonly #inner = createLocalFence();
  isSilent = true;
  read(key: string): ReturnType<Fence['read']> {
    return this.isSilent ? new Promise(() => undefined) : this.#inner.read(key);
  }
  compareAndSet(...given: Parameters<Fence['compareAndSet']>): Promise<boolean> {
    return this.#inner.compareAndSet(...given);
  }
}

/** The next answer that is as long as all that was asked. */
async function ask(client: Socket, text: string): Promise<string> {
  client.write(text);
  let answer = '';
  while (answer.length < text.length) answer += String(((await once(client, 'data')) as [Buffer])[0]);
  return answer;
}

const cluster = (size: number, options: ServerOptions): ReturnType<typeof startCluster> =>
  startCluster(
    size,
    (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        socket.write(chunk.toString().toUpperCase());
        socket.exportState('state');
      });
    },
    { delivery: 'commit', ...options },
  );

test('a session that moves, and survives the death of its server, is fenced wherever it lives, and leaves an ended record', async () => {
  const inner = createLocalFence();
  const written: FenceRecord[] = [];
  const ended = Promise.withResolvers<undefined>();
  const fence: Fence = {
    read: (key) => inner.read(key),
    compareAndSet: (key, record, ...more) => {
      written.push(record);
      if (record.ended) ended.resolve(undefined);
      return inner.compareAndSet(key, record, ...more);
    },
  };
  await using servers = await cluster(3, { fence, fenceMode: 'strict' });
  const client = connect({ servers: servers.addresses });
  client.on('error', () => undefined);
  assert.equal(await ask(client, 'one'), 'ONE');
  const first = servers.socketOf(client.sessionId);
  assert.equal(first.isFenced, true);
  await servers.servers
    .find(({ advertised }) => advertised?.name === client.currentServer?.name)
    ?.migrate(first);
  assert.equal(await ask(client, 'two'), 'TWO');
  assert.equal(servers.socketOf(client.sessionId).isFenced, true);
  const home = servers.servers.find(({ advertised }) => advertised?.name === client.currentServer?.name);
  home?.kill();
  const migrated = once(client, 'migrated');
  assert.equal(await ask(client, 'three'), 'THREE');
  await migrated;
  client.end();
  await once(client, 'close');
  assert.equal(inner.size, 1);
  await ended.promise;
  assert.deepEqual(
    new Set(written.map(({ epoch }) => epoch)),
    new Set([1, 2, 3]),
    'it was written wherever it lived',
  );
});

test('strict: a server whose fence says nothing turns clients away, and they are served by another', async () => {
  const fence = new SilentFence();
  const timers = { fenceTimeoutMs: 60 };
  await using servers = await cluster(1, { fence, fenceMode: 'strict', timers });
  const [server] = servers.servers;
  assert.ok(server);
  const refused = once(server, 'refused') as Promise<[{ code: string }]>;
  const client = connect({ servers: servers.addresses, giveUpTimeoutMs: 400 });
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ERR_GODWIT_FENCE_UNAVAILABLE');
  assert.equal((await refused)[0].code, 'ERR_GODWIT_FENCE_UNAVAILABLE');
  await using others = await cluster(1, { fence: createLocalFence(), fenceMode: 'strict' });
  const second = connect({ servers: [...servers.addresses, ...others.addresses] });
  assert.equal(await ask(second, 'hello'), 'HELLO');
  second.destroy();
});

test('flag: a server whose fence says nothing serves all the same, and says that nothing is fenced until it is', async () => {
  const fence = new SilentFence();
  await using servers = await cluster(1, { fence, timers: { fenceTimeoutMs: 40 } });
  const [server] = servers.servers;
  assert.ok(server);
  const unfenced = new Promise<string>((resolve) => {
    server.once('connection', (socket) => socket.once('unfenced', resolve));
  });
  const client = connect({ servers: servers.addresses });
  assert.equal(await ask(client, 'one'), 'ONE');
  assert.match(await unfenced, /fence/);
  const socket = servers.socketOf(client.sessionId);
  assert.equal(socket.isFenced, false);
  fence.isSilent = false;
  const fenced = once(socket, 'fenced');
  // Each ticket asks again; the fence is left alone for a while after it was silent.
  for (let i = 0; !socket.isFenced && i < 200; i += 1) assert.equal(await ask(client, 'more'), 'MORE');
  await fenced;
  assert.equal(socket.isFenced, true);
  client.destroy();
});

test('what is no fence, and modes there are none of, are refused at once', () => {
  const wrong: [ServerOptions, string][] = [
    [{ fence: {} as Fence }, 'ERR_INVALID_ARG_TYPE'],
    [{ fenceMode: 'loose' as 'flag' }, 'ERR_INVALID_ARG_VALUE'],
    [{ fenceFloor: 'none' as 'released' }, 'ERR_INVALID_ARG_VALUE'],
  ];
  for (const [options, code] of wrong) assert.throws(() => createServer(options), { code });
});

test('a local fence that is full takes no other session, and forgets those whose time is over', async () => {
  const fence = createLocalFence({ maxRecords: 1 });
  const point = { epoch: 1, k: 0 };
  const record = { epoch: 1, owner: 'x', server: 'a', newest: point, acknowledged: point, ended: false };
  assert.equal(await fence.compareAndSet('one', record, undefined, 30), true);
  assert.equal(await fence.compareAndSet('one', record, undefined, 30), false, 'somebody has written');
  await assert.rejects(fence.compareAndSet('two', record, undefined, 30), /all of the 1 records/);
  while ((await fence.read('one')) !== undefined) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await fence.compareAndSet('two', record, undefined, 30), true);
  assert.equal(fence.size, 1);
});
