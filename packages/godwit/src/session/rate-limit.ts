/** How often somebody may ask for something: a bucket of tokens for each (protocol.md §12.3). */

/** What so many seconds allow may come at once. */
const BURST_SECONDS = 4;

/** Most askers remembered; whoever asked longest ago is forgotten first. Memory cost: about 150 bytes each. */
const MAX_ASKERS = 65_536;

interface Bucket {
  tokens: number;
  at: number;
}

export class RateLimit {
  readonly #ratePerSecond: number;
  readonly #burst: number;
  /** The one used longest ago is first. */
  readonly #buckets = new Map<string, Bucket>();

  /** 0: no limit. */
  constructor(ratePerSecond: number) {
    this.#ratePerSecond = ratePerSecond;
    this.#burst = Math.max(1, ratePerSecond * BURST_SECONDS);
  }

  /** Askers remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Counts one request, at `now` in milliseconds; false when it is one too many. */
  take(asker: string, now: number): boolean {
    if (this.#ratePerSecond === 0) return true;
    const bucket = this.#buckets.get(asker) ?? { tokens: this.#burst, at: now };
    const gained = ((now - bucket.at) / 1000) * this.#ratePerSecond;
    bucket.tokens = Math.min(this.#burst, bucket.tokens + gained);
    bucket.at = now;
    this.#buckets.delete(asker);
    this.#buckets.set(asker, bucket);
    if (this.#buckets.size > MAX_ASKERS) this.#buckets.delete(this.#buckets.keys().next().value as string);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
