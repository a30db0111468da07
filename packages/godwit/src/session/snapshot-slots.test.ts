import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SnapshotSlots } from './snapshot-slots.ts';

/** How many of `count` that ask at one time may go. */
function taken(slots: SnapshotSlots, now: number, count: number): number {
  let went = 0;
  for (let index = 0; index < count; index += 1) if (slots.take(now)) went += 1;
  return went;
}

test('a second’s worth may go at once, and then as many as the rate', () => {
  const slots = new SnapshotSlots(10);
  assert.equal(taken(slots, 5_000, 100), 10);
  assert.equal(taken(slots, 5_050, 100), 0);
  assert.equal(taken(slots, 5_150, 100), 1);
  assert.equal(taken(slots, 5_650, 100), 5);
  assert.equal(taken(slots, 3_600_000, 100), 10, 'no more is saved up');
});

test('who is put off takes nothing from others', () => {
  const slots = new SnapshotSlots(1);
  assert.equal(taken(slots, 1_000, 1), 1);
  assert.equal(taken(slots, 1_000, 1_000_000), 0);
  assert.equal(taken(slots, 2_000, 2), 1);
});

test('0 is no limit', () => {
  const slots = new SnapshotSlots(0);
  assert.equal(taken(slots, 7, 1_000), 1_000);
});
