/** What a run leaves to chance, drawn from one seed, so that `--seed` repeats it. */
import { createCipheriv, createHash, randomInt } from 'node:crypto';

/** Seeds are whole numbers below this. */
export const SEED_LIMIT = 2 ** 32;

/** The part of the stream, from its start, in which servers are killed and drained: behind it, too little is in flight. */
const SHARE_WITH_TRIGGERS = 0.9;

/** Each trigger has a stretch of the stream to itself, and keeps out of the last part of it: servers need time to restart. */
const SHARE_OF_STRETCH = 0.7;

export type TriggerKind = 'kill' | 'drain';

/** What to do to the server that serves the client, once so many bytes have been delivered. */
export interface Trigger {
  readonly kind: TriggerKind;
  readonly atByte: number;
}

/** Draws numbers that a seed determines. */
export class Draw {
  readonly #seed: number;
  #count = 0;
  #pool: Buffer = Buffer.alloc(0);

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** A whole number from 0 to `limit` - 1. `limit` is at most 2^32. */
  below(limit: number): number {
    if (this.#pool.length < 8) this.#refill();
    const value = this.#pool.readBigUInt64BE();
    this.#pool = this.#pool.subarray(8);
    return Number(value % BigInt(limit));
  }

  #refill(): void {
    this.#pool = createHash('sha256').update(`${this.#seed}/${this.#count++}`).digest();
  }
}

export function randomSeed(): number {
  return randomInt(SEED_LIMIT);
}

/** Bytes without any pattern that a seed determines. */
export function bytesFromSeed(seed: number, length: number): Buffer {
  const key = createHash('sha256').update(`bytes/${seed}`).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** When to kill and when to drain in a stream of so many bytes: in order, spread over the stream, one drain among the kills. */
export function drawTriggers({
  seed,
  kills,
  streamBytes,
}: {
  seed: number;
  kills: number;
  streamBytes: number;
}): Trigger[] {
  const draw = new Draw(seed);
  const count = kills + 1;
  const drainIndex = draw.below(count);
  const stretch = (streamBytes * SHARE_WITH_TRIGGERS) / count;
  return Array.from({ length: count }, (_, index) => {
    const within = (draw.below(1_000_000) / 1_000_000) * SHARE_OF_STRETCH;
    const atByte = 1 + Math.floor((index + within) * stretch);
    return { kind: index === drainIndex ? 'drain' : 'kill', atByte };
  });
}
