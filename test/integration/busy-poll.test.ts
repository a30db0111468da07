/** What `busyPollUs` does for sessions over real sockets. */
import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, test } from 'node:test';
import { connect, createServer } from 'godwit';
import { busyPoll } from '../../packages/godwit/src/carriers/busy-poll.ts';
import { closeAll, listen } from './implementations.ts';

const EXCHANGES = 300;

/** Exchanges small messages, both ends in this process; answers how many of them came while it looked for them. */
async function exchange(busyPollUs: number | undefined): Promise<number> {
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

describe('busyPollUs', () => {
  test('0 at both ends: the process sleeps between two messages', async () => {
    assert.equal(await exchange(0), 0);
  });

  test('where answers come quickly the process is awake for them, and sleeps when there are no more', async () => {
    const looked = await exchange(1_000);
    assert.ok(looked > EXCHANGES / 2, `${looked} of ${EXCHANGES}`);
  });

  test('the default is 100, where there is more than one processor', async (t) => {
    const looked = await exchange(undefined);
    t.diagnostic(`${looked} of ${EXCHANGES} messages`);
    if (os.availableParallelism() === 1) assert.equal(looked, 0);
    else assert.ok(looked > 0);
  });

  test('what is no time is refused at once, by either end', () => {
    for (const busyPollUs of [-1, 1_001, 0.5, NaN, '10' as unknown as number]) {
      const refused = { code: typeof busyPollUs === 'number' ? 'ERR_OUT_OF_RANGE' : 'ERR_INVALID_ARG_TYPE' };
      assert.throws(() => createServer({ busyPollUs }), refused);
      assert.throws(() => connect({ port: 1, busyPollUs }), refused);
    }
  });
});
