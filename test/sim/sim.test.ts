import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeed } from './run-seed.ts';

test('the same seed gives the same run twice, and another seed another', () => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 20; seed += 1) {
    const first = runSeed(seed).hash;
    assert.equal(runSeed(seed).hash, first, `seed ${seed}`);
    hashes.add(first);
  }
  assert.equal(hashes.size, 20);
});

test('nothing is violated in the first seeds', () => {
  for (let seed = 1; seed <= 100; seed += 1) assert.deepEqual(runSeed(seed).violations, [], `seed ${seed}`);
});
