import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DATA_TYPE,
  Role,
  concatBytes,
  encodeFrame,
  encodeHeader,
  encodePreface,
  frames,
} from '../wire/index.ts';
import { FrameScanner } from './frame-scanner.ts';

const DATA = Buffer.from('some bytes of the stream');
const SENT = concatBytes([
  encodePreface(Role.Client),
  encodeFrame('snapshotAck', { epoch: 1, k: 2 }),
  encodeHeader(DATA_TYPE, DATA.byteLength),
  DATA,
  encodeHeader(DATA_TYPE, 0),
  encodeFrame('fin', { offset: DATA.byteLength }),
]);

test('what passes is told apart however it is cut, and no byte is lost or held back for good', () => {
  for (let size = 1; size <= SENT.byteLength; size += 1) {
    const scanner = new FrameScanner('client');
    const passing = [];
    for (let at = 0; at < SENT.byteLength; at += size)
      passing.push(...scanner.push(SENT.subarray(at, at + size)));
    assert.deepEqual(concatBytes(passing.map(({ bytes }) => bytes)), SENT);
    const data = passing.filter(({ what }) => what === 'data').map(({ bytes }) => bytes);
    assert.deepEqual(Buffer.concat(data), DATA);
    const control = passing.flatMap((piece) => (piece.what === 'control' ? [piece.type] : []));
    assert.deepEqual(control, [frames.snapshotAck.type, frames.fin.type]);
  }
});

test('a server sends no preface', () => {
  const pong = encodeFrame('pong', { token: 7 });
  const [piece, ...others] = new FrameScanner('server').push(pong);
  assert.deepEqual(others, []);
  assert.ok(piece?.what === 'control' && piece.type === frames.pong.type);
  assert.deepEqual(piece.payload, pong.subarray(4));
});
