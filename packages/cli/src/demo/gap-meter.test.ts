import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GapMeter, percentile } from './gap-meter.ts';

test('a gap counts from the last delivery before it was asked for to the first one after', () => {
  const gaps = new GapMeter();
  for (const nowMs of [0, 50, 60]) gaps.deliver(nowMs);
  gaps.open();
  for (const nowMs of [75, 80]) gaps.deliver(nowMs);
  assert.equal(gaps.close(), 15);
  gaps.deliver(200);
  gaps.open();
  gaps.deliver(201);
  assert.equal(gaps.close(), 1);
});

test('while nothing is due there is no gap', () => {
  const gaps = new GapMeter();
  gaps.deliver(0);
  gaps.open();
  gaps.rest(500);
  gaps.deliver(520);
  assert.equal(gaps.close(), 20);
});

test('an incident is not over before bytes were delivered behind it', () => {
  const gaps = new GapMeter();
  gaps.deliver(0);
  gaps.open();
  gaps.awaitDelivery();
  assert.equal(gaps.hasDelivered, false);
  gaps.deliver(300);
  assert.equal(gaps.hasDelivered, true);
  assert.equal(gaps.close(), 300);
});

test('a percentile is one of the values, and there is none of none', () => {
  assert.equal(percentile([], 50), undefined);
  assert.equal(percentile([3, 1, 2], 50), 2);
  assert.equal(percentile([3, 1, 2], 100), 3);
  assert.equal(percentile([7], 99), 7);
  assert.equal(
    percentile(
      Array.from({ length: 200 }, (_, index) => index + 1),
      99,
    ),
    198,
  );
});
