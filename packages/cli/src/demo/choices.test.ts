import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Draw, SEED_LIMIT, bytesFromSeed, drawTriggers } from './choices.ts';

const anySeed = fc.nat(SEED_LIMIT - 1);

describe('what a run leaves to chance', () => {
  test('comes out the same for the same seed, and otherwise for another', () => {
    const options = { seed: 1, kills: 5, streamBytes: 1e8 };
    assert.deepEqual(drawTriggers(options), drawTriggers(options));
    assert.notDeepEqual(drawTriggers(options), drawTriggers({ ...options, seed: 2 }));
    assert.deepEqual(bytesFromSeed(3, 100), bytesFromSeed(3, 1000).subarray(0, 100));
    assert.notDeepEqual(bytesFromSeed(3, 100), bytesFromSeed(4, 100));
  });

  test('is so many kills and one drain, in order, each inside the stream', () => {
    fc.assert(
      fc.property(
        anySeed,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 10_000, max: 1e9 }),
        (seed, kills, streamBytes) => {
          const triggers = drawTriggers({ seed, kills, streamBytes });
          assert.equal(triggers.filter(({ kind }) => kind === 'kill').length, kills);
          assert.equal(triggers.filter(({ kind }) => kind === 'drain').length, 1);
          const offsets = triggers.map(({ atByte }) => atByte);
          assert.deepEqual(
            offsets,
            [...new Set(offsets)].sort((a, b) => a - b),
          );
          assert.ok(offsets.every((offset) => offset > 0 && offset < streamBytes));
        },
      ),
    );
  });

  test('reaches every number below its limit', () => {
    const draw = new Draw(11);
    const seen = new Set(Array.from({ length: 200 }, () => draw.below(10)));
    assert.equal(seen.size, 10);
  });
});
