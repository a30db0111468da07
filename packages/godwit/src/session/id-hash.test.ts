import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hashOf } from './id-hash.ts';

const BUCKETS = 1_024;
const IDS = BUCKETS * 64;

const WAYS = [
  { what: 'numbers', idOf: (n: number) => n },
  { what: 'numbers far apart', idOf: (n: number) => n * 2 ** 15 },
  { what: 'ids of sessions', idOf: (n: number) => n.toString(16).padStart(32, '0') },
  { what: 'ids that begin alike no longer', idOf: (n: number) => n.toString(16).padEnd(32, '0') },
] as const;

/** How many of the ids fall into the fullest bucket. */
function fullest(ids: readonly (string | number)[], seed: number): number {
  const counts = new Array<number>(BUCKETS).fill(0);
  for (const id of ids) {
    const at = hashOf(id, seed) % BUCKETS;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return Math.max(...counts);
}

describe('the hash of an id', () => {
  for (const { what, idOf } of WAYS) {
    const ids = Array.from({ length: IDS }, (_, n) => idOf(n));

    test(`spreads ${what}`, () => {
      for (const seed of [0, 1, 0x5eed_1234]) assert.ok(fullest(ids, seed) < (4 * IDS) / BUCKETS);
    });

    test(`parts ${what} that are chosen to meet under one seed under another`, () => {
      const chosen = ids.filter((id) => hashOf(id, 0x5eed_1234) % BUCKETS === 0);
      assert.equal(fullest(chosen, 0x5eed_1234), chosen.length);
      assert.ok(chosen.length > 30);
      for (const seed of [0, 1, 0x1234_5eed]) assert.ok(fullest(chosen, seed) < chosen.length / 4);
    });
  }
});
