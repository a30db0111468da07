import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORD_BYTES_MAX, RecordReader, RecordType } from '../wire/index.ts';
import { RecordBatch } from './record-batch.ts';

/** What arrives of a batch's parts, by channel; and how many records of bytes brought it. */
function arrived(parts: readonly Uint8Array[]): Map<number, Buffer> {
  const all = new Map<number, Uint8Array[]>();
  const reader = new RecordReader({
    onBytes: (channel, piece) => void all.set(channel, [...(all.get(channel) ?? []), piece]),
    onOpen: (channel) => void all.set(channel, []),
    onClose: () => undefined,
    onRefused: () => undefined,
  });
  for (const part of parts) reader.push(part);
  return new Map([...all].map(([channel, pieces]) => [channel, Buffer.concat(pieces)]));
}

test('small writes of several channels leave as one part', () => {
  const batch = new RecordBatch();
  batch.add(RecordType.Open, 1);
  batch.addBytes(1, [Buffer.from('he'), Buffer.from('llo')]);
  batch.addBytes(2, [Buffer.from('x')]);
  assert.equal(batch.byteLength, 3 * 8 + 6);
  const parts = batch.take();
  assert.equal(parts.length, 1);
  assert.deepEqual(
    [...arrived(parts)].map(([channel, bytes]) => `${channel}:${bytes.toString()}`),
    ['1:hello', '2:x'],
  );
  assert.equal(batch.byteLength, 0);
  assert.deepEqual(batch.take(), []);
});

test('large parts are passed on where they are, in order with small ones', () => {
  const batch = new RecordBatch();
  const large = Buffer.alloc(100_000, 'l');
  batch.addBytes(7, [Buffer.from('a'), large, Buffer.from('z')]);
  const parts = batch.take();
  assert.equal(parts[1], large);
  const bytes = arrived(parts).get(7);
  assert.ok(bytes?.equals(Buffer.concat([Buffer.from('a'), large, Buffer.from('z')])));
});

test('what one batch gave is not changed by the next ones', () => {
  const batch = new RecordBatch();
  const given: { parts: readonly Uint8Array[]; text: string }[] = [];
  for (let round = 0; round < 200; round += 1) {
    const text = String(round).repeat(1 + (round % 997));
    batch.addBytes(1, [Buffer.from(text)]);
    given.push({ parts: batch.take(), text });
  }
  for (const { parts, text } of given) assert.equal(arrived(parts).get(1)?.toString(), text);
});

test('more than a record takes is cut into several', () => {
  const batch = new RecordBatch();
  const huge = Buffer.alloc(RECORD_BYTES_MAX + 3, 'h');
  huge.write('end', RECORD_BYTES_MAX);
  batch.addBytes(1, [Buffer.from('begin'), huge]);
  const bytes = arrived(batch.take()).get(1);
  assert.equal(bytes?.byteLength, huge.byteLength + 5);
  assert.equal(bytes?.subarray(-3).toString(), 'end');
});

test('no bytes make no record', () => {
  const batch = new RecordBatch();
  batch.addBytes(1, [new Uint8Array(0)]);
  batch.addBytes(1, []);
  assert.deepEqual(batch.take(), []);
});
