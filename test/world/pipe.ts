/** A carrier of the virtual network: two directions, each in order, each with a latency, cut at will at any byte. */
import type { Scheduler } from './scheduler.ts';

export interface PipeEnd {
  onData(bytes: Uint8Array): void;
  onClose(reset: boolean): void;
  /** Whether this end may go on sending: so much is under way that its buffers are full, or no longer. */
  onWritable?(writable: boolean): void;
}

/** What the network does to a pipe. Without it: one latency, no limit of what is under way. */
export interface PipeConditions {
  /** Latency of what that end sends next, in ms. */
  latencyMs(end: 0 | 1): number;
  /** What that end sends does not get through at present. */
  isHeld?(end: 0 | 1): boolean;
  /** Bytes that get through in a millisecond. */
  readonly bytesPerMs?: number;
  /** Bytes under way in a direction from which on its sender must wait. */
  readonly bufferBytes?: number;
  /** How many bytes arrive together, of so many sent together. */
  chunkBytes?(length: number): number;
}

/** So long a network of limited bandwidth takes for a chunk at most. */
const LONGEST_CHUNK_MS = 100;

export class Pipe {
  readonly #scheduler: Scheduler;
  readonly #conditions: PipeConditions;
  readonly #ends: [PipeEnd | undefined, PipeEnd | undefined] = [undefined, undefined];
  readonly #lastArrival: [number, number] = [0, 0];
  readonly #sent: [number, number] = [0, 0];
  readonly #underWay: [number, number] = [0, 0];
  readonly #isFull: [boolean, boolean] = [false, false];
  /** What waits for a direction to get through again. */
  readonly #held: [(() => void)[], (() => void)[]] = [[], []];
  readonly #draining: [boolean, boolean] = [false, false];
  /** Bytes after which a direction loses everything, and the pipe breaks. */
  readonly cutAfter: [number, number] = [Infinity, Infinity];
  /** A direction that swallows: 0 what end 0 sends, 1 what end 1 sends. */
  readonly blackhole: [boolean, boolean] = [false, false];
  #closed = false;
  #holds = 0;

  constructor(scheduler: Scheduler, conditions: PipeConditions) {
    this.#scheduler = scheduler;
    this.#conditions = conditions;
  }

  get isClosed(): boolean {
    return this.#closed;
  }
  /** Bytes sent by that end so far. */
  sent(end: 0 | 1): number {
    return this.#sent[end];
  }

  attach(end: 0 | 1, handlers: PipeEnd): void {
    this.#ends[end] = handlers;
  }

  /** From `end` to the other. The bytes are copied: the network does not share memory with its users. */
  send(end: 0 | 1, bytes: Uint8Array): void {
    this.sendParts(end, [bytes]);
  }

  /** The same for several parts, which leave together. */
  sendParts(end: 0 | 1, parts: readonly Uint8Array[]): void {
    if (this.#closed) return;
    let length = 0;
    for (const part of parts) length += part.byteLength;
    const room = Math.max(0, Math.min(length, this.cutAfter[end] - this.#sent[end]));
    const bytes = new Uint8Array(room);
    let at = 0;
    for (const part of parts) {
      if (at >= room) break;
      const count = Math.min(part.byteLength, room - at);
      bytes.set(count < part.byteLength ? part.subarray(0, count) : part, at);
      at += count;
    }
    this.#sent[end] += room;
    if (room > 0 && !this.blackhole[end]) this.#sendChunks(end, bytes);
    if (room < length) this.cut();
  }

  #sendChunks(end: 0 | 1, bytes: Uint8Array): void {
    this.#underWay[end] += bytes.byteLength;
    for (let at = 0; at < bytes.byteLength;) {
      const { bytesPerMs } = this.#conditions;
      // A slow network brings what it has, as it comes.
      const most =
        bytesPerMs === undefined ? Infinity : Math.max(1, Math.floor(bytesPerMs * LONGEST_CHUNK_MS));
      const length = Math.min(most, this.#conditions.chunkBytes?.(bytes.byteLength - at) ?? bytes.byteLength);
      const chunk = bytes.subarray(at, at + length);
      at += chunk.byteLength;
      this.#deliver(end, bytesPerMs === undefined ? 0 : chunk.byteLength / bytesPerMs, () => {
        this.#ends[other(end)]?.onData(chunk);
        this.#underWay[end] -= chunk.byteLength;
        this.#tellWritable(end);
      });
    }
    this.#tellWritable(end);
  }

  #tellWritable(end: 0 | 1): void {
    const { bufferBytes } = this.#conditions;
    if (bufferBytes === undefined) return;
    const isFull = this.#underWay[end] > (this.#isFull[end] ? bufferBytes / 2 : bufferBytes);
    if (isFull === this.#isFull[end]) return;
    this.#isFull[end] = isFull;
    this.#ends[end]?.onWritable?.(!isFull);
  }

  #deliver(end: 0 | 1, takesMs: number, run: () => void): void {
    if (this.#isHeld(end) || this.#held[end].length > 0) {
      this.#held[end].push(() => this.#schedule(end, takesMs, run));
      return;
    }
    this.#schedule(end, takesMs, run);
  }

