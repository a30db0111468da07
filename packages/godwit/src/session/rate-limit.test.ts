import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit } from './rate-limit.ts';

/** How many of `count` requests at one time are allowed. */
function allowed(limit: RateLimit, asker: string, now: number, count: number): number {
  let taken = 0;
  for (let index = 0; index < count; index += 1) if (limit.take(asker, now)) taken += 1;
  return taken;
}

test('four seconds of requests may come at once, and then no more than the rate', () => {
  const limit = new RateLimit(10);
  assert.equal(allowed(limit, 'a', 0, 100), 40);
  assert.equal(allowed(limit, 'a', 99, 5), 0);
  assert.equal(allowed(limit, 'a', 100, 5), 1);
  assert.equal(allowed(limit, 'a', 1100, 100), 10);
  assert.equal(allowed(limit, 'a', 3_600_000, 100), 40, 'a quiet hour earns no more than the burst');
});

test('requests that are refused cost nothing later', () => {
  const limit = new RateLimit(1);
  assert.equal(allowed(limit, 'a', 0, 4), 4);
  for (let now = 0; now < 1000; now += 10) assert.equal(limit.take('a', now), false);
  assert.equal(limit.take('a', 1000), true);
});

test('everybody has tokens of their own', () => {
  const limit = new RateLimit(1);
  assert.equal(allowed(limit, 'a', 0, 100), 4);
  assert.equal(allowed(limit, 'b', 0, 100), 4);
});

test('0 is no limit, and remembers nobody', () => {
  const limit = new RateLimit(0);
  assert.equal(allowed(limit, 'a', 0, 1000), 1000);
  assert.equal(limit.size, 0);
});

test('only so many askers are remembered, the latest', () => {
  const limit = new RateLimit(1);
  for (let asker = 0; asker < 70_000; asker += 1) {
    allowed(limit, `asker ${asker}`, 0, 1);
    if (asker % 1000 === 0) allowed(limit, 'busy', 0, 10);
  }
  assert.equal(limit.size, 65_536);
  assert.equal(limit.take('busy', 0), false);
});
