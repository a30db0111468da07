/**
 * The sending side of one stream: bytes the application wrote, kept until the protocol allows to free them, and how far
 * they went out on the present carrier (protocol.md §6.1).
 */
import { DATA_TYPE, encodeFrame, encodeHeader, type Offset } from '../wire/index.ts';
import { SlabQueue } from './slab-queue.ts';

/** Largest DATA frame we send, in bytes: other frames wait for at most this much. Smaller ones would be written one by one. */
const MAX_FRAME_BYTES = 512 * 1024;

export class SendBuffer {
  readonly #queue: SlabQueue;
  /** Next offset to go out on the present carrier; counts the FIN. */
  #sent: Offset;
  /** The peer takes bytes below this offset. A FIN needs no credit. */
  #credit: Offset = 0;
  #acknowledged: Offset;
  #finished = false;

  constructor(start: Offset) {
    this.#queue = new SlabQueue(start);
    this.#sent = start;
    this.#acknowledged = start;
  }

  /** First offset still held. */
  get retainedFrom(): Offset {
    return this.#queue.start;
  }
  /** Offset behind the last byte written; the FIN's own offset once finished. */
  get end(): Offset {
    return this.#queue.end;
  }
  /** `end`, plus one for a FIN. */
  get next(): Offset {
    return this.#queue.end + (this.#finished ? 1 : 0);
  }
  get sent(): Offset {
    return this.#sent;
  }
  get acknowledged(): Offset {
    return this.#acknowledged;
  }
  get credit(): Offset {
    return this.#credit;
  }
  get finished(): boolean {
    return this.#finished;
  }
  get retainedBytes(): number {
    return this.#queue.length;
  }
  get unsentBytes(): number {
    return this.#queue.end - Math.min(this.#sent, this.#queue.end);
  }
  /** True when bytes wait that the peer has given no credit for. */
  get isBlocked(): boolean {
    return this.#sent < this.#queue.end && this.#sent >= this.#credit;
  }
  get canTransmit(): boolean {
    if (this.#sent < this.#queue.end) return this.#sent < this.#credit;
    return this.#finished && this.#sent === this.#queue.end;
  }

  append(bytes: Uint8Array): void {
    if (this.#finished) throw new RangeError('write after the end of the stream');
    this.#queue.append(bytes);
  }

  finish(): void {
    this.#finished = true;
  }

  /** Absolute credit never shrinks on one carrier; a smaller one is old news. */
  grant(credit: Offset): void {
    if (credit > this.#credit) this.#credit = credit;
  }

  /**
   * The peer has everything below `offset`, which may be more than went out here: until it was attached to this server it
   * went on receiving from the last one. What it has but was not sent here still goes out, since DATA has no offsets.
   */
  acknowledge(offset: Offset): void {
    const sent = Math.min(offset, this.#sent);
    if (sent > this.#acknowledged) this.#acknowledged = sent;
  }

  /** Frees bytes below `offset`, as far as they went out on the present carrier. */
  trim(offset: Offset): void {
    this.#queue.trim(Math.min(offset, this.#sent, this.#queue.end));
  }

  /** A new carrier: go on at `from`, with the credit its peer names. */
  rewind(from: Offset, credit: Offset): void {
    if (from < this.#queue.start || from > this.next) throw new RangeError(`offset ${from} is not held`);
    this.#sent = from;
    this.#credit = credit;
    if (from > this.#acknowledged) this.#acknowledged = from;
  }

  /** Starts over at another offset with nothing held: output that is re-created below it is not kept. */
  restart(offset: Offset): void {
    this.#queue.reset(offset);
    this.#sent = offset;
    this.#acknowledged = offset;
  }

  /** Appends frames to `into`: DATA up to `maxBytes` or `stopAt`, then the FIN. Answers the payload bytes taken. */
  transmit(into: Uint8Array[], maxBytes: number, stopAt: Offset = Number.MAX_SAFE_INTEGER): number {
    const from = this.#sent;
    const to = Math.min(this.#queue.end, this.#credit, from + maxBytes, from + MAX_FRAME_BYTES, stopAt);
    let taken = 0;
    if (to > from) {
      into.push(encodeHeader(DATA_TYPE, to - from));
      this.#queue.views(from, to, into);
      this.#sent = to;
      taken = to - from;
    }
    if (this.#finished && this.#sent === this.#queue.end && stopAt > this.#sent) {
      into.push(encodeFrame('fin', { offset: this.#sent }));
      this.#sent += 1;
    }
    return taken;
  }

  /** Views of held bytes, for a hand-over. */
  views(from: Offset, to: Offset): Uint8Array[] {
    return this.#queue.views(from, to);
  }

  shrink(): void {
    this.#queue.shrink();
  }
}
