import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SnapshotSlots } from './snapshot-slots.ts';

test('who is alone waits for nobody', () => {
  const slots = new SnapshotSlots(10);
  assert.equal(slots.take(0, 10_000), 0);
  assert.equal(slots.take(5_000, 15_000), 5_000);
});

test('those who come at once are served in their order, at the rate', () => {
  const slots = new SnapshotSlots(10);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => slots.take(1_000, 11_000)),
    [1_000, 1_100, 1_200, 1_300],
  );
  assert.equal(slots.take(1_250, 11_250), 1_400);
  assert.equal(slots.take(9_000, 19_000), 9_000, 'what was not taken is not saved up');
});

test('nobody waits for longer than his time, and those whom it would be too long for make nobody wait', () => {
  const slots = new SnapshotSlots(1);
  const times = Array.from({ length: 100 }, () => slots.take(0, 5_000));
  assert.deepEqual(times.slice(0, 7), [0, 1_000, 2_000, 3_000, 4_000, 5_000, 5_000]);
  assert.equal(times.at(-1), 5_000);
  assert.equal(slots.take(1_500, 6_500), 6_000);
});

test('0 is no limit', () => {
  const slots = new SnapshotSlots(0);
  for (let count = 0; count < 1_000; count += 1) assert.equal(slots.take(7, 10_007), 7);
});
