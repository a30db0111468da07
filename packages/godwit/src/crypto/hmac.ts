/**
 * HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869) over node's one-shot hash. With the short messages of this
 * protocol they take a third of the time of `createHmac` and `hkdfSync`, which build objects for each call
 * (measured on Node 24: 2.2 µs against 4–25 µs a MAC).
 */
import { createHmac, hash } from 'node:crypto';

const BLOCK_BYTES = 64;
export const HASH_BYTES = 32;

/** Longest message that takes the quick way, in bytes. Memory cost: one buffer of this size a process. */
const SCRATCH_BYTES = 2048;

const inner = Buffer.alloc(BLOCK_BYTES + SCRATCH_BYTES);
const outer = Buffer.alloc(BLOCK_BYTES + HASH_BYTES);

/** Length of the concatenated parts, in bytes. */
function lengthOf(parts: readonly Uint8Array[]): number {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  return length;
}

/** HMAC-SHA-256 of the concatenated parts; 32 bytes. */
export function hmacSha256(key: Uint8Array, parts: readonly Uint8Array[]): Buffer {
  return Buffer.from(hmacText(key, parts), 'latin1');
}

/** The first `length` bytes of it, in memory of their own. */
export function truncatedHmac(key: Uint8Array, parts: readonly Uint8Array[], length: number): Uint8Array {
  const text = hmacText(key, parts);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The whole of it as a Latin-1 string, which is what the one-shot hash makes fastest. */
function hmacText(key: Uint8Array, parts: readonly Uint8Array[]): string {
  const length = lengthOf(parts);
  if (length > SCRATCH_BYTES || key.byteLength > BLOCK_BYTES) {
    const hmac = createHmac('sha256', key);
    for (const part of parts) hmac.update(part);
    return hmac.digest('binary');
  }
  for (let i = 0; i < BLOCK_BYTES; i += 1) {
    const byte = i < key.byteLength ? (key[i] as number) : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  let at = BLOCK_BYTES;
  for (const part of parts) {
    inner.set(part, at);
    at += part.byteLength;
  }
  outer.write(hash('sha256', inner.subarray(0, at), 'binary'), BLOCK_BYTES, 'latin1');
  return hash('sha256', outer, 'binary');
}

/** HKDF-Extract: a pseudo-random key from input keying material. */
export function hkdfExtract(salt: Uint8Array, keyMaterial: Uint8Array): Buffer {
  return hmacSha256(salt, [keyMaterial]);
}

const COUNTERS = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)] as const;

/** HKDF-Expand for the first `blocks` blocks of 32 bytes each. */
export function hkdfExpand(pseudoRandomKey: Uint8Array, info: Uint8Array, blocks: 1 | 2 | 3 = 1): Buffer[] {
  const output: Buffer[] = [];
  for (const counter of COUNTERS.slice(0, blocks)) {
    const previous = output.at(-1);
    output.push(hmacSha256(pseudoRandomKey, previous ? [previous, info, counter] : [info, counter]));
  }
  return output;
}

/** HKDF-SHA-256 with 32 bytes of output. */
export function hkdf(keyMaterial: Uint8Array, salt: Uint8Array, info: Uint8Array): Buffer {
  return hmacSha256(hkdfExtract(salt, keyMaterial), [info, COUNTERS[0]]);
}

/** SHA-256 of one piece of bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', bytes, 'binary'), 'latin1');
}
