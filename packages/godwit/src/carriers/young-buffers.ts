/**
 * Early collection of what streams have read. A stream allocates a buffer for each read, and the application lets go of nearly all
 * of them at once. V8 would find that out cheaply, in its young generation, but that is collected when it is full of objects, and a
 * buffer of 64 KiB is a small object there. What it looks at instead is the memory behind the buffers: from 16 MiB on the next
 * allocation in old space, from 64 MiB on anything, begins to mark the whole heap. So a process that reads one stream marked
 * everything that it has every few milliseconds, which took more of the processor than the bytes (docs/performance.md).
 */
import { findCollector, type Collect } from './collector.ts';

const MIB = 1024 * 1024;
/**
 * Memory that streams take between two collections, in bytes: well below what V8 begins to mark the heap at, since what a
 * collection found free is freed by another thread, in its own time.
 */
const DISTANCE_BYTES = 6 * MIB;
/** What collecting may cost, in milliseconds: about what V8 saves by it. An application with a large young generation may have more. */
const MAX_COST_MS = 3;
/** So many in a row that cost more are enough. Fewer say nothing: a collection also takes long where others have the processor. */
const MAX_DEAR = 8;
/** Memory until it is tried again after that, in bytes: V8 has marked the heap first. */
const LONG_DISTANCE_BYTES = 64 * MIB;

/** When to collect: after so many bytes, where that does not cost more than it saves. */
export class YoungBuffers {
  readonly #findCollect: () => Collect | undefined;
  readonly #now: () => number;
  #collect: Collect | undefined;
  #isSought = false;
  #taken = 0;
  #distance = DISTANCE_BYTES;
  /** Collections in a row that cost too much. */
  #dear = 0;

  /** `now` in milliseconds. */
  constructor(collect: () => Collect | undefined, now: () => number) {
    this.#findCollect = collect;
    this.#now = now;
  }

  /** A stream took so much memory, in bytes, that only V8 can free. */
  took(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken >= this.#distance) this.#makeRoom();
  }

  #makeRoom(): void {
    this.#taken = 0;
    if (!this.#isSought) {
      this.#isSought = true;
      this.#collect = this.#findCollect();
    }
    if (this.#collect === undefined) return;
    const beganAt = this.#now();
    this.#collect({ type: 'minor' });
    this.#dear = this.#now() - beganAt > MAX_COST_MS ? this.#dear + 1 : 0;
    this.#distance = this.#dear < MAX_DEAR ? DISTANCE_BYTES : LONG_DISTANCE_BYTES;
  }
}

/** Of this process, or of this thread of it. */
export const youngBuffers = new YoungBuffers(findCollector, () => performance.now());
