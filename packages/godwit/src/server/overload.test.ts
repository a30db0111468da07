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
  readonly epoch?: number;
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

test('a session that is being handed over counts as gone: nobody ends in its place', () => {
  const { ended, overload } = new Crowded([{ ...leaving, heldBytes: 1500 }, small]);
  overload.stop();
  assert.deepEqual(ended, []);
});

test('others end where that is not enough', () => {
  assert.deepEqual(endedOf([leaving, large, { ...large, heldBytes: 500 }]), [large]);
});

test('it ends when it had a second to leave, and nobody else does', async () => {
  const beganAt = performance.now();
  const session = { ...leaving, heldBytes: 1500 };
  const { ended, overload } = new Crowded([session, small]);
  while (ended.length === 0) await setTimeout(10);
  overload.stop();
  assert.deepEqual(ended, [session]);
  assert.ok(performance.now() - beganAt >= 1_000);
});

test('a session that came back, and is handed over again, has a second again', async () => {
  const session = { heldBytes: 1500, isLeaving: true, epoch: 2 };
  const { ended, overload } = new Crowded([session, small]);
  await setTimeout(700);
  session.epoch = 3;
  const cameBackAt = performance.now();
  while (ended.length === 0) await setTimeout(10);
  overload.stop();
  assert.ok(performance.now() - cameBackAt >= 900);
});
