/**
 * A small table of named timers: at most one deadline each, in milliseconds of the caller's clock. There are a handful, so
 * lists are quicker than a map, and take a third of its memory.
 */
export class Deadlines<N extends string> {
  /** Names, and their times at the same places. */
  #names: N[] = [];
  #times: number[] = [];
  #earliest: number | undefined;

  set(name: N, at: number): void {
    const place = this.#names.indexOf(name);
    if (place < 0) {
      this.#names.push(name);
      this.#times.push(at);
    } else this.#times[place] = at;
    if (this.#earliest !== undefined && at <= this.#earliest) this.#earliest = at;
    else this.#recompute();
  }

  /** Sets the timer unless it runs already. */
  start(name: N, at: number): void {
    if (!this.#names.includes(name)) this.set(name, at);
  }

  /** Sets the timer unless it runs out before that anyway. */
  hasten(name: N, at: number): void {
    const place = this.#names.indexOf(name);
    if (place < 0 || at < (this.#times[place] as number)) this.set(name, at);
  }

  cancel(name: N): void {
    const place = this.#names.indexOf(name);
    if (place >= 0) this.#remove(place);
  }

  has(name: N): boolean {
    return this.#names.includes(name);
  }

  /** When the timer runs out; undefined while it does not run. */
  at(name: N): number | undefined {
    const place = this.#names.indexOf(name);
    return place < 0 ? undefined : this.#times[place];
  }

  clear(): void {
    this.#names = [];
    this.#times = [];
    this.#earliest = undefined;
  }

  get earliest(): number | undefined {
    return this.#earliest;
  }

  /** Removes and answers one timer that is due, earliest first. */
  takeDue(now: number): N | undefined {
    if (this.#earliest === undefined || this.#earliest > now) return undefined;
    const place = this.#times.indexOf(this.#earliest);
    const due = this.#names[place];
    this.#remove(place);
    return due;
  }

  /** In order: of timers that are due at once, the one that was set first comes first. */
  #remove(place: number): void {
    const at = this.#times[place];
    this.#names.splice(place, 1);
    this.#times.splice(place, 1);
    if (at === this.#earliest) this.#recompute();
  }

  #recompute(): void {
    let earliest: number | undefined;
    for (const at of this.#times) if (earliest === undefined || at < earliest) earliest = at;
    this.#earliest = earliest;
  }
}
