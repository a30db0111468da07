import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toHex } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';
import { PROTOCOL_VERSION } from './limits.ts';
import { PREFACE_BYTES, Role, decodePreface, encodePreface, mayBePreface } from './preface.ts';

test('a preface says which version the sender speaks, and as what', () => {
  assert.equal(toHex(encodePreface(Role.Client)), '676f647769740d0a01010000');
  for (const role of [Role.Client, Role.Peer, Role.Trunk]) {
    const preface = encodePreface(role);
    assert.equal(preface.byteLength, PREFACE_BYTES);
    assert.deepEqual(decodePreface(preface), {
      version: PROTOCOL_VERSION,
      minVersion: PROTOCOL_VERSION,
      role,
    });
    assert.deepEqual(decodePreface(Buffer.concat([preface, Buffer.from('data')])).role, role);
  }
});

test('every wrong byte of a preface is noticed, and a wrong version by its own code', () => {
  const good = encodePreface(Role.Client);
  for (let at = 0; at < PREFACE_BYTES; at += 1) {
    for (let value = 0; value < 256; value += 1) {
      const preface = good.slice();
      preface[at] = value;
      const isOtherRole = at === 10 && (value === Role.Peer || value === Role.Trunk);
      if (value === good[at] || isOtherRole) continue;
      const wireCode = at === 8 ? WireCode.Version : WireCode.Protocol;
      assert.throws(
        () => decodePreface(preface),
        (error) => error instanceof ProtocolError && error.wireCode === wireCode,
        `byte ${at} is ${value}`,
      );
    }
  }
});

test('a preface that is cut short is refused', () => {
  for (let length = 0; length < PREFACE_BYTES; length += 1) {
    assert.throws(
      () => decodePreface(encodePreface(Role.Client).subarray(0, length)),
      ProtocolError,
      String(length),
    );
  }
});

describe('whether bytes may become a preface', () => {
  test('is left open by every beginning of one', () => {
    for (const role of [Role.Client, Role.Peer, Role.Trunk]) {
      for (let length = 0; length <= PREFACE_BYTES; length += 1) {
        assert.ok(mayBePreface(encodePreface(role).subarray(0, length)), String(length));
      }
    }
  });

  for (const [protocol, first] of [
    ['HTTP/1', 'GET / HTTP/1.1\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00'],
    ['SSH', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['SMTP', 'EHLO example.org\r\n'],
    ['the PROXY protocol', 'PROXY TCP4 '],
    ['the PROXY protocol in binary', '\r\n\r\n\0\r\nQUIT\n'],
    ['Redis', '*1\r\n$4\r\nPING\r\n'],
    ['PostgreSQL', '\0\0\0\x08\x04\xd2\x16\x2f'],
  ] as const) {
    test(`is settled by the first byte of ${protocol}`, () => {
      assert.ok(!mayBePreface(Buffer.from(first.slice(0, 1), 'latin1')));
      assert.ok(!mayBePreface(Buffer.from(first, 'latin1')));
    });
  }

  test('is settled by the first byte that differs, however much comes behind it', () => {
    const preface = encodePreface(Role.Client);
    for (let at = 0; at < 8; at += 1) {
      const wrong = preface.slice();
      wrong[at] = 0x20;
      assert.ok(!mayBePreface(wrong.subarray(0, at + 1)), String(at));
      assert.ok(!mayBePreface(wrong), String(at));
    }
  });
});
