/** Virtual time: things happen in order of their time, and in order of their scheduling where the times are equal. */
interface Entry {
  readonly at: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class Scheduler {
  #now = 0;
  #sequence = 0;
  readonly #heap: Entry[] = [];

  get now(): number {
    return this.#now;
  }
  get pending(): number {
    return this.#heap.length;
  }
  get nextAt(): number | undefined {
    return this.#heap[0]?.at;
  }

  at(time: number, run: () => void): void {
    this.#sequence += 1;
    const entry = { at: Math.max(time, this.#now), sequence: this.#sequence, run };
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[index] = heap[parent] as Entry;
      index = parent;
    }
    heap[index] = entry;
  }

  after(delay: number, run: () => void): void {
    this.at(this.#now + delay, run);
  }

  /** Runs the next thing; false when there is none. */
  step(): boolean {
    const top = this.#heap[0];
    if (!top) return false;
    this.#pop();
    this.#now = top.at;
    top.run();
    return true;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      if (!before(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
