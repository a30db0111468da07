/** The longest time between two deliveries around an incident: what a user of the connection notices of it. */
export class GapMeter {
  #lastMs: number | undefined;
  #longestMs = 0;
  #open = false;
  #delivered = false;

  /** Bytes were delivered. */
  deliver(nowMs: number): void {
    if (this.#open && this.#lastMs !== undefined)
      this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#delivered = true;
  }

  /** Nothing was due until now: a gap that is running begins here. */
  rest(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  /** From now on, `hasDelivered` tells of what follows. */
  awaitDelivery(): void {
    this.#delivered = false;
  }

  /** Bytes were delivered since `awaitDelivery`. Before that, no gap is over. */
  get hasDelivered(): boolean {
    return this.#delivered;
  }

  /** From here on, gaps count; the one that is running counts from its beginning. */
  open(): void {
    this.#open = true;
    this.#longestMs = 0;
  }

  /** The longest gap since `open`, in milliseconds. */
  close(): number {
    this.#open = false;
    return this.#longestMs;
  }
}

/** The value that so many per cent of the values don't exceed; undefined of none. */
export function percentile(values: readonly number[], percent: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil((percent / 100) * sorted.length))) - 1];
}
