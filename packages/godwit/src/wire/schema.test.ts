import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';
import {
  bytes,
  choice,
  decodeStruct,
  encodeStruct,
  fixed,
  flag,
  list,
  message,
  rest,
  sumOf,
  text,
  u16,
  u8,
} from './schema.ts';
import type { Fields } from './schema.ts';

/** The peer's fault, by its code and what the message says. */
function protocolError(says: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof ProtocolError && error.wireCode === WireCode.Protocol && says.test(error.message);
}

function refuses(fields: Fields, hex: string, says: RegExp): void {
  assert.throws(() => decodeStruct(fields, fromHex(hex)), protocolError(says), hex);
}

test('a struct is its fields in the order of their declaration', () => {
  const fields = { first: u8, second: u16, third: flag };
  assert.equal(toHex(encodeStruct(fields, { third: true, second: 0x1234, first: 0xff })), 'ff123401');
  assert.deepEqual(decodeStruct(fields, fromHex('ff123401')), { first: 0xff, second: 0x1234, third: true });
});

test('a struct ends with its last field', () => {
  refuses({ value: u8 }, '0102', /^1 bytes behind the last field$/);
  refuses({}, '00', /behind the last field/);
});

test('a struct that is cut short is refused at every length', () => {
  const fields = { a: u16, b: bytes(8), c: list({ d: text(8) }, 2), e: fixed(2) };
  const whole = encodeStruct(fields, {
    a: 1,
    b: Uint8Array.of(1),
    c: [{ d: 'x' }, { d: 'y' }],
    e: new Uint8Array(2),
  });
  for (let length = 0; length < whole.byteLength; length += 1) {
    assert.throws(
      () => decodeStruct(fields, whole.subarray(0, length)),
      protocolError(/truncated/),
      String(length),
    );
  }
});

describe('a flag', () => {
  test('is 0 or 1', () => {
    assert.deepEqual(decodeStruct({ on: flag }, fromHex('00')), { on: false });
    assert.deepEqual(decodeStruct({ on: flag }, fromHex('01')), { on: true });
    for (let value = 2; value < 256; value += 1)
      refuses({ on: flag }, toHex(Uint8Array.of(value)), /a flag is/);
  });
});

describe('a choice', () => {
  const fields = { mode: choice({ Slow: 0, Fast: 2 }) };
  test('is one of its values, when written and when read', () => {
    for (const mode of [0, 2])
      assert.deepEqual(decodeStruct(fields, encodeStruct(fields, { mode })), { mode });
    refuses(fields, '01', /a field is 1, none of 0, 2/);
    assert.throws(() => encodeStruct(fields, { mode: 1 }), RangeError);
  });
});

describe('bytes', () => {
  test('of a fixed length have that length', () => {
    for (const length of [0, 1, 3]) {
      assert.throws(() => encodeStruct({ id: fixed(2) }, { id: new Uint8Array(length) }), RangeError);
    }
  });

  test('of any length up to the limit come behind their length', () => {
    const fields = { data: bytes(3) };
    assert.equal(toHex(encodeStruct(fields, { data: Uint8Array.of(1, 2, 3) })), '0003010203');
    assert.throws(() => encodeStruct(fields, { data: new Uint8Array(4) }), RangeError);
    refuses(fields, '000401020304', /4 bytes is over its limit of 3/);
  });

  test('that may be longer than 65,535 have a longer length, which is checked before anything is allocated', () => {
    const fields = { data: bytes(70_000) };
    const data = new Uint8Array(70_000).fill(7);
    const encoded = encodeStruct(fields, { data });
    assert.equal(encoded.byteLength, 70_004);
    assert.deepEqual(decodeStruct(fields, encoded), { data });
    refuses(fields, 'ffffffff', /over its limit of 70000/);
    refuses(fields, '00011171', /over its limit of 70000/);
    refuses(fields, '00011170', /truncated/);
  });

  test('that take the rest take all of it', () => {
    const fields = { first: u8, data: rest };
    assert.deepEqual(decodeStruct(fields, fromHex('01')), { first: 1, data: new Uint8Array(0) });
    assert.deepEqual(decodeStruct(fields, fromHex('010203')), { first: 1, data: Uint8Array.of(2, 3) });
  });
});

describe('text', () => {
  const fields = { name: text(4) };

  test('over its limit is refused, when written and when read: half a name is no name', () => {
    assert.throws(() => encodeStruct(fields, { name: 'abcde' }), RangeError);
    assert.throws(() => encodeStruct(fields, { name: 'ééé' }), RangeError);
    refuses(fields, '00056162636465', /5 bytes is over its limit of 4/);
  });

  test('that is not UTF-8 is refused', () => {
    refuses(fields, '0001ff', /not UTF-8/);
  });

  test('that is a message is cut at the end of a character instead', () => {
    const cut = (value: string, max: number): string => {
      const encoded = encodeStruct({ value: message(max) }, { value });
      assert.ok(encoded.byteLength <= 2 + max);
      return decodeStruct({ value: message(max) }, encoded).value;
    };
    assert.equal(cut('abcd', 4), 'abcd');
    assert.equal(cut('abcde', 4), 'abcd');
    assert.equal(cut('abéé', 5), 'abé');
    assert.equal(cut('ab\u{1f426}', 5), 'ab');
    assert.equal(cut('a\ufffd\ufffd', 5), 'a\ufffd');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 0, max: 12 }), (value, max) => {
        const kept = cut(value, max);
        assert.ok(value.startsWith(kept));
        const next = value.slice(kept.length).match(/^./su)?.[0] ?? '';
        if (next !== '')
          assert.ok(Buffer.byteLength(kept + next) > max, 'one more character would have fitted');
      }),
    );
  });
});

describe('a list', () => {
  const fields = { items: list({ id: u8, name: text(2) }, 2) };

  test('has its count before its items', () => {
    const items = [
      { id: 1, name: 'a' },
      { id: 2, name: '' },
    ];
    assert.equal(toHex(encodeStruct(fields, { items })), '0002010001610200' + '00');
    assert.deepEqual(decodeStruct(fields, encodeStruct(fields, { items })), { items });
  });

  test('over its limit is refused, when written and when read', () => {
    const items = Array.from({ length: 3 }, (_, id) => ({ id, name: '' }));
    assert.throws(() => encodeStruct(fields, { items }), RangeError);
    refuses(fields, '0003010000020000030000', /3 items is over its limit of 2/);
    refuses(fields, 'ffff', /65535 items is over its limit of 2/);
  });
});

test('fields know the least and the most bytes they take', () => {
  const fields = { a: u16, b: bytes(10), c: text(20), d: list({ e: u8, f: bytes(3) }, 4), g: fixed(5) };
  assert.equal(sumOf(fields, 'minBytes'), 2 + 2 + 2 + 2 + 5);
  assert.equal(sumOf(fields, 'maxBytes'), 2 + 12 + 22 + (2 + 4 * (1 + 5)) + 5);
  assert.equal(sumOf({ a: u16, b: rest }, 'maxBytes'), Infinity);
});
