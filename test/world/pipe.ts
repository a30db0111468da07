/** A carrier of the virtual network: two directions, each in order, each with a latency, cut at will at any byte. */
import type { Scheduler } from './scheduler.ts';

export interface PipeEnd {
  onData(bytes: Uint8Array): void;
  onClose(reset: boolean): void;
}

export class Pipe {
  readonly #scheduler: Scheduler;
  readonly #latencyMs: () => number;
  readonly #ends: [PipeEnd | undefined, PipeEnd | undefined] = [undefined, undefined];
  readonly #lastArrival: [number, number] = [0, 0];
  readonly #sent: [number, number] = [0, 0];
  /** Bytes after which a direction loses everything, and the pipe breaks. */
  readonly cutAfter: [number, number] = [Infinity, Infinity];
  /** A direction that swallows: 0 what end 0 sends, 1 what end 1 sends. */
  readonly blackhole: [boolean, boolean] = [false, false];
  #closed = false;

  constructor(scheduler: Scheduler, latencyMs: () => number) {
    this.#scheduler = scheduler;
    this.#latencyMs = latencyMs;
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
    if (this.#closed) return;
    const room = this.cutAfter[end] - this.#sent[end];
    const copy = bytes.slice(0, Math.max(0, Math.min(bytes.byteLength, room)));
    this.#sent[end] += copy.byteLength;
    if (copy.byteLength > 0 && !this.blackhole[end]) {
      this.#deliver(end, () => this.#ends[end === 0 ? 1 : 0]?.onData(copy));
    }
    if (copy.byteLength < bytes.byteLength) this.cut();
  }

  #deliver(end: 0 | 1, run: () => void): void {
    const at = Math.max(this.#lastArrival[end], this.#scheduler.now + this.#latencyMs());
    this.#lastArrival[end] = at;
    this.#scheduler.at(at, () => {
      if (!this.#closed || this.#draining[end]) run();
    });
  }
  readonly #draining: [boolean, boolean] = [false, false];

  /** In order: what `end` sent still arrives, then the other end sees the close. */
  close(end: 0 | 1): void {
    if (this.#closed) return;
    this.#draining[end] = true;
    const other = end === 0 ? 1 : 0;
    this.#ends[end] = undefined;
    if (this.blackhole[end]) {
      return;
    }
    this.#deliver(end, () => {
      this.#closed = true;
      const handlers = this.#ends[other];
      this.#ends[other] = undefined;
      handlers?.onClose(true);
    });
  }

  /** Breaks at once: what is under way is lost, both ends are told after their latency. */
  cut(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#draining[0] = this.#draining[1] = false;
    for (const end of [0, 1] as const) {
      const handlers = this.#ends[end];
      this.#ends[end] = undefined;
      if (handlers) this.#scheduler.after(this.#latencyMs(), () => handlers.onClose(true));
    }
  }

  /** One end's machine is gone without a word (`silent`), or its kernel resets the other. */
  abandon(end: 0 | 1, silent: boolean): void {
    this.#ends[end] = undefined;
    if (silent) {
      this.blackhole[0] = this.blackhole[1] = true;
      return;
    }
    const other = end === 0 ? 1 : 0;
    this.#closed = true;
    const handlers = this.#ends[other];
    this.#ends[other] = undefined;
    if (handlers) this.#scheduler.after(this.#latencyMs(), () => handlers.onClose(true));
  }
}
