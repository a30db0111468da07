import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODE, ProtocolError, WireCode, errorCodeOf } from './codes.ts';

test('wire codes count from 0 without a gap, so that none was reused or removed', () => {
  const numbers = Object.values(WireCode);
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index),
  );
});

test('every wire code has a code for applications, and an unknown one reads as a protocol error', () => {
  for (const code of Object.values(WireCode)) {
    assert.equal(errorCodeOf(code), ERROR_CODE[code]);
    assert.match(ERROR_CODE[code], /^(?:ERR_GODWIT_[A-Z_]+|E[A-Z]+)$/);
  }
  for (const code of [Object.keys(WireCode).length, 0xffff, -1, Number.NaN]) {
    assert.equal(errorCodeOf(code), 'ERR_GODWIT_PROTOCOL');
  }
});

test('a protocol error carries both codes, and by default no hope of another server', () => {
  const error = new ProtocolError(WireCode.Busy, 'full', true);
  assert.deepEqual(
    [error.name, error.message, error.wireCode, error.code, error.tryElsewhere],
    ['ProtocolError', 'full', WireCode.Busy, 'ERR_GODWIT_BUSY', true],
  );
  assert.equal(new ProtocolError(WireCode.Protocol, '').tryElsewhere, false);
});
