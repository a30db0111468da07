import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { OverloadPolicy } from '../session/index.ts';
import { Overload } from './overload.ts';
import type { ServerSocket } from './server-socket.ts';

const LIMIT_BYTES = 1000;

interface Held {
  readonly heldBytes: number;
  readonly isLeaving: boolean;
}

/** A server whose memory is over its limit: what of it ends, in that order. */
class Crowded {
  readonly ended: Held[] = [];
  readonly overload: Overload;

  constructor(sessions: readonly Held[]) {
    const left = (): Held[] => sessions.filter((held) => !this.ended.includes(held));
    const policy: OverloadPolicy = { measuresEventLoop: false, judge: () => 'end' };
    this.overload = new Overload(policy, {
      load: () => ({
        sessions: left().length,
        plain: 0,
        halfOpen: 0,
        memoryBytes: left().reduce((sum, { heldBytes }) => sum + heldBytes, 0),
        maxHalfOpen: 100,
        maxMemoryBytes: LIMIT_BYTES,
      }),
      sessions: () => left() as unknown as ServerSocket[],
      plain: () => [],
      members: () => [],
      setFull: () => undefined,
      end: (socket) => this.ended.push(socket),
      changed: () => undefined,
    });
    this.overload.wake();
  }
}

function endedOf(sessions: readonly Held[]): readonly Held[] {
  const { ended, overload } = new Crowded(sessions);
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

test('where nothing else is left, it ends when it had a second to leave', async () => {
  const beganAt = performance.now();
  const { ended, overload } = new Crowded([{ ...leaving, heldBytes: 1500 }, small]);
  assert.deepEqual(ended, [small]);
  while (ended.length < 2) await setTimeout(10);
  overload.stop();
  assert.equal(ended[1]?.isLeaving, true);
  assert.ok(performance.now() - beganAt >= 1_000);
});
