/**
 * Spreads the snapshots that are due by time alone over time (protocol.md §7.2). Each costs a server some ten microseconds, and its
 * client a few more, however little it covers: of thousands of sessions that do a little each second, they would be most of the work.
 */

/** So many times `snapshotIntervalMs` a session is put off at the most, from when it first asks. */
export const SNAPSHOT_DELAYS_MAX = 9;

export class SnapshotSlots {
  readonly #perSecond: number;
  /** What may be asked for at once: a second's worth, so that sessions which do something at the same moment need not wait for each other. */
  #left: number;
  #filledAt = 0;

  /** `perSecond` of 0: as many as are due. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Whether one that is due may be asked for now. Nothing is promised to who is put off, so nothing is kept for who does not come back. */
  take(now: number): boolean {
    if (this.#perSecond === 0) return true;
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#filledAt) / 1000) * this.#perSecond);
    this.#filledAt = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
