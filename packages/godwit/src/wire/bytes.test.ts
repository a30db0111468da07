import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter, concatBytes, equalBytes, fromHex, toHex } from './bytes.ts';
import { ProtocolError } from './codes.ts';

const WIDTHS = [
  ['u8', 1],
  ['u16', 2],
  ['u32', 4],
  ['u48', 6],
  ['u64', 8],
] as const;

describe('a writer and a reader', () => {
  for (const [method, bytes] of WIDTHS) {
    const max = Math.min(2 ** (bytes * 8) - 1, Number.MAX_SAFE_INTEGER);

    test(`agree on ${method}, big-endian, of any value`, () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max }), (value) => {
          const writer = new ByteWriter();
          writer[method](value);
          const written = writer.finish();
          assert.equal(toHex(written), value.toString(16).padStart(bytes * 2, '0'));
          assert.equal(new ByteReader(written)[method](), value);
        }),
      );
    });

    test(`agree on ${method} wherever the buffer has to grow for it`, () => {
      for (let before = 0; before <= 20; before += 1) {
        const writer = new ByteWriter(8);
        writer.bytes(new Uint8Array(before));
        writer[method](max);
        writer[method](1);
        assert.equal(writer.length, before + 2 * bytes);
        const reader = new ByteReader(writer.finish());
        reader.bytes(before);
        assert.deepEqual([reader[method](), reader[method](), reader.remaining], [max, 1, 0]);
      }
    });

    test(`refuse ${method} that is too large, negative, broken or no number`, () => {
      for (const value of [max + 1, -1, 0.5, Number.NaN, Infinity]) {
        assert.throws(() => {
          new ByteWriter()[method](value);
        }, RangeError);
      }
    });

    test(`notice that ${method} runs past the end`, () => {
      const reader = new ByteReader(new Uint8Array(bytes - 1));
      assert.throws(() => reader[method](), ProtocolError);
      assert.equal(reader.remaining, bytes - 1);
    });
  }
});

describe('writers that share memory', () => {
  test('one that began in memory that is used up gives none of the new one back', () => {
    for (let attempt = 0; attempt < 64; attempt += 1) {
      // Wherever the pool stands: it ends where one of these begins, and another has begun in the next by then.
      const old = new ByteWriter(1_024);
      const others = Array.from({ length: 8 }, () => new ByteWriter(512));
      for (const [index, other] of others.entries()) other.bytes(new Uint8Array(512).fill(index));
      old.bytes(new Uint8Array(100 + attempt));
      old.finish();
      const late = new ByteWriter(700);
      late.bytes(new Uint8Array(700).fill(0xff));
      for (const [index, other] of others.entries())
        assert.ok(
          other.finish().every((byte) => byte === index),
          String(attempt),
        );
    }
  });

  test('do not touch what another has written, in whatever order they begin, grow and finish', () => {
    const step = fc.record({
      writer: fc.nat({ max: 5 }),
      capacity: fc.constantFrom(1, 64, 65, 100, 700, 1_024, 1_025, 5_000),
      bytes: fc.uint8Array({ maxLength: 300 }),
      finishes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const writers = new Map<number, { readonly writer: ByteWriter; readonly expected: number[] }>();
        const finished: { readonly written: Uint8Array; readonly expected: readonly number[] }[] = [];
        for (const { writer: name, capacity, bytes, finishes } of steps) {
          const current = writers.get(name) ?? { writer: new ByteWriter(capacity), expected: [] };
          writers.set(name, current);
          current.writer.bytes(bytes);
          current.expected.push(...bytes);
          assert.equal(current.writer.length, current.expected.length);
          if (!finishes) continue;
          writers.delete(name);
          finished.push({ written: current.writer.finish(), expected: current.expected });
        }
        for (const { written, expected } of finished) assert.deepEqual([...written], expected);
      }),
    );
  });
});

describe('a reader', () => {
  test('refuses a 64-bit number above 2^53 − 1, and takes that one', () => {
    assert.equal(new ByteReader(fromHex('001fffffffffffff')).u64(), Number.MAX_SAFE_INTEGER);
    for (const hex of ['0020000000000000', 'ffffffffffffffff', '8000000000000000']) {
      assert.throws(() => new ByteReader(fromHex(hex)).u64(), ProtocolError, hex);
    }
  });

  test('reads a view at its own offset', () => {
    const reader = new ByteReader(fromHex('ffff0102ffff').subarray(2, 4));
    assert.equal(reader.u16(), 0x0102);
    assert.throws(() => reader.u8(), ProtocolError);
  });

  test('gives bytes as a copy, also of a Buffer', () => {
    for (const source of [Uint8Array.of(1, 2, 3), Buffer.from([1, 2, 3])]) {
      const taken = new ByteReader(source).bytes(3);
      source.fill(9);
      assert.deepEqual(taken, Uint8Array.of(1, 2, 3));
    }
  });

  test('refuses bytes and text that run past the end', () => {
    assert.throws(() => new ByteReader(new Uint8Array(3)).bytes(4), ProtocolError);
    assert.throws(() => new ByteReader(new Uint8Array(3)).text(4), ProtocolError);
  });

  test('refuses text that is not UTF-8', () => {
    for (const hex of ['ff', 'c3', 'c080', 'eda080', 'f4908080', '61e282']) {
      assert.throws(() => new ByteReader(fromHex(hex)).text(hex.length / 2), ProtocolError, hex);
    }
  });

  test('leaves a byte order mark in the text', () => {
    assert.equal(new ByteReader(fromHex('efbbbf61')).text(4), '\ufeffa');
  });
});

describe('hexadecimal', () => {
  test('gives back the bytes it was made from', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.equal(toHex(bytes), Buffer.from(bytes).toString('hex'));
        assert.deepEqual(fromHex(toHex(bytes)), bytes);
      }),
    );
  });

  test('is refused when it is odd, in capitals or something else', () => {
    for (const text of ['0', 'AB', '0x', 'zz', ' 00', '00\n'])
      assert.throws(() => fromHex(text), RangeError, text);
  });
});

test('bytes are equal only when length and every byte are', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  assert.ok(equalBytes(bytes, Buffer.from([1, 2, 3])));
  assert.ok(equalBytes(new Uint8Array(0), new Uint8Array(0)));
  for (const other of [
    [1, 2],
    [1, 2, 3, 4],
    [0, 2, 3],
    [1, 0, 3],
    [1, 2, 0],
  ]) {
    assert.ok(!equalBytes(bytes, Uint8Array.from(other)), String(other));
  }
});

test('parts are joined in order', () => {
  assert.deepEqual(concatBytes([]), new Uint8Array(0));
  assert.deepEqual(
    concatBytes([Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)]),
    Uint8Array.of(1, 2, 3),
  );
});