  #schedule(end: 0 | 1, takesMs: number, run: () => void): void {
    const earliest = this.#scheduler.now + this.#conditions.latencyMs(end);
    const at = Math.max(this.#lastArrival[end], earliest) + takesMs;
    this.#lastArrival[end] = at;
    this.#scheduler.at(at, () => {
      if (!this.#closed || this.#draining[end]) run();
    });
  }

  #isHeld(end: 0 | 1): boolean {
    return this.#holds > 0 || this.#conditions.isHeld?.(end) === true;
  }

  /** What is sent from now on waits, either way, until the answer is called. */
  hold(): () => void {
    this.#holds += 1;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#holds -= 1;
      this.release();
    };
  }

  /** A direction may get through again: what waited follows, in order. */
  release(): void {
    for (const end of [0, 1] as const) {
      if (this.#isHeld(end)) continue;
      for (const run of this.#held[end].splice(0)) run();
    }
  }

  /** In order: what `end` sent still arrives, then the other end sees the close. */
  close(end: 0 | 1): void {
    if (this.#closed) return;
    this.#draining[end] = true;
    this.#ends[end] = undefined;
    if (this.blackhole[end]) return;
    this.#deliver(end, 0, () => {
      this.#closed = true;
      const handlers = this.#ends[other(end)];
      this.#ends[other(end)] = undefined;
      handlers?.onClose(true);
    });
  }

  /** Breaks at once: what is under way is lost, both ends are told after their latency. */
  cut(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#draining[0] = this.#draining[1] = false;
    for (const end of [0, 1] as const) this.#tellClosed(end, true);
  }

  /** One end notices that the pipe is broken; the other hears nothing any more, and is not told. */
  breakAt(end: 0 | 1, reset: boolean): void {
    if (this.#closed) return;
    this.blackhole[0] = this.blackhole[1] = true;
    this.#tellClosed(end, reset);
  }

  /** One end's machine is gone without a word (`silent`), or its kernel resets the other. */
  abandon(end: 0 | 1, silent: boolean): void {
    this.#ends[end] = undefined;
    if (silent) {
      this.blackhole[0] = this.blackhole[1] = true;
      return;
    }
    this.#closed = true;
    // A reset does not get through a network that is cut; the other end learns of it when that is whole again.
    if (this.#isHeld(end)) this.#held[end].push(() => this.#tellClosed(other(end), true));
    else this.#tellClosed(other(end), true);
  }

  #tellClosed(end: 0 | 1, reset: boolean): void {
    const handlers = this.#ends[end];
    this.#ends[end] = undefined;
    if (handlers)
      this.#scheduler.after(this.#conditions.latencyMs(other(end)), () => handlers.onClose(reset));
  }
}

function other(end: 0 | 1): 0 | 1 {
  return end === 0 ? 1 : 0;
}
