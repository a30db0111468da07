/**
 * Bytes of a stream between two offsets, copied in once and lent out as views. Slabs start small, so that an idle session
 * costs nothing, and grow with the load, so that a busy one allocates nothing: a freed slab is used again.
 */
import type { Offset } from '../wire/index.ts';

/** Smallest slab, in bytes. */
const MIN_SLAB_BYTES = 512;
/** Largest slab, in bytes: two socket writes of 64 KiB. */
const MAX_SLAB_BYTES = 128 * 1024;
/** Most freed slabs of the largest size kept for reuse. Memory cost: 4 MiB a busy queue, until `shrink`. */
const MAX_SPARE_SLABS = 32;
/** A slab up to this size stays with an empty queue, so that small exchanges allocate nothing. */
const MAX_RESIDENT_SLAB_BYTES = 2048;

interface Slab {
  readonly bytes: Uint8Array;
  /** Stream offset of the slab's first byte. */
  base: Offset;
  /** Bytes in use. */
  used: number;
}

export class SlabQueue {
  #slabs: Slab[] = [];
  /** Slabs before this index are free. */
  #first = 0;
  #spares: Uint8Array[] = [];
  #start: Offset;
  #end: Offset;

  constructor(start: Offset) {
    this.#start = start;
    this.#end = start;
  }

  /** Offset of the first byte held. */
  get start(): Offset {
    return this.#start;
  }

  /** Offset behind the last byte held. */
  get end(): Offset {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** Without asking an empty list for its element -1: to look for a property of that name takes V8 a string in its old space. */
  get #last(): Slab | undefined {
    return this.#slabs.length === 0 ? undefined : this.#slabs[this.#slabs.length - 1];
  }

  /** Copies `bytes` behind the last; the caller may reuse them. */
  append(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.byteLength) {
      let slab = this.#last;
      if (!slab || slab.used === slab.bytes.byteLength) slab = this.#grow(bytes.byteLength - at, slab);
      const count = Math.min(bytes.byteLength - at, slab.bytes.byteLength - slab.used);
      slab.bytes.set(
        at === 0 && count === bytes.byteLength ? bytes : bytes.subarray(at, at + count),
        slab.used,
      );
      slab.used += count;
      at += count;
    }
    this.#end += bytes.byteLength;
  }

  #grow(needed: number, last: Slab | undefined): Slab {
    const size = Math.min(
      MAX_SLAB_BYTES,
      Math.max(MIN_SLAB_BYTES, needed, last ? last.bytes.byteLength * 2 : 0),
    );
    const bytes = this.#spares.pop() ?? new Uint8Array(size);
    const slab = { bytes, base: last ? last.base + last.used : this.#end, used: 0 };
    this.#slabs.push(slab);
    return slab;
  }

  /** Views of the bytes in [from, to). They are valid until `trim` passes them. */
  views(from: Offset, to: Offset, into: Uint8Array[] = []): Uint8Array[] {
    if (from < this.#start || to > this.#end || from > to)
      throw new RangeError(`[${from}, ${to}) is not within [${this.#start}, ${this.#end})`);
    let at = from;
    for (let i = this.#indexOf(from); at < to; i += 1) {
      const slab = this.#slabs[i] as Slab;
      const stop = Math.min(to, slab.base + slab.used);
      into.push(slab.bytes.subarray(at - slab.base, stop - slab.base));
      at = stop;
    }
    return into;
  }

  #indexOf(offset: Offset): number {
    let low = this.#first;
    let high = this.#slabs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#slabs[middle] as Slab).base <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Forgets all bytes below `to`. */
  trim(to: Offset): void {
    if (to <= this.#start) return;
    if (to > this.#end) throw new RangeError(`trim to ${to}, behind the end ${this.#end}`);
    this.#start = to;
    while (this.#first < this.#slabs.length) {
      const slab = this.#slabs[this.#first] as Slab;
      if (slab.base + slab.used > to) break;
      this.#first += 1;
      if (slab.bytes.byteLength === MAX_SLAB_BYTES && this.#spares.length < MAX_SPARE_SLABS)
        this.#spares.push(slab.bytes);
    }
    if (this.#first === this.#slabs.length) {
      const last = this.#last;
      this.#slabs =
        last && last.bytes.byteLength <= MAX_RESIDENT_SLAB_BYTES
          ? [{ bytes: last.bytes, base: this.#end, used: 0 }]
          : [];
      this.#first = 0;
    } else if (this.#first > 32) {
      this.#slabs.splice(0, this.#first);
      this.#first = 0;
    }
  }

  /** Gives back what holds no bytes; to be called when the stream has been quiet. */
  shrink(): void {
    this.#spares = [];
    if (this.#start < this.#end) return;
    this.#slabs = [];
    this.#first = 0;
  }

  /** Forgets everything and continues at `offset`. No view may be in use: the slabs are used again. */
  reset(offset: Offset): void {
    for (let i = this.#first; i < this.#slabs.length && this.#spares.length < MAX_SPARE_SLABS; i += 1) {
      const { bytes } = this.#slabs[i] as Slab;
      if (bytes.byteLength === MAX_SLAB_BYTES) this.#spares.push(bytes);
    }
    this.#slabs = [];
    this.#first = 0;
    this.#start = offset;
    this.#end = offset;
  }
}
