/** Logs whose times can be compared between the processes of one machine. */

/** Milliseconds of the machine's monotonic clock. */
export function clockMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** How often `StandstillMeter` looks, in milliseconds. */
const LOOK_MS = 100;

/** Measures how long this process could not run: then neither could the others, and what they did late is not their fault. */
export class StandstillMeter {
  #lastMs = clockMs();
  #longestMs = 0;
  readonly #timer = setInterval(() => this.#look(), LOOK_MS).unref();

  get longestMs(): number {
    this.#look();
    return Math.round(this.#longestMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = clockMs();
    this.#longestMs = Math.max(this.#longestMs, now - this.#lastMs - LOOK_MS);
    this.#lastMs = now;
  }
}

/** Writes lines to standard error with the time since the run began. */
export function logSince(startedMs: number): (line: string) => void {
  return (line) => console.error(`${((clockMs() - startedMs) / 1000).toFixed(3).padStart(9)} s  ${line}`);
}
