/**
 * Fresh tickets for all live sessions after the cluster's keys changed (protocol.md §8.1), a few at a time: sealing tens of
 * thousands in one go would stop the server for seconds.
 */
import type { DeadlineOwner } from './deadline-heap.ts';
import type { ServerSession } from './server-session.ts';
import { NO_HANDLE } from './time-heap.ts';

/** Sessions refreshed in one go: about 10 ms of work. */
const BATCH_SESSIONS = 100;
/** Between two batches, in ms: half of the time at the most goes into it. */
const BATCH_PAUSE_MS = 20;

export class TicketRefresh implements DeadlineOwner {
  readonly #waiting = new Set<ServerSession>();
  readonly #clock: { readonly now: number };
  readonly #refresh: (session: ServerSession) => void;
  nextTimeout: number | undefined;
  deadlineHandle = NO_HANDLE;

  constructor(clock: { readonly now: number }, refresh: (session: ServerSession) => void) {
    this.#clock = clock;
    this.#refresh = refresh;
  }

  /** Sessions that have the old keys' ticket still. */
  get size(): number {
    return this.#waiting.size;
  }

  /** The first batch at once; the caller arms the heap for the rest. */
  begin(sessions: Iterable<ServerSession>): void {
    for (const session of sessions) this.#waiting.add(session);
    this.handleTimeout();
  }

  /** The session is over. */
  forget(session: ServerSession): void {
    this.#waiting.delete(session);
    if (this.#waiting.size === 0) this.nextTimeout = undefined;
  }

  handleTimeout(): void {
    let left = BATCH_SESSIONS;
    for (const session of this.#waiting) {
      if (left === 0) break;
      left -= 1;
      this.#waiting.delete(session);
      this.#refresh(session);
    }
    this.nextTimeout = this.#waiting.size > 0 ? this.#clock.now + BATCH_PAUSE_MS : undefined;
  }
}
