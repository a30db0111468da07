import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byAddress, largest, type Holder } from './end-order.ts';

function holder(place: string | undefined, heldBytes: number): Holder {
  return { place, heldBytes };
}

function named(order: Iterable<Holder>): string[] {
  return [...order].map(({ place = '?', heldBytes }) => `${place}${heldBytes}`);
}

test('the largest of the address that holds most by then is next', () => {
  const holders = [
    holder('a', 5),
    holder('b', 8),
    holder('a', 4),
    holder('a', 3),
    holder('c', 1),
    holder(undefined, 6),
  ];
  // 12, 8, 1 and 6; then a has 7, and when b has nothing left, 7 again; then 6 without an address, and 3 of a.
  assert.deepEqual(named(byAddress(holders, 10)), ['a5', 'b8', 'a4', '?6', 'a3', 'c1']);
  assert.deepEqual(named(byAddress(holders, 2)), ['a5', 'b8']);
});

test('those without an address stand for themselves', () => {
  const holders = [holder(undefined, 3), holder('', 3), holder(undefined, 3), holder('a', 4)];
  assert.deepEqual(named(byAddress(holders, 2)), ['a4', '?3']);
});

/** As the rule says it, and slowly. */
function slowly(holders: readonly Holder[], count: number): number[] {
  const left = new Map<string, number[]>();
  for (const [index, { place, heldBytes }] of holders.entries()) {
    const key = place ?? `alone ${index}`;
    left.set(key, [...(left.get(key) ?? []), heldBytes]);
  }
  const ended: number[] = [];
  const totalOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
  while (ended.length < count) {
    const [heaviest] = [...left.values()].sort((one, other) => totalOf(other) - totalOf(one));
    if (heaviest === undefined || heaviest.length === 0) break;
    heaviest.sort((one, other) => one - other);
    ended.push(heaviest.pop() as number);
  }
  return ended;
}

test('whatever they hold, the order is that of the rule, and none comes twice', () => {
  const anyHolder = fc.record({
    place: fc.constantFrom('a', 'b', 'c', undefined),
    heldBytes: fc.integer({ min: 1, max: 1_000_000 }),
  });
  fc.assert(
    fc.property(fc.array(anyHolder), fc.integer({ min: 0, max: 20 }), (holders, count) => {
      // Where two addresses hold the same, either may come first.
      const distinct = holders.map((each, index) => ({
        ...each,
        heldBytes: each.heldBytes + 2 ** -index / 2,
      }));
      const order = [...byAddress(distinct, count)];
      assert.equal(new Set(order).size, order.length);
      assert.deepEqual(
        order.map(({ heldBytes }) => heldBytes),
        slowly(distinct, count),
      );
    }),
  );
});

test('the largest are the largest, in that order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat()), fc.integer({ min: 1, max: 20 }), (sizes, count) => {
      const found = largest(
        sizes.map((heldBytes) => ({ heldBytes })),
        count,
      );
      assert.deepEqual(
        found.map(({ heldBytes }) => heldBytes),
        [...sizes].sort((one, other) => other - one).slice(0, count),
      );
    }),
  );
});
