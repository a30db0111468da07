import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lender } from './lender.ts';

/** A lender, and a socket that reads by it. */
function reader(): { read(length: number): boolean; memory(): Uint8Array } {
  const lender = new Lender();
  let wasLent = false;
  lender.lendTo({
    take: () => {
      wasLent = lender.isLending;
    },
  });
  const memory = lender.onread.buffer as () => Uint8Array;
  return {
    memory,
    read: (length) => {
      lender.onread.callback(length, memory());
      return wasLent;
    },
  };
}

test('small reads are lent, all from the same memory', () => {
  const { read, memory } = reader();
  const shared = memory();
  for (let count = 0; count < 3; count += 1) assert.equal(read(64), true);
  assert.equal(memory(), shared);
  assert.equal(reader().memory(), shared, "another socket's too");
});

test('large reads are given away, each piece of their memory once', () => {
  const { read, memory } = reader();
  assert.equal(read(64 * 1024), true, 'the first was not foreseen');
  const first = memory();
  assert.equal(read(64 * 1024), false);
  const second = memory();
  assert.equal(second.buffer, first.buffer);
  assert.equal(second.byteOffset, first.byteOffset + 64 * 1024);
});

test('a small read amid large ones is lent, and the memory for the next large one is kept', () => {
  const { read, memory } = reader();
  read(64 * 1024);
  const ready = memory();
  assert.equal(read(10), true);
  assert.equal(memory(), ready);
  assert.equal(read(64 * 1024), false);
});

test('a stream that is bulky no more gives the memory for large reads back', () => {
  const { read, memory } = reader();
  const shared = memory();
  read(64 * 1024);
  assert.notEqual(memory(), shared);
  for (let count = 0; count < 4; count += 1) read(64);
  assert.equal(memory(), shared);
});

/** Reads as TLS makes them, of `fill` each; what was passed on is noted. */
function records(): {
  lender: Lender;
  read(length: number, fill: number): void;
  passed: { bytes: number[]; wasLent: boolean }[];
} {
  const lender = new Lender({ gathers: true });
  const passed: { bytes: number[]; wasLent: boolean }[] = [];
  lender.lendTo({
    take: (chunk) => {
      // Enough to tell the records apart.
      const bytes = Array.from(
        { length: Math.ceil(chunk.byteLength / RECORD) },
        (_, at) => chunk[at * RECORD] ?? -1,
      );
      passed.push({ bytes: [chunk.byteLength, ...bytes], wasLent: lender.isLending });
    },
  });
  const memory = lender.onread.buffer as () => Uint8Array;
  return {
    lender,
    passed,
    read: (length, fill) => {
      const target = memory();
      target.fill(fill, 0, length);
      lender.onread.callback(length, target);
    },
  };
}
const RECORD = 16 * 1024;

test('full records of TLS are passed on together, as one piece of what the application may keep', () => {
  const { read, passed } = records();
  read(RECORD, 0);
  passed.length = 0;
  for (let fill = 1; fill <= 8; fill += 1) read(RECORD, fill);
  assert.deepEqual(passed, [
    { bytes: [4 * RECORD, 1, 2, 3, 4], wasLent: false },
    { bytes: [4 * RECORD, 5, 6, 7, 8], wasLent: false },
  ]);
});

test('a record that is not full passes on those before it, and then itself', () => {
  const { read, passed } = records();
  read(RECORD, 0);
  passed.length = 0;
  read(RECORD, 1);
  read(RECORD, 2);
  read(100, 3);
  read(9000, 4);
  assert.deepEqual(passed, [
    { bytes: [2 * RECORD, 1, 2], wasLent: false },
    { bytes: [100, 3], wasLent: true },
    { bytes: [9000, 4], wasLent: false },
  ]);
});

test('full records wait no longer than a turn of the event loop for more', async () => {
  const { read, passed } = records();
  read(RECORD, 0);
  passed.length = 0;
  read(RECORD, 1);
  assert.deepEqual(passed, []);
  await new Promise(setImmediate);
  assert.deepEqual(passed, [{ bytes: [RECORD, 1], wasLent: false }]);
});

test('what waits is passed on at once when it is asked for, and once', async () => {
  const { lender, read, passed } = records();
  read(RECORD, 0);
  passed.length = 0;
  read(RECORD, 1);
  lender.flush();
  lender.flush();
  await new Promise(setImmediate);
  assert.deepEqual(passed, [{ bytes: [RECORD, 1], wasLent: false }]);
});
