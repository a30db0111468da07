/** The deadlines of many owners, one each, earliest first. */
import { NO_HANDLE, TimeHeap } from './time-heap.ts';

export interface DeadlineOwner {
  readonly nextTimeout: number | undefined;
  /** By which the heap knows the owner; `NO_HANDLE` while it does not. The heap's own. */
  deadlineHandle: number;
  handleTimeout(): void;
}

/** Every owner stands in it at most once, so that it stays as small as the number of owners. */
export class DeadlineHeap {
  readonly #heap = new TimeHeap<DeadlineOwner>();

  get size(): number {
    return this.#heap.size;
  }

  /**
   * To be called whenever the owner's deadline may have changed. A later one is left to `run`, which looks again: most
   * deadlines are put off far more often than they fire.
   */
  arm(owner: DeadlineOwner): void {
    const at = owner.nextTimeout;
    if (at === undefined) return;
    const handle = owner.deadlineHandle;
    if (handle === NO_HANDLE) owner.deadlineHandle = this.#heap.add(owner, at);
    else if (at < this.#heap.at(handle)) this.#heap.move(handle, at);
  }

  /** The owner is over: the heap lets go of it. */
  disarm(owner: DeadlineOwner): void {
    const handle = owner.deadlineHandle;
    if (handle === NO_HANDLE) return;
    owner.deadlineHandle = NO_HANDLE;
    this.#heap.remove(handle);
  }

  get earliest(): number | undefined {
    return this.#heap.firstAt;
  }

  /** Calls every owner that is due; answers how many were. */
  run(now: number): number {
    let count = 0;
    while ((this.#heap.firstAt ?? Infinity) <= now) {
      const owner = this.#heap.first as DeadlineOwner;
      const next = owner.nextTimeout;
      if (next !== undefined && next > now) {
        this.#heap.move(owner.deadlineHandle, next);
        continue;
      }
      this.disarm(owner);
      if (next === undefined) continue;
      owner.handleTimeout();
      count += 1;
      this.arm(owner);
    }
    return count;
  }
}

/** Something that is done several times, so many milliseconds from now. */
export class Repeated implements DeadlineOwner {
  readonly #times: number[];
  readonly #action: () => void;
  deadlineHandle = NO_HANDLE;

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
