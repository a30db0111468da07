/**
 * Whether looking for what comes makes it come sooner. It does where the processor would idle meanwhile; it does not where others need
 * the processor, the peer among them, who then waits for the one that looks. So both are tried in turns, and compared.
 */

/** Waits of which a mean is taken: so many that one collection of garbage among them does not decide. */
const BLOCK_WAITS = 256;
/** The first waits of a process tell less: its code is not compiled yet. */
const FIRST_WAITS = 64;
/** A wait counts as so long at the most, in milliseconds; but a process that looks while others need its processor has many such. */
const MAX_WAIT_MS = 1;
/** Looking goes on while its waits are shorter than this share of those that were slept through, … */
const GAIN = 0.9;
/** … for so many blocks; then a block is slept through again, since the machine may have become another. */
const MAX_BLOCKS = 32;
/** Waits that are slept through behind a trial which gave nothing: four times as many each time, up to these. */
const PAUSE_FACTOR = 4;
const MAX_PAUSE_WAITS = 4_096;

/**
 * So many times the system may have taken the processor away from a process in a block that it looked through: where others need
 * the processor it is once for every few waits, and the mean of those tells nothing, since the peer looks too.
 */
const MAX_PREEMPTIONS = BLOCK_WAITS / 4;

export class LookingTrial {
  readonly #countPreemptions: () => number;
  #preemptions = 0;
  #looks = false;
  /** Waits of the present block, and how many it is to have. */
  #sumMs = 0;
  #count = 0;
  #waits = FIRST_WAITS;
  /** Blocks that were looked through in a row. */
  #blocks = 0;
  /** Mean of the last block that was slept through, in milliseconds. */
  #asleepMs = 0;
  #pauseWaits = BLOCK_WAITS;

  /** How often the system has taken the processor away from this process, ever. */
  constructor(countPreemptions: () => number) {
    this.#countPreemptions = countPreemptions;
  }

  /** What to do now. */
  get looks(): boolean {
    return this.#looks;
  }

  /** What was done as `looks` says took so long, in milliseconds. */
  waited(ms: number): void {
    this.#sumMs += Math.min(ms, MAX_WAIT_MS);
    this.#count += 1;
    if (this.#count < this.#waits) return;
    const meanMs = this.#sumMs / this.#count;
    this.#sumMs = 0;
    this.#count = 0;
    if (this.#looks) this.#looked(meanMs);
    else {
      this.#asleepMs = meanMs;
      this.#looks = true;
      this.#blocks = 0;
      this.#preemptions = this.#countPreemptions();
      this.#waits = BLOCK_WAITS;
    }
  }

  #looked(meanMs: number): void {
    const before = this.#preemptions;
    this.#preemptions = this.#countPreemptions();
    if (meanMs >= this.#asleepMs * GAIN || this.#preemptions - before > MAX_PREEMPTIONS) {
      this.#looks = false;
      this.#pauseWaits = Math.min(this.#pauseWaits * PAUSE_FACTOR, MAX_PAUSE_WAITS);
      this.#waits = this.#pauseWaits;
      return;
    }
    this.#pauseWaits = BLOCK_WAITS;
    this.#blocks += 1;
    // The next block is as long as this one.
    if (this.#blocks === MAX_BLOCKS) this.#looks = false;
  }
}
