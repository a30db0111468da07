import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORD_BYTES, StampCounter, stampedRecord } from './stamps.ts';

function records(...numbers: readonly number[]): Buffer {
  return Buffer.concat(numbers.map(stampedRecord));
}

test('records in order, in whatever pieces, are neither lost nor doubled', () => {
  const bytes = records(0, 1, 2, 3, 4, 5, 6, 7);
  for (const size of [1, 7, 63, 64, 65, 128, 200, 512]) {
    const counter = new StampCounter();
    for (let offset = 0; offset < bytes.length; offset += size)
      counter.push(bytes.subarray(offset, offset + size));
    assert.deepEqual(counter.verdict, { received: 8 * RECORD_BYTES, lost: 0, doubled: 0 });
    assert.equal(counter.expected, 8);
  }
});

test('a planted loss is counted', () => {
  const counter = new StampCounter();
  counter.push(records(0, 1, 4, 5));
  assert.deepEqual(counter.verdict, { received: 4 * RECORD_BYTES, lost: 2 * RECORD_BYTES, doubled: 0 });
});

test('a planted double is counted', () => {
  const counter = new StampCounter();
  counter.push(records(0, 1, 2, 1, 2, 3));
  assert.deepEqual(counter.verdict, { received: 6 * RECORD_BYTES, lost: 0, doubled: 2 * RECORD_BYTES });
});

test('one of each, in one stream', () => {
  const counter = new StampCounter();
  counter.push(records(0, 1, 0, 1, 2, 3, 5));
  assert.deepEqual(counter.verdict, {
    received: 7 * RECORD_BYTES,
    lost: RECORD_BYTES,
    doubled: 2 * RECORD_BYTES,
  });
});

test('part of a record in front of a restart comes twice', () => {
  const counter = new StampCounter();
  counter.push(records(0, 1).subarray(0, RECORD_BYTES + 10));
  counter.restart();
  counter.push(records(0, 1, 2));
  assert.equal(counter.verdict.doubled, RECORD_BYTES + 10);
  assert.equal(counter.verdict.lost, 0);
});

test('bytes that are no record, or one that lost bytes within, are no stream at all', () => {
  assert.throws(() => new StampCounter().push(Buffer.alloc(RECORD_BYTES, '0123456789')), /is none/);
  const bytes = records(300, 301);
  const torn = Buffer.concat([bytes.subarray(0, 20), bytes.subarray(30)]);
  assert.throws(() => new StampCounter().push(torn), /is none/);
});
