/** When the world was not whole: an error that timers explain needs something that made them run out. */
export class Disturbances {
  #lastEndMs = -Infinity;
  #healedAtMs = Infinity;

  add(fromMs: number, lastsMs: number): void {
    this.#lastEndMs = Math.max(this.#lastEndMs, fromMs + lastsMs);
  }

  heal(atMs: number): void {
    this.#healedAtMs = atMs;
  }

  /** Whether any fault was in effect at `fromMs` or later. */
  since(fromMs: number): boolean {
    return Math.min(this.#lastEndMs, this.#healedAtMs) >= fromMs;
  }
}
