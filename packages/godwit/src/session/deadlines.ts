/** A small table of named timers: at most one deadline each, in milliseconds of the caller's clock. */
export class Deadlines<N extends string> {
  readonly #at = new Map<N, number>();
  #earliest: number | undefined;

  set(name: N, at: number): void {
    this.#at.set(name, at);
    if (this.#earliest !== undefined && at <= this.#earliest) this.#earliest = at;
    else this.#recompute();
  }

  /** Sets the timer unless it runs already. */
  start(name: N, at: number): void {
    if (!this.#at.has(name)) this.set(name, at);
  }

  /** Sets the timer unless it runs out before that anyway. */
  hasten(name: N, at: number): void {
    const present = this.#at.get(name);
    if (present === undefined || at < present) this.set(name, at);
  }

  cancel(name: N): void {
    if (this.#at.delete(name)) this.#recompute();
  }

  has(name: N): boolean {
    return this.#at.has(name);
  }

  clear(): void {
    this.#at.clear();
    this.#earliest = undefined;
  }

  get earliest(): number | undefined {
    return this.#earliest;
  }

  /** Removes and answers one timer that is due, earliest first. */
  takeDue(now: number): N | undefined {
    if (this.#earliest === undefined || this.#earliest > now) return undefined;
    let due: N | undefined;
    let dueAt = Infinity;
    for (const [name, at] of this.#at) {
      if (at < dueAt) {
        due = name;
        dueAt = at;
      }
    }
    if (due !== undefined) this.#at.delete(due);
    this.#recompute();
    return due;
  }

  #recompute(): void {
    let earliest: number | undefined;
    for (const at of this.#at.values()) if (earliest === undefined || at < earliest) earliest = at;
    this.#earliest = earliest;
  }
}
