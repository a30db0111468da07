import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, percentile, rounded, spreadOfPairs } from './statistics.ts';

test('the median is the middle value, or the mean of the two in the middle', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test('the median does not care for one value that is far off, and leaves its values alone', () => {
  const values = [10, 1_000_000, 11, 9, 12];
  assert.equal(median(values), 11);
  assert.deepEqual(values, [10, 1_000_000, 11, 9, 12]);
});

test('a percentile is the smallest value that so many do not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(hundred, 99), 99);
  assert.equal(percentile(hundred, 50), 50);
  assert.equal(percentile(hundred, 0), 1);
  assert.equal(percentile(hundred, 100), 100);
  assert.equal(percentile([5, 1], 99), 5);
});

test('the spread is the lowest and the highest quotient of neighbours, not of any two', () => {
  assert.deepEqual(spreadOfPairs([1, 4, 9], [1, 2, 3]), [1, 3]);
  assert.deepEqual(spreadOfPairs([10, 1], [10, 1]), [1, 1]);
});

test('four digits are kept, of large and small numbers', () => {
  assert.equal(rounded(123_456), 123_500);
  assert.equal(rounded(0.000_123_456), 0.000_123_5);
  assert.ok(Number.isNaN(rounded(NaN)));
});
