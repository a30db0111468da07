/**
 * A small table of named timers: at most one deadline each, in milliseconds of the caller's clock. There are a handful, so
 * lists are quicker than a map, and take a third of its memory. A timer that was stopped, or put off, still counts for
 * `earliest` until that has come: timers move with nearly every frame, and fire hardly ever.
 */

/** The time of a timer that does not run. */
const NEVER = Infinity;

export class Deadlines<N extends string> {
  /** Names that were ever set; their times, and when they were started, are at the same places. */
  #names: N[] = [];
  #times: number[] = [];
  #started: number[] = [];
  #starts = 0;
  /** No later than any of the times. */
  #earliest = NEVER;

  set(name: N, at: number): void {
    let place = this.#names.indexOf(name);
    if (place < 0) {
      place = this.#names.length;
      // Not by `push`, which makes room for 17: there are no more than half a dozen as a rule, and each session has these lists.
      this.#names = this.#names.concat(name);
      this.#times = this.#times.concat(NEVER);
      this.#started = this.#started.concat(0);
    }
    if (this.#times[place] === NEVER) this.#started[place] = this.#starts += 1;
    this.#times[place] = at;
    if (at < this.#earliest) this.#earliest = at;
  }

  /** Sets the timer unless it runs already. */
  start(name: N, at: number): void {
    if (!this.has(name)) this.set(name, at);
  }

  /** Sets the timer unless it runs out before that anyway. */
  hasten(name: N, at: number): void {
    const place = this.#names.indexOf(name);
    if (place < 0 || at < (this.#times[place] as number)) this.set(name, at);
  }

  cancel(name: N): void {
    const place = this.#names.indexOf(name);
    if (place >= 0) this.#times[place] = NEVER;
  }

  has(name: N): boolean {
    return this.at(name) !== undefined;
  }

  /** When the timer runs out; undefined while it does not run. */
  at(name: N): number | undefined {
    const place = this.#names.indexOf(name);
    const at = place < 0 ? NEVER : (this.#times[place] as number);
    return at === NEVER ? undefined : at;
  }

  clear(): void {
    this.#names = [];
    this.#times = [];
    this.#started = [];
    this.#earliest = NEVER;
  }

  /** When to call `takeDue`; there may be nothing due by then. */
  get earliest(): number | undefined {
    return this.#earliest === NEVER ? undefined : this.#earliest;
  }

  /** Stops and answers one timer that is due, earliest first; of those that are due at once, the one that was started first. */
  takeDue(now: number): N | undefined {
    if (this.#earliest > now) return undefined;
    const times = this.#times;
    let due = 0;
    for (let place = 1; place < times.length; place += 1) if (this.#precedes(place, due)) due = place;
    this.#earliest = times[due] ?? NEVER;
    if (this.#earliest > now) return undefined;
    times[due] = NEVER;
    return this.#names[due];
  }

  #precedes(place: number, other: number): boolean {
    const at = this.#times[place] as number;
    const otherAt = this.#times[other] as number;
    return (
      at < otherAt || (at === otherAt && (this.#started[place] as number) < (this.#started[other] as number))
    );
  }
}
