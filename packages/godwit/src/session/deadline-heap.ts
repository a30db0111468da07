/** The deadlines of many owners, one each, earliest first. */

export interface DeadlineOwner {
  readonly nextTimeout: number | undefined;
  /** Where the heap keeps the owner, or undefined while it does not; the heap's own. */
  heapIndex: number | undefined;
  handleTimeout(): void;
}

interface Entry {
  at: number;
  readonly owner: DeadlineOwner;
}

/** A binary heap in which every owner stands at most once, so that it stays as small as the number of owners. */
export class DeadlineHeap {
  readonly #heap: Entry[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /**
   * To be called whenever the owner's deadline may have changed. A later one is left to `run`, which looks again: most
   * deadlines are put off far more often than they fire.
   */
  arm(owner: DeadlineOwner): void {
    const at = owner.nextTimeout;
    if (at === undefined) return;
    const index = owner.heapIndex;
    if (index === undefined) {
      this.#up({ at, owner }, this.#heap.length);
      return;
    }
    const entry = this.#heap[index] as Entry;
    if (entry.at <= at) return;
    entry.at = at;
    this.#up(entry, index);
  }

  /** The owner is over: the heap lets go of it. */
  disarm(owner: DeadlineOwner): void {
    const index = owner.heapIndex;
    if (index === undefined) return;
    owner.heapIndex = undefined;
    const last = this.#heap.pop() as Entry;
    if (last.owner === owner) return;
    this.#down(last, index);
    this.#up(last, last.owner.heapIndex as number);
  }

  get earliest(): number | undefined {
    return this.#heap[0]?.at;
  }

  /** Calls every owner that is due; answers how many were. */
  run(now: number): number {
    let count = 0;
    for (let top = this.#heap[0]; top !== undefined && top.at <= now; top = this.#heap[0]) {
      const { owner } = top;
      this.disarm(owner);
      const next = owner.nextTimeout;
      if (next !== undefined && next <= now) {
        owner.handleTimeout();
        count += 1;
      }
      this.arm(owner);
    }
    return count;
  }

  #up(entry: Entry, from: number): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if ((heap[parent] as Entry).at <= entry.at) break;
      this.#place(heap[parent] as Entry, at);
      at = parent;
    }
    this.#place(entry, at);
  }

  #down(entry: Entry, from: number): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Entry).at < (heap[child] as Entry).at) child += 1;
      if ((heap[child] as Entry).at >= entry.at) break;
      this.#place(heap[child] as Entry, at);
      at = child;
    }
    this.#place(entry, at);
  }

  #place(entry: Entry, at: number): void {
    this.#heap[at] = entry;
    entry.owner.heapIndex = at;
  }
}

/** Something that is done several times, so many milliseconds from now. */
export class Repeated implements DeadlineOwner {
  readonly #times: number[];
  readonly #action: () => void;
  heapIndex: number | undefined;

  constructor(now: number, delaysMs: readonly number[], action: () => void) {
    this.#times = delaysMs.map((delay) => now + delay);
    this.#action = action;
  }

  get nextTimeout(): number | undefined {
    return this.#times[0];
  }

  handleTimeout(): void {
    this.#times.shift();
    this.#action();
  }
}
