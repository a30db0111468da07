import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findCollector } from '../carriers/collector.ts';
import { Tombstones, type Tombstone } from './tombstones.ts';

const idOf = (number: number): string => number.toString(16).padStart(32, '0');

const stoneOf = (number: number, changes: Partial<Tombstone> = {}): Tombstone => ({
  kind: number % 2 === 0 ? 'ended' : 'moved',
  secret: new Uint8Array(32).fill(number),
  epoch: number * 2 ** 20,
  until: 1_000.5,
  established: number % 3 === 0,
  ...changes,
});

describe('tombstones', () => {
  test('are answered as they were set, whatever their number', () => {
    const stones = new Tombstones(10_000, 7);
    for (let number = 0; number < 5_000; number += 1) stones.set(idOf(number), stoneOf(number));
    assert.equal(stones.size, 5_000);
    for (let number = 0; number < 5_000; number += 1)
      assert.deepEqual(stones.get(idOf(number), 1_000), stoneOf(number));
    assert.equal(stones.get(idOf(5_000), 1_000), undefined);
  });

  test('do not change with what they were made of, nor with what was answered', () => {
    const stones = new Tombstones(10);
    const secret = new Uint8Array(32).fill(1);
    stones.set(idOf(1), stoneOf(1, { secret }));
    secret.fill(2);
    stones.get(idOf(1), 0)?.secret.fill(3);
    assert.deepEqual(stones.get(idOf(1), 0), stoneOf(1));
  });

  test('stand for a session once: the last word counts', () => {
    const stones = new Tombstones(10);
    stones.set(idOf(1), stoneOf(1));
    stones.set(idOf(1), stoneOf(1, { kind: 'ended', epoch: 9 }));
    assert.equal(stones.size, 1);
    assert.deepEqual(stones.get(idOf(1), 0), stoneOf(1, { kind: 'ended', epoch: 9 }));
  });

  test('are gone when their time is over, and when they are taken away', () => {
    const stones = new Tombstones(10);
    stones.set(idOf(1), stoneOf(1));
    stones.set(idOf(2), stoneOf(2));
    assert.notEqual(stones.get(idOf(1), 1_000), undefined);
    assert.equal(stones.get(idOf(1), 1_000.5), undefined);
    stones.delete(idOf(2));
    stones.delete(idOf(2));
    assert.equal(stones.get(idOf(2), 0), undefined);
    assert.equal(stones.size, 0);
  });

  test('beyond the limit the oldest go first, again and again', () => {
    const max = 300;
    const stones = new Tombstones(max, 99);
    for (let number = 0; number < 2_000; number += 1) {
      stones.set(idOf(number), stoneOf(number));
      assert.ok(stones.size <= max);
      if (number >= max) assert.equal(stones.get(idOf(number - max), 0), undefined);
      if (number >= max) assert.deepEqual(stones.get(idOf(number - max + 1), 0), stoneOf(number - max + 1));
    }
    assert.equal(stones.size, max);
  });

  for (const max of [100_000, 500, 64, 1])
    test(`set and taken away in any order, are those of a map of at most ${max}, whose oldest go first`, () => {
      let random = 5;
      const draw = (below: number): number => {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
        return random % below;
      };
      const stones = new Tombstones(max, draw(2 ** 32));
      const map = new Map<string, Tombstone>();
      for (let step = 0; step < 20_000; step += 1) {
        const number = draw(800);
        const id = idOf(number);
        if (draw(3) > 0) {
          const stone = stoneOf(number, { epoch: step });
          stones.set(id, stone);
          map.delete(id);
          map.set(id, stone);
          const [oldest] = map.keys();
          if (map.size > max && oldest !== undefined) map.delete(oldest);
        } else {
          stones.delete(id);
          map.delete(id);
        }
        assert.equal(stones.size, map.size);
        assert.deepEqual(stones.get(id, 0), map.get(id));
        const another = idOf(draw(800));
        assert.deepEqual(stones.get(another, 0), map.get(another));
      }
    });

  test('of sessions that come back take no more memory than those that stay', () => {
    const collect = findCollector();
    assert.ok(collect !== undefined);
    const heldBytes = (): number => {
      collect({ type: 'major' });
      return process.memoryUsage().arrayBuffers;
    };
    const stones = new Tombstones(100_000);
    const stone = stoneOf(1);
    const before = heldBytes();
    for (let step = 0; step < 50_000; step += 1) {
      stones.set(idOf(step), stone);
      stones.delete(idOf(step - 10));
    }
    const growth = heldBytes() - before;
    assert.ok(growth < 100_000, `${growth} bytes`);
    assert.equal(stones.size, 10);
  });

  test('one is kept where none is asked for', () => {
    const stones = new Tombstones(0);
    stones.set(idOf(1), stoneOf(1));
    stones.set(idOf(2), stoneOf(2));
    assert.equal(stones.size, 1);
    assert.equal(stones.get(idOf(1), 0), undefined);
  });
});
