/** The deadlines of many owners, one each, earliest first. An owner that changed its mind is re-armed lazily. */

export interface DeadlineOwner {
  readonly nextTimeout: number | undefined;
  /** The deadline under which the heap knows the owner; the heap's own. */
  armedAt: number | undefined;
  handleTimeout(): void;
}

interface Entry {
  readonly at: number;
  readonly owner: DeadlineOwner;
}

export class DeadlineHeap {
  readonly #heap: Entry[] = [];

  /** To be called whenever the owner's deadline may have become earlier. */
  arm(owner: DeadlineOwner): void {
    const at = owner.nextTimeout;
    if (at === undefined || (owner.armedAt !== undefined && owner.armedAt <= at)) return;
    owner.armedAt = at;
    this.#push({ at, owner });
  }

  get earliest(): number | undefined {
    return this.#heap[0]?.at;
  }

  /** Calls every owner that is due; answers how many were. */
  run(now: number): number {
    let count = 0;
    for (let top = this.#heap[0]; top !== undefined && top.at <= now; top = this.#heap[0]) {
      this.#pop();
      const { owner, at } = top;
      if (owner.armedAt !== at) continue; // armed earlier meanwhile
      owner.armedAt = undefined;
      const next = owner.nextTimeout;
      if (next !== undefined && next <= now) {
        owner.handleTimeout();
        count += 1;
      }
      this.arm(owner);
    }
    return count;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if ((heap[parent] as Entry).at <= entry.at) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Entry).at < (heap[child] as Entry).at) child += 1;
      if ((heap[child] as Entry).at >= last.at) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}
