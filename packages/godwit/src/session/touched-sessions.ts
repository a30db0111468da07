/**
 * Sessions that changed, and of which the node has yet to find out what follows: what they hold, when they are due, whether
 * they have something to send. Nearly every call changes one, most several times; it is enough to look when somebody asks.
 */
import type { DeadlineHeap } from './deadline-heap.ts';
import type { MemoryAccount } from './memory-account.ts';
import type { ServerCarriers } from './server-carrier.ts';
import type { ServerSession } from './server-session.ts';

export class TouchedSessions {
  readonly #memory: MemoryAccount;
  readonly #carriers: ServerCarriers;
  readonly #heap: DeadlineHeap;
  readonly #sessions: ServerSession[] = [];

  constructor(memory: MemoryAccount, carriers: ServerCarriers, heap: DeadlineHeap) {
    this.#memory = memory;
    this.#carriers = carriers;
    this.#heap = heap;
  }

  add(session: ServerSession): void {
    if (session.isTouched) return;
    session.isTouched = true;
    this.#sessions.push(session);
  }

  /** To be called before anything is made of what sessions hold, send or wait for. */
  settle(): void {
    if (this.#sessions.length === 0) return;
    for (const session of this.#sessions) {
      session.isTouched = false;
      this.#memory.note(session);
      if (session.carrierId !== undefined) this.#carriers.touch(session.carrierId);
      this.#heap.arm(session);
    }
    // One by one, so that the list keeps its memory: there is hardly ever more than one.
    while (this.#sessions.length > 0) this.#sessions.pop();
  }
}
