import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { IdleTimer } from './idle-timer.ts';

test('a timeout that is turned off does not fire; turned on again it does, and after each refresh', async () => {
  const socket = new EventEmitter();
  const timer = new IdleTimer(socket);
  let fired = 0;
  socket.on('timeout', () => (fired += 1));
  timer.set(20);
  timer.set(0);
  timer.refresh();
  await setTimeout(60);
  assert.equal(fired, 0);
  const startedMs = performance.now();
  timer.set(20);
  // It keeps no process alive.
  const alive = globalThis.setTimeout(() => undefined, 10_000);
  await once(socket, 'timeout');
  assert.ok(performance.now() - startedMs >= 19);
  timer.refresh();
  await once(socket, 'timeout');
  clearTimeout(alive);
  timer.refresh();
  timer.stop();
  await setTimeout(60);
  assert.equal(fired, 2);
});
