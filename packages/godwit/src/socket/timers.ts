/**
 * One timer for all sessions of the process: a heap of deadlines under a single `setTimeout`. Deadlines of a session
 * move with nearly every frame, so moving one to later costs nothing: the heap finds out when the old one comes up.
 */

/** The clock of every driver: milliseconds, monotonic. */
export function now(): number {
  return performance.now();
}

/** When to come back at the latest, in milliseconds: node takes longer delays for 1 ms. */
const DELAY_MAX_MS = 2 ** 31 - 1;

/** One deadline that moves. */
export class Deadline {
  readonly #heap: DeadlineHeap;
  readonly #onDue: () => void;
  #dueAt: number | undefined;
  #referenced = false;
  /** Place in the heap, and the key it is sorted by there: never later than `#dueAt`. */
  index = -1;
  key = 0;

  constructor(onDue: () => void, heap: DeadlineHeap = processHeap) {
    this.#onDue = onDue;
    this.#heap = heap;
  }

  get dueAt(): number | undefined {
    return this.#dueAt;
  }

  get holdsProcess(): boolean {
    return this.#referenced && this.#dueAt !== undefined;
  }

  /** Moves the deadline; undefined takes it away. */
  set(dueAt: number | undefined): void {
    if (dueAt === this.#dueAt) return;
    const held = this.holdsProcess;
    this.#dueAt = dueAt;
    this.#heap.moved(this);
    this.#heap.countHolders(held, this.holdsProcess);
  }

  /** Whether waiting for this deadline keeps the process alive. */
  setReferenced(referenced: boolean): void {
    const held = this.holdsProcess;
    this.#referenced = referenced;
    this.#heap.countHolders(held, this.holdsProcess);
  }

  /** The heap's call. */
  fire(): void {
    this.set(undefined);
    this.#onDue();
  }
}

export class DeadlineHeap {
  readonly #heap: Deadline[] = [];
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;

  get size(): number {
    return this.#heap.length;
  }

  moved(deadline: Deadline): void {
    const { dueAt } = deadline;
    if (dueAt === undefined) {
      // Left in place as a tombstone: most deadlines are set again at once.
      if (deadline.index === 0) this.#prune();
    } else if (deadline.index === -1) {
      deadline.key = dueAt;
      deadline.index = this.#heap.push(deadline) - 1;
      this.#up(deadline);
    } else if (dueAt < deadline.key) {
      deadline.key = dueAt;
      this.#up(deadline);
    }
    this.#arm();
  }

  countHolders(before: boolean, after: boolean): void {
    if (before === after) return;
    this.#holders += after ? 1 : -1;
    if (this.#holders > 0) this.#timer?.ref();
    else this.#timer?.unref();
  }

  /** Takes away what stands first without a deadline, so that an idle process has no timer. */
  #prune(): void {
    for (let first = this.#heap[0]; first !== undefined && first.dueAt === undefined; first = this.#heap[0])
      this.#removeFirst();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#armedFor = Infinity;
      return;
    }
    if (this.#timer !== undefined && this.#armedFor <= first.key) return;
    clearTimeout(this.#timer);
    this.#armedFor = first.key;
    const delay = Math.min(Math.max(first.key - now(), 0), DELAY_MAX_MS);
    this.#timer = setTimeout(() => this.#run(), Math.ceil(delay));
    if (this.#holders === 0) this.#timer.unref();
  }

  #run(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    const time = now();
    try {
      for (let first = this.#heap[0]; first !== undefined && first.key <= time; first = this.#heap[0]) {
        if (first.dueAt === undefined) {
          this.#removeFirst();
        } else if (first.dueAt > time) {
          first.key = first.dueAt;
          this.#down(first);
        } else {
          this.#removeFirst();
          first.fire();
        }
      }
    } finally {
      this.#arm();
    }
  }

  #removeFirst(): void {
    const first = this.#heap[0] as Deadline;
    const last = this.#heap.pop() as Deadline;
    first.index = -1;
    if (last === first) return;
    last.index = 0;
    this.#heap[0] = last;
    this.#down(last);
  }

  #up(deadline: Deadline): void {
    const heap = this.#heap;
    let index = deadline.index;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1] as Deadline;
      if (parent.key <= deadline.key) break;
      heap[index] = parent;
      const up = parent.index;
      parent.index = index;
      index = up;
    }
    heap[index] = deadline;
    deadline.index = index;
  }

  #down(deadline: Deadline): void {
    const heap = this.#heap;
    let index = deadline.index;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Deadline).key < (heap[child] as Deadline).key)
        child += 1;
      const least = heap[child] as Deadline;
      if (least.key >= deadline.key) break;
      heap[index] = least;
      least.index = index;
      index = child;
    }
    heap[index] = deadline;
    deadline.index = index;
  }
}

/** Shared by every session of the process. */
export const processHeap = new DeadlineHeap();
