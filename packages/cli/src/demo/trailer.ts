/** What a service says last: what it has received and sent, as a piece of JSON of fixed length behind the stream. */
import type { Verdict } from './comparer.ts';

/** Bytes of a trailer; the JSON is filled up with spaces. */
export const TRAILER_BYTES = 512;

export interface Trailer {
  /** What the service received, and how far in the client's stream it had come by then. */
  readonly up: {
    readonly bytes: number;
    readonly position: number;
    readonly sha256: string;
    readonly verdict: Verdict;
  };
  /** What the service sent before the trailer. Without a hash where the source is at hand. */
  readonly down: { readonly bytes: number; readonly sha256?: string };
}

export function encodeTrailer(trailer: Trailer): Buffer {
  const text = JSON.stringify(trailer);
  if (text.length > TRAILER_BYTES) throw new RangeError(`a trailer of ${text.length} bytes`);
  return Buffer.from(text.padEnd(TRAILER_BYTES));
}

/** Takes the trailer off a stream whose length is not known beforehand: passes on all but the last bytes so far. */
export class TrailerSplitter {
  #held: Buffer = Buffer.alloc(0);

  /** What certainly lies before the trailer. */
  push(chunk: Buffer): Buffer[] {
    if (chunk.length >= TRAILER_BYTES) {
      const before = [this.#held, chunk.subarray(0, chunk.length - TRAILER_BYTES)];
      this.#held = Buffer.from(chunk.subarray(chunk.length - TRAILER_BYTES));
      return before;
    }
    const all = Buffer.concat([this.#held, chunk]);
    const cut = Math.max(0, all.length - TRAILER_BYTES);
    this.#held = all.subarray(cut);
    return [all.subarray(0, cut)];
  }

  /** At the end of the stream. Throws an Error if what came last is no trailer. */
  end(): Trailer {
    try {
      return JSON.parse(this.#held.toString()) as Trailer;
    } catch (cause) {
      throw new Error('the stream did not end with the report of the service', { cause });
    }
  }
}
