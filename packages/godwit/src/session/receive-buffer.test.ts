import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReceiveBuffer } from './receive-buffer.ts';

const WINDOW_BYTES = 64 * 1024;

/** All that can be read, and the buffers it lies in. */
function readAll(buffer: ReceiveBuffer): { bytes: Buffer; memoryBytes: number; chunks: number } {
  const chunks: Uint8Array[] = [];
  for (let chunk = buffer.read(); chunk !== undefined && chunk !== 'end'; chunk = buffer.read())
    chunks.push(chunk);
  const buffers = new Set(chunks.map((chunk) => chunk.buffer));
  const memoryBytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  return { bytes: Buffer.concat(chunks), memoryBytes, chunks: chunks.length };
}

/** Byte `i` of what is sent. */
const byteAt = (i: number): number => (i * 7 + (i >>> 8)) & 0xff;
const expected = Buffer.from(Array.from({ length: WINDOW_BYTES }, (_, i) => byteAt(i)));

describe('a receive buffer that nobody reads', () => {
  test('keeps bytes that come one by one without an object for each', () => {
    const buffer = new ReceiveBuffer(0, WINDOW_BYTES);
    for (let i = 0; i < WINDOW_BYTES; i += 1) buffer.accept(Uint8Array.of(byteAt(i)));
    const { bytes, chunks } = readAll(buffer);
    assert.ok(bytes.equals(expected));
    assert.ok(chunks < 32, `${chunks} chunks`);
  });

  test('keeps small pieces without the rest of what they came with', () => {
    const buffer = new ReceiveBuffer(0, WINDOW_BYTES);
    for (let at = 0; at < WINDOW_BYTES; at += 700) {
      const length = Math.min(700, WINDOW_BYTES - at);
      const came = new Uint8Array(WINDOW_BYTES);
      came.set(expected.subarray(at, at + length), 99);
      buffer.accept(came.subarray(99, 99 + length));
    }
    const { bytes, memoryBytes } = readAll(buffer);
    assert.ok(bytes.equals(expected));
    assert.ok(memoryBytes < 2 * WINDOW_BYTES + 8 * WINDOW_BYTES, `${memoryBytes} bytes`);
  });

  test('keeps large pieces as they came', () => {
    const buffer = new ReceiveBuffer(0, WINDOW_BYTES);
    const came = Array.from({ length: 16 }, (_, i) =>
      Uint8Array.from(expected.subarray(i * 4096, (i + 1) * 4096)),
    );
    for (const chunk of came) buffer.accept(chunk);
    for (const chunk of came) assert.equal((buffer.read() as Uint8Array).buffer, chunk.buffer);
  });
});

test('what a commit session drops from its stage is not in the way of what follows', () => {
  const buffer = new ReceiveBuffer(0, WINDOW_BYTES);
  buffer.release(0);
  for (let i = 0; i < 40; i += 1) buffer.accept(Uint8Array.of(byteAt(i)));
  buffer.truncate(25);
  buffer.reposition(25);
  for (let i = 25; i < 60; i += 1) buffer.accept(Uint8Array.of(byteAt(i)));
  buffer.release(12);
  assert.ok(readAll(buffer).bytes.equals(expected.subarray(0, 12)));
  for (let i = 60; i < 90; i += 1) buffer.accept(Uint8Array.of(byteAt(i)));
  buffer.release(90);
  assert.ok(readAll(buffer).bytes.equals(expected.subarray(12, 90)));
});

test('a FIN on a new carrier, before the end of what came on the last one, is the fault of the peer', () => {
  const buffer = new ReceiveBuffer(0, WINDOW_BYTES);
  buffer.accept(expected.subarray(0, 5));
  buffer.read();
  buffer.reposition(1);
  assert.throws(() => buffer.acceptFin(1), { code: 'ERR_GODWIT_PROTOCOL' });
});
