/**
 * CRC-32 of the output since the newest ticket, so that a re-executing server can be checked (protocol.md §7.4).
 *
 * A checksum of every byte would cost as much as moving it. So the window keeps copies, which a new ticket usually makes
 * superfluous before anything was computed, and only folds what grows beyond its limit into a checksum. What a later
 * ticket splits inside the folded part is then checked from `from` on, not from the ticket's own offset.
 */
import type { Offset } from '../wire/index.ts';
import { SlabQueue } from './slab-queue.ts';

export type Crc32 = (bytes: Uint8Array, seed: number) => number;

export class DigestWindow {
  readonly #crc32: Crc32;
  readonly #limitBytes: number;
  readonly #copies: SlabQueue;
  #from: Offset;
  #folded = 0;

  constructor(start: Offset, limitBytes: number, crc32: Crc32) {
    this.#crc32 = crc32;
    this.#limitBytes = limitBytes;
    this.#copies = new SlabQueue(start);
    this.#from = start;
  }

  get from(): Offset {
    return this.#from;
  }
  get heldBytes(): number {
    return this.#copies.length;
  }

  append(bytes: Uint8Array): void {
    if (bytes.byteLength > this.#limitBytes) {
      this.fold();
      this.#folded = this.#crc32(bytes, this.#folded);
      this.#copies.reset(this.#copies.end + bytes.byteLength);
      return;
    }
    this.#copies.append(bytes);
    if (this.#copies.length > this.#limitBytes)
      this.#foldTo(this.#copies.start + Math.floor(this.#copies.length / 2));
  }

  /** A ticket covers everything below `offset`. */
  rebase(offset: Offset): void {
    if (offset <= this.#from) return;
    this.#folded = 0;
    if (offset >= this.#copies.end) {
      this.#copies.reset(offset);
      this.#from = offset;
      return;
    }
    this.#copies.trim(offset);
    this.#from = this.#copies.start;
  }

  /** Turns all copies into the checksum, to give their memory back on an idle session. */
  fold(): void {
    if (this.#copies.length > 0) this.#foldTo(this.#copies.end);
    this.#copies.shrink();
  }

  #foldTo(offset: Offset): void {
    for (const view of this.#copies.views(this.#copies.start, offset))
      this.#folded = this.#crc32(view, this.#folded);
    this.#copies.trim(offset);
  }

  /** Checksum of the output in [from, end). */
  digest(): { from: Offset; end: Offset; crc: number } {
    let crc = this.#folded;
    for (const view of this.#copies.views(this.#copies.start, this.#copies.end)) crc = this.#crc32(view, crc);
    return { from: this.#from, end: this.#copies.end, crc };
  }
}
