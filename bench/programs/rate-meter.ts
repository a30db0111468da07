/** How much is done in a stretch of time that begins and ends with something done. */

export interface Window {
  /** What is done in this time does not count. */
  readonly warmUpMs: number;
  /** At least so long it counts. */
  readonly measureMs: number;
  /** The warm-up also takes until so much is done. Default 0. */
  readonly warmUpAmount?: number;
}

export interface Rate {
  /** What was done within the stretch, and how long that was. */
  readonly count: number;
  readonly seconds: number;
  /** Warm-up included. */
  readonly total: number;
}

export class RateMeter {
  readonly #beginMs: number;
  readonly #measureMs: number;
  readonly #warmUpAmount: number;
  readonly #done = Promise.withResolvers<Rate>();
  #total = 0;
  #first: { readonly ms: number; readonly total: number } | undefined;
  #over = false;

  /** The warm-up begins now. */
  constructor({ warmUpMs, measureMs, warmUpAmount = 0 }: Window) {
    this.#beginMs = performance.now() + warmUpMs;
    this.#measureMs = measureMs;
    this.#warmUpAmount = warmUpAmount;
  }

  /** So much more was done. */
  add(amount: number): void {
    if (this.#over) return;
    const ms = performance.now();
    this.#total += amount;
    if (this.#first === undefined) {
      if (ms >= this.#beginMs && this.#total >= this.#warmUpAmount) this.#first = { ms, total: this.#total };
    } else if (ms >= this.#first.ms + this.#measureMs) {
      this.#over = true;
      this.#done.resolve({
        count: this.#total - this.#first.total,
        seconds: (ms - this.#first.ms) / 1000,
        total: this.#total,
      });
    }
  }

  /** What follows does not count any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Comes when the stretch is over. */
  get rate(): Promise<Rate> {
    return this.#done.promise;
  }
}

/** So many workers do something again and again until the time is over. */
export async function workAtOnce(workers: number, window: Window, work: () => Promise<void>): Promise<Rate> {
  const meter = new RateMeter(window);
  const worker = async (): Promise<void> => {
    while (!meter.over) {
      await work();
      meter.add(1);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return meter.rate;
}
