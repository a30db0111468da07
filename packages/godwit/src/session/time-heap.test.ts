import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TimeHeap } from './time-heap.ts';

test('is next to a list of times whatever is added, moved and removed', () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'add', 'move', 'remove', 'take'),
    which: fc.nat(),
    at: fc.oneof(fc.nat(50), fc.double({ min: 0, max: 50, noNaN: true })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const heap = new TimeHeap<{ readonly name: number }>();
      const model = new Map<number, { readonly name: number; at: number }>();
      const least = (): number => Math.min(...[...model.values()].map(({ at }) => at));
      for (const [name, { what, which, at }] of steps.entries()) {
        const handle = [...model.keys()][which % Math.max(model.size, 1)];
        if (what === 'add') {
          const added = heap.add({ name }, at);
          assert.ok(!model.has(added), 'a handle is given out once');
          model.set(added, { name, at });
        } else if (handle === undefined) {
          assert.equal(heap.first, undefined);
        } else if (what === 'move') {
          heap.move(handle, at);
          (model.get(handle) as { at: number }).at = at;
        } else if (what === 'remove') {
          heap.remove(handle);
          model.delete(handle);
        } else {
          const { name: first } = heap.first as { readonly name: number };
          const [taken] = [...model].find(([, each]) => each.name === first) ?? [];
          assert.ok(taken !== undefined);
          assert.equal(model.get(taken)?.at, least());
          heap.remove(taken);
          model.delete(taken);
        }
        assert.equal(heap.size, model.size);
        assert.equal(heap.firstAt, model.size === 0 ? undefined : least());
        for (const [each, { at: expected }] of model) assert.equal(heap.at(each), expected);
      }
    }),
  );
});

test('ten thousand items come in the order of their times', () => {
  const heap = new TimeHeap<number>();
  const handles = Array.from({ length: 10_000 }, (_, index) => {
    const at = (index * 7_919) % 9_973;
    return { at, handle: heap.add(at, at) };
  });
  for (const { at, handle } of handles.filter((_, index) => index % 3 === 0)) {
    heap.move(handle, at + 20_000);
    heap.move(handle, at);
  }
  let last = -1;
  let count = 0;
  const byAt = new Map<number, number[]>();
  for (const { at, handle } of handles) byAt.set(at, [...(byAt.get(at) ?? []), handle]);
  for (let first = heap.first; first !== undefined; first = heap.first) {
    assert.ok(first >= last);
    last = first;
    count += 1;
    const handle = byAt.get(first)?.find((each) => heap.at(each) === first);
    assert.ok(handle !== undefined);
    byAt.set(
      first,
      (byAt.get(first) ?? []).filter((each) => each !== handle),
    );
    heap.remove(handle);
  }
  assert.equal(count, 10_000);
  assert.equal(heap.firstAt, undefined);
});
