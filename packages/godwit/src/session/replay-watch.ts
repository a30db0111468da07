/**
 * Whether a re-execution still makes progress (protocol.md §7.4). Its time counts only while the application could make
 * some: its client is attached, was heard of a moment ago, and so has sent what it is to be executed with. It is counted in
 * parts, each of which begins when the one before was noticed to be over: a process that stood still lost one of them at
 * most.
 */
import type { SessionCore } from './session-core.ts';

/** Parts of `replayTimeoutMs`. */
const PARTS = 4;

export class ReplayWatch {
  readonly #core: SessionCore;
  #left = PARTS;
  #since = 0;

  constructor(core: SessionCore) {
    this.#core = core;
    if (core.streams.isRegenerating) this.progress();
  }

  /** The application wrote, or more of its input came. */
  progress(): void {
    if (!this.#core.streams.isRegenerating) {
      this.#core.timers.cancel('replay');
      return;
    }
    this.note();
    this.#core.timers.set('replay', this.#partEndsAt);
  }

  /** The same from within many small writes: the timer stays where it is, and finds out. */
  note(): void {
    this.#left = PARTS;
    this.#since = this.#core.now;
  }

  /** The timer of a part is up. `over`: it was the last one. */
  partOver(): 'progress' | 'silence' | 'over' {
    if (!this.#core.streams.isRegenerating) return 'progress';
    if (this.#core.now < this.#partEndsAt) {
      this.#core.timers.set('replay', this.#partEndsAt);
      return 'progress';
    }
    const { state, confirmed, carrierId, lastHeardAt } = this.#core;
    const couldGoOn =
      state === 'active' && confirmed && carrierId !== undefined && lastHeardAt >= this.#since;
    if (couldGoOn) this.#left -= 1;
    if (this.#left === 0) return 'over';
    this.#since = this.#core.now;
    this.#core.timers.set('replay', this.#partEndsAt);
    return 'silence';
  }

  get #partEndsAt(): number {
    return this.#since + this.#core.host.config.timers.replayTimeoutMs / PARTS;
  }
}
