/**
 * One timer for all sessions of the process: a heap of deadlines under a single `setTimeout`. Deadlines of a session
 * move with nearly every frame, so moving one to later costs nothing: the heap finds out when the old one comes up.
 */
import { NO_HANDLE, TimeHeap } from '../session/time-heap.ts';

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
  /** By which the heap knows it; its time there is never later than `#dueAt`. The heap's own. */
  handle = NO_HANDLE;

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
  readonly #heap = new TimeHeap<Deadline>();
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  /** Those that are due are called; what they set is looked at behind them. */
  #isRunning = false;

  get size(): number {
    return this.#heap.size;
  }

  moved(deadline: Deadline): void {
    const { dueAt, handle } = deadline;
    if (dueAt === undefined) {
      // Left in place: most deadlines are set again at once.
      if (this.#heap.first === deadline) this.#prune();
    } else if (handle === NO_HANDLE) {
      deadline.handle = this.#heap.add(deadline, dueAt);
    } else if (dueAt < this.#heap.at(handle)) {
      this.#heap.move(handle, dueAt);
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
    for (
      let first = this.#heap.first;
      first !== undefined && first.dueAt === undefined;
      first = this.#heap.first
    )
      this.#remove(first);
  }

  #arm(): void {
    if (this.#isRunning) return;
    const firstAt = this.#heap.firstAt;
    if (firstAt === undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#armedFor = Infinity;
      return;
    }
    if (this.#timer !== undefined && this.#armedFor <= firstAt) return;
    clearTimeout(this.#timer);
    this.#armedFor = firstAt;
    const delay = Math.min(Math.max(firstAt - now(), 0), DELAY_MAX_MS);
    this.#timer = setTimeout(() => this.#run(), Math.ceil(delay));
    if (this.#holders === 0) this.#timer.unref();
  }

  #run(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    const time = now();
    this.#isRunning = true;
    try {
      while ((this.#heap.firstAt ?? Infinity) <= time) {
        const first = this.#heap.first as Deadline;
        if (first.dueAt === undefined) {
          this.#remove(first);
        } else if (first.dueAt > time) {
          this.#heap.move(first.handle, first.dueAt);
        } else {
          this.#remove(first);
          first.fire();
        }
      }
    } finally {
      this.#isRunning = false;
      this.#arm();
    }
  }

  #remove(deadline: Deadline): void {
    this.#heap.remove(deadline.handle);
    deadline.handle = NO_HANDLE;
  }
}

/** Shared by every session of the process. */
export const processHeap = new DeadlineHeap();
