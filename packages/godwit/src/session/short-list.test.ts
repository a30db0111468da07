import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCollector } from '../carriers/collector.ts';
import { listOfOne } from './short-list.ts';

/** So many that what V8 frees meanwhile, code that is not used any more for one, is nothing beside them. */
const LISTS = 200_000;

test('a list with room for one takes less than half of what V8 gives one that grows from nothing', () => {
  const collect = findCollector();
  assert.ok(collect);
  // What was measured stays: to be freed meanwhile, it would count for what is measured next.
  const kept: object[][][] = [];
  const bytesOf = (make: () => object[]): number => {
    const item = {};
    const lists: object[][] = new Array<object[]>(LISTS).fill([]);
    kept.push(lists);
    collect({ type: 'major' });
    collect({ type: 'major' });
    const before = process.memoryUsage().heapUsed;
    for (let index = 0; index < LISTS; index += 1) {
      const list = make();
      list.push(item);
      list.pop();
      lists[index] = list;
    }
    collect({ type: 'major' });
    return (process.memoryUsage().heapUsed - before) / LISTS;
  };
  const [short, usual] = [bytesOf(() => listOfOne()), bytesOf(() => [])];
  assert.equal(kept.length, 2);
  assert.ok(short < usual / 2, `${short} and ${usual} bytes`);
});
