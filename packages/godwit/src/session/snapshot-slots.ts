/**
 * Spreads the snapshots that are due by time alone over time (protocol.md §7.2). Each costs a server some ten microseconds, and its
 * client a few more, however little it covers: of thousands of sessions that do a little each second, they would be most of the work.
 */

/** So many times `snapshotIntervalMs` a session waits for its slot at the most. */
export const SNAPSHOT_WAIT_INTERVALS = 10;

export class SnapshotSlots {
  readonly #distanceMs: number;
  #nextAt = -Infinity;

  /** `perSecond` of 0: as many as are due. */
  constructor(perSecond: number) {
    this.#distanceMs = perSecond === 0 ? 0 : 1000 / perSecond;
  }

  /** When one that is due now may be asked for: now, where nobody waits. It is the caller's from then on. `latest` is not before `now`. */
  take(now: number, latest: number): number {
    const at = Math.max(now, this.#nextAt);
    // Those that can't wait for a slot take none: or the list of them would grow for ever.
    if (at > latest) return latest;
    this.#nextAt = at + this.#distanceMs;
    return at;
  }
}
