/** What `busyPollUs` does for sessions over real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import os from 'node:os';
import { describe, test, type TestContext } from 'node:test';
import { connect, createServer } from 'godwit';
import { busyPoll } from '../../packages/godwit/src/carriers/busy-poll.ts';
import { SocketCarrier } from '../../packages/godwit/src/carriers/tcp.ts';
import { startCluster } from './cluster.ts';
import { closeAll, listen } from './implementations.ts';
import { until } from './until.ts';

const EXCHANGES = 300;

/** Exchanges small messages, both ends in this process; answers how many of them came while it looked for them. */
async function exchange(busyPollUs: number): Promise<number> {
  const server = createServer({ busyPollUs }, (socket) => {
    socket.importState();
    socket.onExportState(() => 'state');
    socket.on('data', (chunk) => socket.write(chunk));
  });
  const port = await listen(server);
  const socket = connect({ port, host: '127.0.0.1', busyPollUs });
  let looked = 0;
  let left = EXCHANGES;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  socket.on('data', () => {
    if (busyPoll.isLooking) looked += 1;
    left -= 1;
    if (left === 0) resolve(undefined);
    else socket.write('ping');
  });
  socket.write('ping');
  await promise;
  while (busyPoll.isLooking) await new Promise(setImmediate);
  socket.destroy();
  await closeAll(server);
  return looked;
}

/** What carriers are told, in milliseconds, in order. */
function watch(t: TestContext): number[] {
  const told: number[] = [];
  const original = SocketCarrier.prototype.setBusyPoll;
  t.mock.method(SocketCarrier.prototype, 'setBusyPoll', function (this: SocketCarrier, ms: number): void {
    told.push(ms);
    original.call(this, ms);
  });
  return told;
}

describe('busyPollUs', () => {
  test('0 at both ends: the process sleeps between two messages', async () => {
    assert.equal(await exchange(0), 0);
  });

  test('where answers come quickly the process is awake for them, and sleeps when there are no more', async () => {
    const looked = await exchange(1_000);
    assert.ok(looked > EXCHANGES / 2, `${looked} of ${EXCHANGES}`);
  });

  test('the default is 100 at both ends, where there is more than one processor', async (t) => {
    const told = watch(t);
    const server = createServer((socket) => socket.resume());
    const socket = connect(await listen(server), '127.0.0.1');
    await once(socket, 'connect');
    const ms = os.availableParallelism() > 1 ? 0.1 : 0;
    assert.deepEqual(told, [ms, ms]);
    socket.destroy();
    await closeAll(server);
  });

  test('it holds for every carrier of a session: those that are dialled, standbys, and those of other servers', async (t) => {
    const told = watch(t);
    await using cluster = await startCluster(2, (socket) => socket.resume(), { busyPollUs: 200 });
    const socket = connect({ servers: cluster.addresses, busyPollUs: 300 });
    await once(socket, 'connect');
    assert.deepEqual([...told].sort(), [0.2, 0.3]);
    await until(() => cluster.servers.every((server) => server.stats.carriers === 1));
    told.length = 0;
    const migrated = once(socket, 'migrated');
    await socket.migrate();
    await migrated;
    await until(() => told.length === 2);
    assert.deepEqual([...told].sort(), [0.2, 0.3]);
    socket.destroy();
  });

  test('what is no time is refused at once, by either end', () => {
    for (const busyPollUs of [-1, 1_001, 0.5, NaN, '10' as unknown as number]) {
      const refused = { code: typeof busyPollUs === 'number' ? 'ERR_OUT_OF_RANGE' : 'ERR_INVALID_ARG_TYPE' };
      assert.throws(() => createServer({ busyPollUs }), refused);
      assert.throws(() => connect({ port: 1, busyPollUs }), refused);
    }
  });
});
