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
