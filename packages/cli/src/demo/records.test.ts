import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Draw, bytesFromSeed } from './choices.ts';
import type { Verdict } from './comparer.ts';
import { PAYLOAD_MAX_BYTES, RecordReader, RecordWriter } from './records.ts';

const records = writeRecords(60);
const stream = Buffer.concat(records);

function writeRecords(count: number): Buffer[] {
  const draw = new Draw(5);
  const noise = bytesFromSeed(5, 2 * PAYLOAD_MAX_BYTES);
  const writer = new RecordWriter({
    payloadBytes: () => 1 + draw.below(PAYLOAD_MAX_BYTES),
    fill: (payload) => payload.set(noise.subarray(draw.below(100)).subarray(0, payload.length)),
  });
  return Array.from({ length: count }, () => writer.next());
}

function read(bytes: Buffer, chunkBytes = 10_000): Verdict {
  const reader = new RecordReader();
  for (let at = 0; at < bytes.length; at += chunkBytes) reader.push(bytes.subarray(at, at + chunkBytes));
  return reader.end(stream.length);
}

function bytesOf({ lost, duplicated, corrupt }: Verdict): object {
  return { lost, duplicated, corrupt };
}

describe('the reader of records', () => {
  test('finds nothing wrong with what the writer wrote', () => {
    assert.deepEqual(bytesOf(read(stream)), { lost: 0, duplicated: 0, corrupt: 0 });
  });

  test('counts a lost record, a doubled one and a damaged one as one each', () => {
    const lost = records[10] ?? Buffer.alloc(0);
    const doubled = records[20] ?? Buffer.alloc(0);
    const damaged = Buffer.from(records[30] ?? []);
    damaged[500] = (damaged[500] ?? 0) ^ 4;
    const bytes = Buffer.concat([
      ...records.slice(0, 10),
      ...records.slice(11, 20),
      doubled,
      ...records.slice(20, 30),
      damaged,
      ...records.slice(31),
    ]);
    const verdict = read(bytes);
    assert.deepEqual(verdict.incidents, { lost: 1, duplicated: 1, corrupt: 1 });
    assert.deepEqual(bytesOf(verdict), {
      lost: lost.length,
      duplicated: doubled.length,
      corrupt: damaged.length,
    });
  });

  test('counts a block that is lost or doubled in the middle of a record by its bytes', () => {
    const at = 123_456;
    assert.deepEqual(bytesOf(read(Buffer.concat([stream.subarray(0, at), stream.subarray(at + 1000)]))), {
      lost: 1000,
      duplicated: 0,
      corrupt: 0,
    });
    assert.deepEqual(bytesOf(read(Buffer.concat([stream.subarray(0, at), stream.subarray(at - 1000)]))), {
      lost: 0,
      duplicated: 1000,
      corrupt: 0,
    });
  });

  test('calls what is missing at the end lost', () => {
    assert.deepEqual(bytesOf(read(stream.subarray(0, -10))), { lost: 10, duplicated: 0, corrupt: 0 });
    assert.deepEqual(bytesOf(read(Buffer.concat(records.slice(0, -1)))), {
      lost: records.at(-1)?.length,
      duplicated: 0,
      corrupt: 0,
    });
  });

  test('gives record by record what was sent, with its number and its place', () => {
    const reader = new RecordReader();
    let offset = 0;
    for (const [sequence, record] of records.entries()) {
      reader.append(record.subarray(0, 40));
      assert.equal(reader.next(), undefined);
      assert.equal(reader.pendingBytes, 40);
      reader.append(record.subarray(40));
      const read = reader.next();
      assert.deepEqual(read, { sequence, offset, payload: record.subarray(28) });
      assert.equal(reader.pendingBytes, 0);
      offset += record.length;
    }
  });

  test('moves to another process between two records, at whatever chunk', () => {
    fc.assert(
      // Three chunks hold more than the longest record, or no record would ever be done.
      fc.property(fc.integer({ min: 6000, max: 60_000 }), (chunkBytes) => {
        let reader = new RecordReader();
        let consumed = 0;
        let at = 0;
        for (let chunks = 1; at < stream.length; chunks++) {
          consumed += reader.push(stream.subarray(at, at + chunkBytes)).length;
          at += chunkBytes;
          // Every third time the process dies, and the input is fed again from where it was consumed.
          if (chunks % 3 !== 0) continue;
          reader = new RecordReader(reader.state);
          at = consumed;
        }
        assert.equal(consumed, stream.length);
        assert.deepEqual(bytesOf(reader.end(stream.length)), { lost: 0, duplicated: 0, corrupt: 0 });
      }),
      { numRuns: 20 },
    );
  });
});
