/** Random bytes and checksums, as the core takes them. */
import { randomFillSync } from 'node:crypto';
import zlib from 'node:zlib';

/** Random bytes drawn ahead, in bytes: one system call serves many ids and nonces. */
const POOL_BYTES = 4096;

const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** Unpredictable bytes in memory of their own. */
export function random(bytes: number): Uint8Array {
  const drawn = new Uint8Array(bytes);
  if (bytes > POOL_BYTES / 4) return randomFillSync(drawn);
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  drawn.set(pool.subarray(used, used + bytes));
  // What was given out may be a secret, and is nobody else's to find here.
  pool.fill(0, used, used + bytes);
  used += bytes;
  return drawn;
}

/** CRC-32 (IEEE) of bytes, going on from `seed`: the CRC of what came before, 0 at first. */
export function crc32(bytes: Uint8Array, seed: number): number {
  return zlib.crc32(bytes, seed);
}
