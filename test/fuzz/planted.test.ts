/** The fuzzer finds what it looks for: a fault planted for each property, in the copy of the sources that it runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Property } from './engine/target.ts';
import { runFuzz } from './engine/run.ts';
import { PLANTS } from './planted/plants.ts';

/** A search ends as soon as it has found something; this is for machines that have other things to do. */
const MAX_SECONDS = 60;

const PROPERTIES: Readonly<Record<Property, true>> = {
  'no crash': true,
  'no hang': true,
  'bounded memory': true,
  'strangers change nothing': true,
  'others unharmed': true,
  authentic: true,
  faithful: true,
  'as its model': true,
};

test('there is a planted fault for every property', () => {
  const planted = new Set(PLANTS.map(({ property }) => property));
  assert.deepEqual([...planted].sort(), Object.keys(PROPERTIES).sort());
});

for (const plant of PLANTS) {
  test(`a planted fault is found: ${plant.name}`, async () => {
    const { failures } = await runFuzz({
      seconds: MAX_SECONDS,
      seed: 1,
      targets: [plant.target],
      grows: false,
      plant,
      log: () => undefined,
    });
    assert.ok(failures.length > 0, `nothing is found within ${MAX_SECONDS} s`);
    assert.ok(
      failures.some(({ property }) => property === plant.property),
      JSON.stringify(failures, undefined, 2),
    );
  });
}
