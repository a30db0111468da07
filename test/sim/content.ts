/**
 * Bytes that say where they belong: any 32 of them in a row occur once. So a comparer tells bytes that are missing from
 * bytes that came twice and from bytes that were changed. All streams are cut from one reel, each from a place of its own.
 */
import { StreamComparer } from '../../packages/cli/src/demo/comparer.ts';
import type { Source } from '../../packages/cli/src/demo/source.ts';
import { Draw } from './draw.ts';

const REEL_BYTES = 8 * 1024 * 1024;

/** The longest stream, in bytes. */
export const MAX_STREAM_BYTES = REEL_BYTES / 2;

const reel = makeReel();

function makeReel(): Uint8Array {
  const draw = new Draw(0);
  const words = new Uint32Array(REEL_BYTES / 4);
  for (let i = 0; i < words.length; i += 1) words[i] = draw.next() * 2 ** 32;
  return new Uint8Array(words.buffer);
}

/** The content of a stream. It must not be changed. */
export function stampedBytes(draw: Draw, length: number): Uint8Array {
  const at = draw.whole(0, REEL_BYTES - length);
  return reel.subarray(at, at + length);
}

class BytesSource implements Source {
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get length(): number {
    return this.#bytes.byteLength;
  }
  read(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, Math.max(offset, offset + length));
  }
}

/** Compares a stream with its content, from `offset` on. */
export function compareFrom(content: Uint8Array, offset: number): StreamComparer {
  return new StreamComparer(new BytesSource(content), {
    position: offset,
    received: offset,
    verdict: { lost: 0, duplicated: 0, corrupt: 0, incidents: { lost: 0, duplicated: 0, corrupt: 0 } },
    pending: '',
  });
}

export interface ContentCounts {
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
}

/** Adds up what was wrong with all streams. */
export class ContentFaults {
  #counts: ContentCounts = { lost: 0, duplicated: 0, corrupt: 0 };

  get counts(): ContentCounts {
    return this.#counts;
  }

  add({ lost, duplicated, corrupt }: ContentCounts): void {
    this.#counts = {
      lost: this.#counts.lost + lost,
      duplicated: this.#counts.duplicated + duplicated,
      corrupt: this.#counts.corrupt + corrupt,
    };
  }
}
