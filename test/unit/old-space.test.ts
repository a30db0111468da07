/**
 * What is done for every few bytes of a stream must allocate nothing in V8's old space: V8 begins to collect everything as soon as
 * something does, once so much memory of buffers is out as a bulk stream takes in milliseconds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { DeadlineHeap } from '../../packages/godwit/src/session/deadline-heap.ts';
import { Roster } from '../../packages/godwit/src/session/roster.ts';
import { ServerCarrier, ServerCarriers } from '../../packages/godwit/src/session/server-carrier.ts';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

const ROUNDS = 200_000;
/** Code that V8 makes better meanwhile is there, too. */
const GROWTH_MAX_BYTES = 1_000_000;

function usedOfOldSpace(): number {
  return (
    v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0
  );
}

/** Bytes of old space that so many rounds take, after everything that lives long is there. */
function growthOf(round: () => void): number {
  for (let count = 0; count < ROUNDS / 10; count += 1) round();
  collect();
  const before = usedOfOldSpace();
  for (let count = 0; count < ROUNDS; count += 1) round();
  return usedOfOldSpace() - before;
}

test('a set that is emptied again and again does allocate there: the measurement can see it', () => {
  const set = new Set<number>();
  const growth = growthOf(() => {
    set.add(1);
    set.delete(1);
  });
  assert.ok(growth > GROWTH_MAX_BYTES, `${growth} bytes`);
});

test('a carrier that has something to send, and has sent it, allocates nothing in the old space', () => {
  const carriers = new ServerCarriers(new DeadlineHeap(), { maxMigratesPerSecond: 0, maxOpensPerSecond: 0 });
  carriers.add(new ServerCarrier(1, new Uint8Array(16), {}, 1, () => undefined));
  const frame = new Uint8Array(1);
  const growth = growthOf(() => {
    carriers.queue(1, frame);
    carriers.setBusy(1, true);
    carriers.setBusy(1, false);
    carriers.setWritable(1, false);
    carriers.setWritable(1, true);
    while (carriers.transmit() !== undefined);
  });
  assert.ok(growth < GROWTH_MAX_BYTES, `${growth} bytes`);
});

/** Bytes of old space that members take who come, stay for a little while, and go. */
function growthByMembers(members: {
  set(id: number, value: object): unknown;
  delete(id: number): boolean;
}): number {
  let id = 0;
  return growthOf(() => {
    id += 1;
    members.set(id, new Array<number>(20).fill(id));
    members.delete(id - 32);
  });
}

test('what comes into a map and goes does outlive collections of the young generation: the measurement can see it', () => {
  const growth = growthByMembers(new Map<number, object>());
  assert.ok(growth > GROWTH_MAX_BYTES * 2, `${growth} bytes`);
});

test('what comes into a roster and goes does not', () => {
  const growth = growthByMembers(new Roster<number, object>());
  assert.ok(growth < GROWTH_MAX_BYTES, `${growth} bytes`);
});
