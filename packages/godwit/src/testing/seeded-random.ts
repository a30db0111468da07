/** Chance that one seed determines, so that a run can be repeated. */

/** Numbers drawn from a seed (mulberry32). It decides where to cut and to crash, and nothing that must be secret. */
export class SeededRandom {
  #state: number;

  /** Each part of the seed counts, so that runs of one check differ. */
  constructor(...seed: readonly number[]) {
    this.#state = seed.reduce((state, part) => Math.imul(state ^ (part >>> 0), 0x9e37_79b1) + 0x85eb_ca6b, 1);
  }

  /** A whole number, 0 ≤ number < limit. */
  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  /** A whole number, low ≤ number ≤ high. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
