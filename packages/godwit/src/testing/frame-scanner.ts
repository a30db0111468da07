/** Tells apart what passes over a carrier in one direction, so that it can be cut at an exact byte of a stream. */
import { DATA_TYPE, HEADER_BYTES, PREFACE_BYTES, concatBytes } from '../wire/index.ts';

/** A piece of what passes. All pieces together are the bytes that came. */
export type Passing =
  /** Bytes of the stream. */
  | { readonly what: 'data'; readonly bytes: Uint8Array }
  /** A whole control frame. */
  | {
      readonly what: 'control';
      readonly type: number;
      readonly payload: Uint8Array;
      readonly bytes: Uint8Array;
    }
  /** What leads up to bytes of the stream: the header of DATA. */
  | { readonly what: 'header'; readonly bytes: Uint8Array }
  | { readonly what: 'preface'; readonly bytes: Uint8Array };

/** Takes bytes as a carrier delivers them. Control frames are held until they are whole. */
export class FrameScanner {
  #prefaceMissing: number;
  #dataMissing = 0;
  #partial = new Uint8Array(0);

  constructor(sender: 'client' | 'server') {
    this.#prefaceMissing = sender === 'client' ? PREFACE_BYTES : 0;
  }

  push(chunk: Uint8Array): Passing[] {
    const bytes = this.#partial.byteLength === 0 ? chunk : concatBytes([this.#partial, chunk]);
    const passing: Passing[] = [];
    let at = 0;
    while (at < bytes.byteLength) {
      const next = this.#take(bytes.subarray(at));
      if (next === undefined) break;
      passing.push(next);
      at += next.bytes.byteLength;
    }
    this.#partial = bytes.slice(at);
    return passing;
  }

  /** The piece that `bytes` begins with; undefined when it takes more to know. */
  #take(bytes: Uint8Array): Passing | undefined {
    if (this.#prefaceMissing > 0) {
      const part = bytes.subarray(0, this.#prefaceMissing);
      this.#prefaceMissing -= part.byteLength;
      return { what: 'preface', bytes: part };
    }
    if (this.#dataMissing > 0) {
      const part = bytes.subarray(0, this.#dataMissing);
      this.#dataMissing -= part.byteLength;
      return { what: 'data', bytes: part };
    }
    if (bytes.byteLength < HEADER_BYTES) return undefined;
    const [type = 0, high = 0, middle = 0, low = 0] = bytes;
    const length = high * 65_536 + middle * 256 + low;
    if (type === DATA_TYPE) {
      this.#dataMissing = length;
      return { what: 'header', bytes: bytes.subarray(0, HEADER_BYTES) };
    }
    if (bytes.byteLength < HEADER_BYTES + length) return undefined;
    const frame = bytes.subarray(0, HEADER_BYTES + length);
    return { what: 'control', type, payload: frame.subarray(HEADER_BYTES), bytes: frame };
  }
}
