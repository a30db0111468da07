import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OverloadPolicy } from '../session/index.ts';
import { Overload } from './overload.ts';
import type { ServerSocket } from './server-socket.ts';

const LIMIT_BYTES = 1000;

interface Held {
  readonly heldBytes: number;
  readonly isLeaving: boolean;
}

/** What ends where memory is over its limit, in that order. */
function endedOf(sessions: readonly Held[]): readonly Held[] {
  const ended: Held[] = [];
  const policy: OverloadPolicy = { measuresEventLoop: false, judge: () => 'end' };
  const overload = new Overload(policy, {
    load: () => ({
      sessions: sessions.length - ended.length,
      plain: 0,
      halfOpen: 0,
      memoryBytes: sessions.reduce((sum, held) => sum + (ended.includes(held) ? 0 : held.heldBytes), 0),
      maxHalfOpen: 100,
      maxMemoryBytes: LIMIT_BYTES,
    }),
    sessions: () =>
      sessions
        .filter((held) => !ended.includes(held))
        .map((held) => ({ ...held, isEstablished: false, held }) as unknown as ServerSocket),
    plain: () => [],
    members: () => [],
    setFull: () => undefined,
    end: (socket) => ended.push((socket as unknown as { held: Held }).held),
    changed: () => undefined,
  });
  overload.wake();
  overload.stop();
  return ended;
}

const small = { heldBytes: 300, isLeaving: false };
const large = { heldBytes: 600, isLeaving: false };
const leaving = { heldBytes: 900, isLeaving: true };

test('where memory is over its limit, the largest session ends first', () => {
  assert.deepEqual(endedOf([small, large, { ...small }]), [large]);
});

test('a session that is being handed over does not end while another can', () => {
  assert.deepEqual(endedOf([leaving, { heldBytes: 200, isLeaving: false }]).length, 1);
  assert.equal(endedOf([leaving, { heldBytes: 200, isLeaving: false }])[0]?.isLeaving, false);
});

test('it does where nothing else is left', () => {
  assert.deepEqual(
    endedOf([{ ...leaving, heldBytes: 1500 }, small]).map(({ isLeaving }) => isLeaving),
    [false, true],
  );
});
