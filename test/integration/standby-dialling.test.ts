/** Standbys are dialled as their session's other carriers are: past no block list, and from its address. */
import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyRing, connect, createServer, type Refusal } from 'godwit';
import { startCluster } from './cluster.ts';

test('a standby keeps to the block list and the local address of its session, and is shared only by those alike', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('only Linux has 127.0.0.2 and 127.0.0.3 without further ado');
    return;
  }
  // It answers nothing: that somebody dials it is all that matters.
  const other = net.createServer((socket) => socket.on('error', () => undefined));
  other.listen(0, '127.0.0.2');
  await once(other, 'listening');
  const dialledFrom: (string | undefined)[] = [];
  other.on('connection', ({ remoteAddress }) => dialledFrom.push(remoteAddress));

  const members = [`127.0.0.2:${(other.address() as AddressInfo).port}`];
  const server = createServer({ keys: KeyRing.generateKey(), members }, (socket) => socket.resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const blockList = new net.BlockList();
  blockList.addAddress('127.0.0.2');
  const clients = [];
  for (const options of [{ blockList }, { localAddress: '127.0.0.3' }, { localAddress: '127.0.0.3' }, {}]) {
    const dialled = 'blockList' in options ? undefined : once(other, 'connection');
    const client = connect({ port, host: '127.0.0.1', ...options });
    clients.push(client);
    await once(client, 'connect');
    // The third shares the standby of the second.
    if (clients.length !== 3) await dialled;
  }
  assert.deepEqual(dialledFrom, ['127.0.0.3', '127.0.0.1']);

  for (const client of clients) client.destroy();
  server.close();
  await once(server, 'close');
  other.close();
});

test('a standby of a quiet process outlives the time after which a dead one is closed', async (t) => {
  const standbyIdleTimeoutMs = 300;
  await using cluster = await startCluster(2, (socket) => socket.resume(), {
    timers: { standbyIdleTimeoutMs },
  });
  const [first = '', second = ''] = cluster.addresses;
  const standbys: net.Socket[] = [];
  const arrived = new Promise<void>((resolve) => {
    const accepted = (message: unknown): void => {
      const { socket } = message as { socket: net.Socket };
      if (!second.endsWith(`:${socket.localPort}`)) return;
      standbys.push(socket);
      resolve();
    };
    diagnostics.subscribe('net.server.socket', accepted);
    t.after(() => diagnostics.unsubscribe('net.server.socket', accepted));
  });
  const client = connect({ servers: [first] });
  await Promise.all([once(client, 'connect'), arrived]);
  await sleep(10 * standbyIdleTimeoutMs); // that nothing happens takes its time
  assert.deepEqual(
    standbys.map(({ destroyed }) => destroyed),
    [false],
  );
  client.destroy();
  await once(client, 'close');
});

test('a server that refuses a standby is asked at growing distances', async () => {
  await using cluster = await startCluster(
    2,
    (socket) => socket.resume(),
    (name) => (name === 's1' ? { limits: { maxStandbys: 0 } } : {}),
  );
  const [, second] = cluster.servers;
  assert.ok(second);
  const refusedAt: number[] = [];
  const client = connect({ servers: cluster.addresses.slice(0, 1) });
  while (refusedAt.length < 4) {
    const [refusal] = (await once(second, 'refused')) as [Refusal];
    assert.equal(refusal.code, 'ERR_GODWIT_BUSY');
    refusedAt.push(performance.now());
  }
  const [first = 0, , third = 0, fourth = 0] = refusedAt;
  // 250, 500 and 1,000 ms.
  assert.ok(fourth - third > (third - first) * 0.9, refusedAt.map(Math.round).join());
  client.destroy();
});
