import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHIFT_MS, shiftClock, takeClock } from './shifted-clock.ts';

const real = globalThis.Date;
const distance = (ms: number): number => Math.abs(ms - real.now() - SHIFT_MS);

test('the clock is ahead wherever the time is asked for, and dates are dates all the same', (t) => {
  const giveBack = takeClock();
  t.after(giveBack);
  shiftClock(SHIFT_MS);
  assert.ok(distance(Date.now()) < 1000);
  assert.ok(distance(new Date().getTime()) < 1000);
  assert.ok(distance(Date.parse(Date())) < 2000);
  assert.ok(new Date() instanceof Date && new real() instanceof Date);
  assert.equal(new Date(86_400_000).toISOString(), '1970-01-02T00:00:00.000Z');
  assert.equal(Date.UTC(1970, 0, 2), 86_400_000);
  class Birthday extends Date {}
  assert.ok(new Birthday() instanceof Birthday && distance(new Birthday().getTime()) < 1000);
});

test('the clock goes back to what it was when the last who took it gives it back', () => {
  const [first, second] = [takeClock(), takeClock()];
  first();
  first();
  shiftClock(SHIFT_MS);
  assert.notEqual(Date, real);
  second();
  assert.equal(Date, real);
  assert.ok(distance(Date.now()) > SHIFT_MS / 2);
});

test('whoever put another clock in place meanwhile keeps it', (t) => {
  t.after(() => {
    globalThis.Date = real;
  });
  const giveBack = takeClock();
  class Mine extends real {}
  globalThis.Date = Mine as DateConstructor;
  giveBack();
  assert.equal(Date, Mine);
});
