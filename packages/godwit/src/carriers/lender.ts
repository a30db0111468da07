/**
 * Reads of sockets that were dialled: into memory that all of them share, which is only lent, while little comes; into
 * memory of the application's own while much comes, so that it is copied nowhere.
 */
import type { OnReadOpts } from 'node:net';
import { keepFreedMemory } from './freed-memory.ts';
import { youngBuffers } from './young-buffers.ts';

/**
 * The shared memory, in bytes. What is in it is used up before the next socket reads, so there is one for all: large, so that
 * it takes what has come in one system call, and always in the processor's cache.
 */
const READ_BUFFER_BYTES = 256 * 1024;
let readBuffer: Uint8Array | undefined;

/** Who reads what is lent. */
export interface Borrower {
  take(chunk: Uint8Array): void;
}

/** A read of so many bytes is part of a bulk stream: a record of TLS brings no more than 16 KiB. */
const BULK_READ_BYTES = 8 * 1024;
/** Memory that bulk reads are given, in bytes: one after the other, until less than `MIN_ROOM_BYTES` is left. */
const SLAB_BYTES = 128 * 1024;
const MIN_ROOM_BYTES = 16 * 1024;
/**
 * Largest record of TLS, in bytes (RFC 8446, §5.1). node decrypts all that came and tells of each record by itself: behind a full
 * one more follows at once.
 */
const FULL_RECORD_BYTES = 16 * 1024;
/** Full records are passed on together, until there is as much as this, in bytes: what a read of TCP brings. */
const GATHERED_BYTES = 64 * 1024;
/** So many small reads in a row end a bulk stream. Fewer are what is left of a large write when the rest of it was read. */
const MAX_SMALL_READS = 4;

export class Lender {
  /** What a socket is to be made with. */
  readonly onread: OnReadOpts;
  #borrower: Borrower | undefined;
  /** Copies of what came before somebody took it: a socket that is paused may have read already. */
  #early: Uint8Array[] | undefined;
  /** What is left of the memory for bulk reads, while the next read goes there. */
  #room: Uint8Array | undefined;
  #smallReads = 0;
  #isLending = true;
  /** Full records that were not passed on yet, one behind the other; no longer than this turn of the event loop. */
  #gathered: Uint8Array | undefined;
  #willPass = false;

  /** `gathers` full records of TLS. */
  constructor({ gathers = false } = {}) {
    const shared = (readBuffer ??= Buffer.allocUnsafeSlow(READ_BUFFER_BYTES));
    this.onread = {
      buffer: () => this.#room ?? shared,
      callback: (length, buffer) => {
        if (gathers && this.#gather(length)) return true;
        this.flush();
        this.#isLending = this.#room === undefined || length < BULK_READ_BYTES;
        this.#room = this.#roomAfter(length);
        this.#take(buffer.subarray(0, length));
        return true;
      },
    };
  }

  /** Whether the chunk that `take` was called with is only lent. */
  get isLending(): boolean {
    return this.#isLending;
  }

  /** Bytes go there from now on; a chunk that is lent is valid until `take` returns. */
  lendTo(borrower: Borrower): void {
    this.#borrower = borrower;
    if (this.#early !== undefined) process.nextTick(() => this.#passOnEarly());
  }

  /** Passes on what was read and kept back; to be called before what comes behind it is told: the end, say. */
  flush(): void {
    const gathered = this.#gathered;
    if (gathered === undefined) return;
    this.#gathered = undefined;
    this.#isLending = false;
    this.#take(gathered);
  }

  /** Whether the read is a full record, which is kept back if more may follow. */
  #gather(length: number): boolean {
    const room = this.#room;
    if (room === undefined || length !== FULL_RECORD_BYTES || this.#borrower === undefined) return false;
    const before = this.#gathered?.byteLength ?? 0;
    this.#gathered = new Uint8Array(room.buffer, room.byteOffset - before, before + length);
    this.#room = this.#roomAfter(length);
    if (before + length >= GATHERED_BYTES || this.#room?.buffer !== room.buffer) this.flush();
    else if (!this.#willPass) {
      this.#willPass = true;
      setImmediate(passOn, this);
    }
    return true;
  }

  /** @internal */
  passOn(): void {
    this.#willPass = false;
    this.flush();
  }

  /** Memory for the next read, if that is likely to be large. A small one only borrows it. */
  #roomAfter(length: number): Uint8Array | undefined {
    if (length < BULK_READ_BYTES) {
      this.#smallReads += 1;
      return this.#smallReads < MAX_SMALL_READS ? this.#room : undefined;
    }
    this.#smallReads = 0;
    const left = this.#room?.subarray(length);
    if (left !== undefined && left.byteLength >= MIN_ROOM_BYTES) return left;
    keepFreedMemory();
    youngBuffers.took(SLAB_BYTES);
    return Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  #take(chunk: Uint8Array): void {
    if (this.#borrower !== undefined && this.#early === undefined) this.#borrower.take(chunk);
    else (this.#early ??= []).push(new Uint8Array(chunk));
  }

  #passOnEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#isLending = false;
    for (const chunk of early) this.#borrower?.take(chunk);
  }
}

function passOn(lender: Lender): void {
  lender.passOn();
}
