import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { StreamComparer } from './comparer.ts';
import type { Verdict } from './comparer.ts';
import { bytesFromSeed } from './choices.ts';
import type { Source } from './source.ts';

const BLOCK = 4096;

/** A source in memory. Like a file's, its results share one buffer. */
class BytesSource implements Source {
  readonly bytes: Uint8Array;
  readonly #shared: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#shared = new Uint8Array(bytes.length);
  }

  get length(): number {
    return this.bytes.length;
  }

  read(offset: number, length: number): Uint8Array {
    const found = this.bytes.subarray(offset, offset + length);
    this.#shared.set(found);
    return this.#shared.subarray(0, found.length);
  }
}

const source = new BytesSource(bytesFromSeed(7, 512 * 1024));

function compare(stream: Uint8Array, chunkBytes = 10_000, from: Source = source): Verdict {
  const comparer = new StreamComparer(from);
  for (let at = 0; at < stream.length; at += chunkBytes) comparer.push(stream.subarray(at, at + chunkBytes));
  return comparer.end();
}

function bytesOf({ lost, duplicated, corrupt }: Verdict): object {
  return { lost, duplicated, corrupt };
}

function without(bytes: Uint8Array, at: number, length = BLOCK): Buffer {
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
}

function doubled(bytes: Uint8Array, at: number, length = BLOCK): Buffer {
  return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
}

function damaged(bytes: Uint8Array, at: number, length = BLOCK): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = at; i < at + length; i++) copy[i] = ~(copy[i] ?? 0);
  return copy;
}

describe('the stream comparer', () => {
  test('finds nothing wrong with the source itself', () => {
    assert.deepEqual(bytesOf(compare(source.bytes)), { lost: 0, duplicated: 0, corrupt: 0 });
  });

  test('counts a lost block as one lost block', () => {
    const verdict = compare(without(source.bytes, 100_000));
    assert.deepEqual(bytesOf(verdict), { lost: BLOCK, duplicated: 0, corrupt: 0 });
    assert.deepEqual(verdict.incidents, { lost: 1, duplicated: 0, corrupt: 0 });
  });

  test('counts a block that came twice as one duplicated block', () => {
    const verdict = compare(doubled(source.bytes, 100_000));
    assert.deepEqual(bytesOf(verdict), { lost: 0, duplicated: BLOCK, corrupt: 0 });
    assert.deepEqual(verdict.incidents, { lost: 0, duplicated: 1, corrupt: 0 });
  });

  test('counts a block with other bytes as one corrupt block', () => {
    const verdict = compare(damaged(source.bytes, 100_000));
    assert.deepEqual(bytesOf(verdict), { lost: 0, duplicated: 0, corrupt: BLOCK });
    assert.deepEqual(verdict.incidents, { lost: 0, duplicated: 0, corrupt: 1 });
  });

  test('counts one of each, planted in one stream', () => {
    const stream = without(doubled(damaged(source.bytes, 400_000), 250_000), 100_000);
    assert.deepEqual(compare(stream).incidents, { lost: 1, duplicated: 1, corrupt: 1 });
    assert.deepEqual(bytesOf(compare(stream)), { lost: BLOCK, duplicated: BLOCK, corrupt: BLOCK });
  });

  test('calls what is missing at the end lost', () => {
    const stream = source.bytes.subarray(0, source.length - 1);
    assert.deepEqual(bytesOf(compare(stream)), { lost: 1, duplicated: 0, corrupt: 0 });
    assert.deepEqual(bytesOf(compare(new Uint8Array(0))), { lost: source.length, duplicated: 0, corrupt: 0 });
  });

  test('calls the end of the source, sent once more, duplicated', () => {
    const stream = Buffer.concat([source.bytes, source.bytes.subarray(-BLOCK)]);
    assert.deepEqual(bytesOf(compare(stream)), { lost: 0, duplicated: BLOCK, corrupt: 0 });
  });

  test('calls bytes that are in no source corrupt, behind the end too', () => {
    const stream = Buffer.concat([source.bytes, bytesFromSeed(8, 100)]);
    assert.deepEqual(bytesOf(compare(stream)), { lost: 0, duplicated: 0, corrupt: 100 });
  });

  test('notices one flipped bit, the last one included', () => {
    for (const at of [0, 300_000, source.length - 1]) {
      const copy = Buffer.from(source.bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      assert.deepEqual(bytesOf(compare(copy)), { lost: 0, duplicated: 0, corrupt: 1 }, `at ${at}`);
    }
  });

  test('finds its place among runs of zeros', () => {
    const bytes = Buffer.from(bytesFromSeed(9, 300_000));
    bytes.fill(0, 90_000, 130_000);
    bytes.fill(0, 200_000, 201_000);
    const sparse = new BytesSource(bytes);
    assert.deepEqual(bytesOf(compare(without(bytes, 88_000), 10_000, sparse)), {
      lost: BLOCK,
      duplicated: 0,
      corrupt: 0,
    });
    assert.deepEqual(bytesOf(compare(doubled(bytes, 100_000), 10_000, sparse)), {
      lost: 0,
      duplicated: BLOCK,
      corrupt: 0,
    });
    assert.deepEqual(bytesOf(compare(damaged(bytes, 110_000, 1), 10_000, sparse)), {
      lost: 0,
      duplicated: 0,
      corrupt: 1,
    });
  });

  test('finds its place behind damage and loss at one spot', () => {
    const stream = damaged(without(source.bytes, 100_000, BLOCK), 100_000, 1000);
    assert.deepEqual(bytesOf(compare(stream)), { lost: BLOCK, duplicated: 0, corrupt: 1000 });
  });

  test('says the same however the stream is cut, and when it moves to another process on the way', () => {
    const edit = fc.record({
      kind: fc.constantFrom(without, doubled, damaged),
      at: fc.nat(source.length - 20_000),
      length: fc.integer({ min: 1, max: 10_000 }),
    });
    fc.assert(
      fc.property(
        fc.array(edit, { maxLength: 3 }),
        fc.integer({ min: 500, max: 200_000 }),
        (edits, chunkBytes) => {
          let stream: Uint8Array = source.bytes;
          for (const { kind, at, length } of edits) stream = kind(stream, at, length);
          const whole = compare(stream, stream.length);

          let comparer = new StreamComparer(source);
          for (let at = 0; at < stream.length; at += chunkBytes) {
            comparer.push(stream.subarray(at, at + chunkBytes));
            const state = JSON.stringify(comparer.exportState());
            comparer = new StreamComparer(
              source,
              JSON.parse(state) as ReturnType<typeof comparer.exportState>,
            );
          }
          assert.deepEqual(comparer.end(), whole);
          const { lost, duplicated, corrupt } = whole;
          if (edits.length > 0) assert.ok(lost + duplicated + corrupt > 0 || stream.every(isInPlace));
        },
      ),
      { numRuns: 30 },
    );
  });
});

function isInPlace(byte: number, at: number): boolean {
  return byte === source.bytes[at];
}
