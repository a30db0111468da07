/** Reads of sockets that were dialled, into memory that all of them share. */
import type { OnReadOpts } from 'node:net';

/**
 * The memory, in bytes. What is in it is used up before the next socket reads, so there is one for all: large, so that it
 * takes what has come in one system call, and always in the processor's cache.
 */
const READ_BUFFER_BYTES = 256 * 1024;
let readBuffer: Uint8Array | undefined;

/** Who reads what is lent. */
export interface Borrower {
  take(chunk: Uint8Array): void;
}

export class Lender {
  /** What a socket is to be made with. */
  readonly onread: OnReadOpts;
  #borrower: Borrower | undefined;
  /** Copies of what came before somebody took it: a socket that is paused may have read already. */
  #early: Uint8Array[] | undefined;

  constructor() {
    readBuffer ??= Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
    this.onread = {
      buffer: readBuffer,
      callback: (length, buffer) => {
        this.#take(buffer.subarray(0, length));
        return true;
      },
    };
  }

  /** Bytes go there from now on; each chunk is valid until `take` returns. */
  lendTo(borrower: Borrower): void {
    this.#borrower = borrower;
    if (this.#early !== undefined) process.nextTick(() => this.#passOn());
  }

  #take(chunk: Uint8Array): void {
    if (this.#borrower !== undefined && this.#early === undefined) this.#borrower.take(chunk);
    else (this.#early ??= []).push(new Uint8Array(chunk));
  }

  #passOn(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const chunk of early) this.#borrower?.take(chunk);
  }
}
