import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Crowd, Roster } from './roster.ts';

describe('a roster', () => {
  test('does what a map does, whatever is asked of it, in the order in which its members came', () => {
    // A linear congruential generator: the same questions each time.
    let random = 1;
    const draw = (below: number): number => {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      return random % below;
    };
    for (const keyOf of [(n: number) => n, (n: number) => `id ${n}`, (n: number) => n * 2 ** 20]) {
      const roster = new Roster<string | number, object>(draw(2 ** 32));
      const map = new Map<string | number, object>();
      // More come than go at first, and then the other way.
      for (let step = 0; step < 20_000; step += 1) {
        const key = keyOf(draw(500));
        const comes = draw(10) < (step < 10_000 ? 7 : 2);
        if (comes) {
          const value = { step };
          roster.set(key, value);
          map.set(key, value);
        } else assert.equal(roster.delete(key), map.delete(key));
        assert.equal(roster.size, map.size);
        assert.equal(roster.get(key), map.get(key));
        assert.equal(roster.has(key), map.has(key));
        if (step % 1_000 === 0) {
          assert.deepEqual([...roster.values()], [...map.values()]);
          assert.deepEqual([...roster.keys()], [...map.keys()]);
        }
      }
      roster.clear();
      assert.equal(roster.size, 0);
      assert.deepEqual([...roster.values()], []);
    }
  });

  test('lists those who are there when asked: who leaves before his turn is left out', () => {
    const roster = new Roster<number, string>();
    for (const id of [1, 2, 3, 4]) roster.set(id, `member ${id}`);
    const seen: string[] = [];
    for (const value of roster.values()) {
      seen.push(value);
      if (value === 'member 1') {
        roster.delete(1);
        roster.delete(3);
        roster.set(5, 'member 5');
      }
    }
    assert.deepEqual(seen, ['member 1', 'member 2', 'member 4']);
    assert.deepEqual([...roster.keys()], [2, 4, 5]);
  });

  test('finds its members as fast where ids that a peer chose have the same low bits', () => {
    const count = 20_000;
    const timeOf = (idOf: (place: number) => number): number => {
      const roster = new Roster<number, number>(0x5eed_1234);
      for (let place = 0; place < count; place += 1) roster.set(idOf(place), place);
      const begunAt = performance.now();
      for (let place = 0; place < count; place += 1) assert.equal(roster.get(idOf(place)), place);
      return performance.now() - begunAt;
    };
    timeOf((place) => place);
    const inSequence = timeOf((place) => place);
    // In chains of their low bits it would take some thousand times as long.
    assert.ok(timeOf((place) => place * 2 ** 16) < 50 * (inSequence + 1));
  });
});

describe('a crowd', () => {
  test('lists its members in the order in which they came, until they leave', () => {
    const crowd = new Crowd<{ readonly name: string }>();
    const [first, second, third] = ['a', 'b', 'c'].map((name) => crowd.add({ name }));
    const names = (): string => [...crowd].map(({ name }) => name).join('');
    assert.equal(names(), 'abc');
    second?.leave();
    second?.leave();
    assert.equal(names(), 'ac');
    first?.leave();
    crowd.add({ name: 'd' });
    assert.equal(names(), 'cd');
    third?.leave();
    assert.equal(names(), 'd');
    assert.equal(crowd.size, 1);
  });

  test('keeps nothing of who has left in his place', () => {
    const crowd = new Crowd<object>();
    const place = crowd.add({});
    assert.notEqual(place.value, undefined);
    place.leave();
    assert.equal(place.value, undefined);
  });
});
