import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparePoints } from './numbers.ts';

test('restart points are ordered by epoch first, then by number', () => {
  const inOrder = [
    { epoch: 1, k: 0 },
    { epoch: 1, k: 7 },
    { epoch: 2, k: 0 },
    { epoch: 2, k: 2 ** 48 - 1 },
    { epoch: 2 ** 48 - 1, k: 1 },
  ];
  for (const [i, a] of inOrder.entries()) {
    for (const [j, b] of inOrder.entries())
      assert.equal(Math.sign(comparePoints(a, b)), Math.sign(i - j), `${i}, ${j}`);
  }
});
