/** Bytes that can be read at any position: what a stream is compared against. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface Source {
  readonly length: number;
  /** The bytes from `offset` on, fewer than `length` only at the end. The result is valid until the next call. */
  read(offset: number, length: number): Uint8Array;
}

/** A file, read synchronously: the operating system has it cached, and a service's snapshot must not fall into a read. */
export class FileSource implements Source {
  readonly length: number;
  readonly #descriptor: number;
  #buffer = Buffer.alloc(64 * 1024);

  constructor(path: string) {
    this.#descriptor = openSync(path, 'r');
    this.length = fstatSync(this.#descriptor).size;
  }

  read(offset: number, length: number): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.length - offset));
    if (wanted > this.#buffer.length) this.#buffer = Buffer.alloc(wanted);
    let filled = 0;
    while (filled < wanted) {
      const got = readSync(this.#descriptor, this.#buffer, filled, wanted - filled, offset + filled);
      if (got === 0) throw new Error('the file became shorter while it was being read');
      filled += got;
    }
    return this.#buffer.subarray(0, filled);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
