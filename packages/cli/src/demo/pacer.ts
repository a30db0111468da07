/** Keeps a stream at a rate, so that it lasts long enough to watch. */

/** How often a paced stream moves on. Shorter than any blackout worth seeing. */
export const TICK_MS = 2;

/** The largest piece that is sent at once. */
const PIECE_BYTES = 64 * 1024;

/** What a stream may make good after a pause: more would turn every pause into a flood. */
const CATCH_UP_MS = 50;

export class Pacer {
  readonly #bytesPerMs: number;
  #budget: number;
  #atMs = performance.now();

  /**
   * `megabytesPerSecond` of 0 is no limit. The first `freeBytes` don't count: a service that was restored first makes
   * again, at full speed, what its client already has.
   */
  constructor({ megabytesPerSecond, freeBytes = 0 }: { megabytesPerSecond: number; freeBytes?: number }) {
    this.#bytesPerMs = megabytesPerSecond * 1000;
    this.#budget = freeBytes;
  }

  /** How many bytes may go now. At 0, come back after `TICK_MS`. */
  get allowance(): number {
    if (this.#bytesPerMs === 0) return PIECE_BYTES;
    const now = performance.now();
    this.#budget += Math.min(now - this.#atMs, CATCH_UP_MS) * this.#bytesPerMs;
    this.#atMs = now;
    // Pieces of a few bytes would cost more than they carry.
    if (this.#budget < Math.max(1, this.#bytesPerMs * TICK_MS)) return 0;
    return Math.floor(Math.min(this.#budget, PIECE_BYTES));
  }

  /** So many bytes went. They may be more than were allowed: what can't be cut is paid back later. */
  spend(bytes: number): void {
    if (this.#bytesPerMs > 0) this.#budget -= bytes;
  }
}
