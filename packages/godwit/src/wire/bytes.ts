/**
 * Checked views of bytes: a reader that never runs past its end and a writer that grows. All integers are big-endian.
 */
import { ProtocolError, WireCode } from './codes.ts';

const encoder = new TextEncoder();
// A byte order mark is text like any other: what was encoded comes back whole.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a payload front to back; throws `ProtocolError` (Protocol) when a field runs past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  // No DataView: making one for each small frame costs more than reading all of the frame's fields.
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }
  u8(): number {
    return this.#byteAt(this.#take(1, 'u8'));
  }
  u16(): number {
    return this.#u16At(this.#take(2, 'u16'));
  }
  u32(): number {
    return readU32(this.#bytes, this.#take(4, 'u32'));
  }
  u48(): number {
    const at = this.#take(6, 'u48');
    return this.#u16At(at) * 2 ** 32 + readU32(this.#bytes, at + 2);
  }
  /** 64 bits whose value must be a safe integer. */
  u64(): number {
    const value = readU64(this.#bytes, this.#take(8, 'u64'));
    if (!Number.isSafeInteger(value))
      throw new ProtocolError(WireCode.Protocol, 'a 64-bit number is above 2^53 − 1');
    return value;
  }
  /** A copy, so that the value outlives the buffer it came in. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length, 'bytes');
    return copyBytes(this.#bytes, at, at + length);
  }
  /** All that is left: a view, since it is most of the buffer. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#take(this.remaining, 'rest'));
  }
  text(length: number): string {
    const at = this.#take(length, 'text');
    try {
      return decoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw new ProtocolError(WireCode.Protocol, 'a text field is not UTF-8');
    }
  }
  #take(length: number, what: string): number {
    if (length > this.remaining) {
      throw new ProtocolError(WireCode.Protocol, `truncated frame: ${what} runs past the end of the payload`);
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }
  #u16At(at: number): number {
    return this.#byteAt(at) * 2 ** 8 + this.#byteAt(at + 1);
  }
  #byteAt(at: number): number {
    return this.#bytes[at] as number;
  }
}

/**
 * Memory that writers share, in bytes: V8 keeps arrays of more than 64 bytes outside of its heap, where to allocate one takes ten
 * times as long as to take a piece of another. Memory cost: as much as long as one of its pieces is kept, which frames are not for long.
 */
const POOL_BYTES = 4 * 1024;
const SMALL_ARRAY_BYTES = 64;
/** What is longer gets memory of its own. */
const MAX_PIECE_BYTES = POOL_BYTES / 4;

let pool = new Uint8Array(POOL_BYTES);
let poolAt = 0;

/** Appends fields to a growing buffer. Throws `RangeError` on a value outside its field: that is our own bug. */
export class ByteWriter {
  #bytes: Uint8Array;
  /** Where in `#bytes` it began, has got to, and must not go on. */
  #start = 0;
  #at = 0;
  #end: number;
  /** `capacity`, in bytes, spares growth and a copy where the length is known. */
  constructor(capacity = 128) {
    this.#end = capacity;
    if (capacity <= SMALL_ARRAY_BYTES || capacity > MAX_PIECE_BYTES) {
      this.#bytes = new Uint8Array(capacity);
      return;
    }
    if (poolAt + capacity > POOL_BYTES) {
      pool = new Uint8Array(POOL_BYTES);
      poolAt = 0;
    }
    this.#bytes = pool;
    this.#start = poolAt;
    this.#at = poolAt;
    poolAt += capacity;
    this.#end = poolAt;
  }
  get length(): number {
    return this.#at - this.#start;
  }
  u8(value: number): void {
    check(value, 0xff);
    const at = this.#room(1);
    this.#bytes[at] = value;
  }
  u16(value: number): void {
    check(value, 0xffff);
    this.#put16(this.#room(2), value);
  }
  u32(value: number): void {
    check(value, 0xffffffff);
    const at = this.#room(4);
    writeU32(this.#bytes, at, value);
  }
  u48(value: number): void {
    check(value, 2 ** 48 - 1);
    const at = this.#room(6);
    const high = Math.floor(value / 2 ** 32);
    this.#put16(at, high);
    writeU32(this.#bytes, at + 2, value - high * 2 ** 32);
  }
  u64(value: number): void {
    check(value, Number.MAX_SAFE_INTEGER);
    const at = this.#room(8);
    writeU64(this.#bytes, at, value);
  }
  bytes(value: Uint8Array): void {
    const at = this.#room(value.byteLength);
    this.#bytes.set(value, at);
  }
  /** A text that `isAscii`. */
  ascii(value: string): void {
    const at = this.#room(value.length);
    for (let i = 0; i < value.length; i += 1) this.#bytes[at + i] = value.charCodeAt(i);
  }
  /** All that was written; the writer must not be used afterwards. */
  finish(): Uint8Array {
    const { length } = this;
    if (length === this.#bytes.byteLength) return this.#bytes;
    // What was not needed of the pool is for the next one.
    if (this.#bytes === pool && this.#end === poolAt) poolAt = this.#at;
    return new Uint8Array(this.#bytes.buffer, this.#start, length);
  }
  #put16(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value & 0xff;
  }
  /** Makes room for `length` bytes and answers where they go. It may replace the buffer, so it is called before that is named. */
  #room(length: number): number {
    if (this.#at + length > this.#end) this.#grow(length);
    const at = this.#at;
    this.#at += length;
    return at;
  }
  #grow(length: number): void {
    const written = this.#bytes.subarray(this.#start, this.#at);
    const grown = new Uint8Array(Math.max((this.#end - this.#start) * 2, written.byteLength + length));
    grown.set(written);
    this.#bytes = grown;
    this.#start = 0;
    this.#at = written.byteLength;
    this.#end = grown.byteLength;
  }
}

/** Eight bytes, of a value that is a safe integer. */
export function writeU64(into: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  writeU32(into, at, high);
  writeU32(into, at + 4, value - high * 2 ** 32);
}

/** `>>>` takes all of the 32 bits. */
function writeU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = (value >>> 16) & 0xff;
  into[at + 2] = (value >>> 8) & 0xff;
  into[at + 3] = value & 0xff;
}

/** Inverse of `writeU64`; what is no safe integer comes out as a number that is none either. */
export function readU64(from: Uint8Array, at: number): number {
  return readU32(from, at) * 2 ** 32 + readU32(from, at + 4);
}

/** 32 bits at `at`, of which all must be there. */
export function readU32(from: Uint8Array, at: number): number {
  const high = (from[at] as number) * 2 ** 24 + (from[at + 1] as number) * 2 ** 16;
  return high + (from[at + 2] as number) * 2 ** 8 + (from[at + 3] as number);
}

function check(value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max)
    throw new RangeError(`${value} is not in 0 … ${max}`);
}

/** Below this, in bytes, a loop is quicker: a view of a small array moves that array out of the heap first. */
export const SMALL_COPY_BYTES = 64;

/** A copy of a part. Not `slice()`: that of a Buffer is a view. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (end - start > SMALL_COPY_BYTES) return new Uint8Array(bytes.subarray(start, end));
  const copy = new Uint8Array(end - start);
  for (let i = start; i < end; i += 1) copy[i - start] = bytes[i] as number;
  return copy;
}

/** Whether each character is one byte of UTF-8. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) >= 0x80) return false;
  return true;
}

/** Up to so many characters are encoded by hand, as long as they are ASCII: names and addresses, of which tickets have three. */
const SHORT_TEXT = 64;

export function encodeText(text: string): Uint8Array {
  const { length } = text;
  if (length > SHORT_TEXT) return encoder.encode(text);
  const encoded = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return encoder.encode(text);
    encoded[at] = code;
  }
  return encoded;
}

/** Most of what becomes hexadecimal is ids of sessions: their digits share one array. */
const ID_BYTES = 16;
const idDigits = new Array<number>(ID_BYTES * 2).fill(0);

/** Lower-case hexadecimal, the form in which ids are keys of maps and appear in logs. */
export function toHex(bytes: Uint8Array): string {
  // In one piece: a string put together of digits is kept as a tree of them, which takes 2 KB for an id.
  const digits = bytes.byteLength === ID_BYTES ? idDigits : new Array<number>(bytes.byteLength * 2);
  for (let i = 0; i < bytes.byteLength; i += 1) {
    const byte = bytes[i] as number;
    digits[2 * i] = digitOf(byte >>> 4);
    digits[2 * i + 1] = digitOf(byte & 0x0f);
  }
  return String.fromCharCode(...digits);
}

function digitOf(value: number): number {
  return value + (value < 10 ? 48 : 87);
}

/** Inverse of `toHex`. Throws `RangeError` on anything else. */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new RangeError('not lower-case hexadecimal');
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

/** Stops at the first difference: never for MACs, which are compared in constant time where they are verified. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
