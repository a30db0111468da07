import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CATALOG } from './catalog.ts';
import { LIMITS, reaches, type Limit } from './limits.ts';

const limits = Object.entries<Limit>(LIMITS);

test('every benchmark has limits, and every limit a benchmark', () => {
  assert.deepEqual(Object.keys(CATALOG).sort(), Object.keys(LIMITS).sort());
});

test('the gross limit is half of the figure to reach, or twice, unless a reason is given', () => {
  for (const [name, { better, reach, gross, because }] of limits) {
    const usual = better === 'higher' ? reach / 2 : reach * 2;
    if (because === undefined) assert.equal(gross, usual, name);
    else assert.ok(better === 'higher' ? gross < usual : gross > usual, `${name} needs no reason`);
  }
});

test('the aim is no worse than the figure to reach, and that no worse than the gross limit', () => {
  for (const [name, limit] of limits) {
    assert.ok(reaches(limit, limit.aim, limit.reach), name);
    assert.ok(reaches(limit, limit.reach, limit.gross), name);
  }
});

test('whether a ratio is good enough depends on which way is better', () => {
  const [higher, lower] = [LIMITS.bulkDown, LIMITS.tiny];
  assert.ok(reaches(higher, 0.96, higher.reach) && !reaches(higher, 0.94, higher.reach));
  assert.ok(reaches(lower, 1.19, lower.reach) && !reaches(lower, 1.21, lower.reach));
});
