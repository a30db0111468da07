/** Records that wait to leave together: small ones side by side in one piece of memory, large ones where they are. */
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RecordType, writeRecordHeader } from '../wire/index.ts';

/** Memory for small records, in bytes: one piece after the other, each used up by as many batches as fit. */
const SLAB_BYTES = 32 * 1024;
/** Parts up to this size are copied, in bytes: a copy costs less than a part of its own in `writev`. */
const COPIED_BYTES = 4 * 1024;

export class RecordBatch {
  #slab = Buffer.allocUnsafeSlow(0);
  /** What of the slab is written and not yet among the parts. */
  #start = 0;
  #end = 0;
  #parts: Uint8Array[] = [];
  #byteLength = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** A record without bytes. */
  add(type: Exclude<RecordType, typeof RecordType.Bytes>, channel: number): void {
    this.#header(type, channel, 0);
  }

  /** Bytes of a channel, which must not be changed until they are flushed. */
  addBytes(channel: number, parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.byteLength;
    if (length === 0) return;
    if (length > RECORD_BYTES_MAX) {
      this.#addLarge(channel, parts);
      return;
    }
    this.#header(RecordType.Bytes, channel, length);
    for (const part of parts) this.#append(part);
  }

  /** All that was added, in order; the batch is empty then. */
  take(): readonly Uint8Array[] {
    this.#seal();
    const parts = this.#parts;
    this.#parts = [];
    this.#byteLength = 0;
    return parts;
  }

  /** As many records as it takes. */
  #addLarge(channel: number, parts: readonly Uint8Array[]): void {
    for (const part of parts)
      for (let at = 0; at < part.byteLength; at += RECORD_BYTES_MAX)
        this.addBytes(channel, [part.subarray(at, at + RECORD_BYTES_MAX)]);
  }

  #header(type: RecordType, channel: number, length: number): void {
    this.#reserve(RECORD_HEADER_BYTES);
    writeRecordHeader(this.#slab, this.#end, { type, channel, length });
    this.#end += RECORD_HEADER_BYTES;
    this.#byteLength += RECORD_HEADER_BYTES;
  }

  #append(part: Uint8Array): void {
    this.#byteLength += part.byteLength;
    if (part.byteLength > COPIED_BYTES) {
      this.#seal();
      this.#parts.push(part);
      return;
    }
    this.#reserve(part.byteLength);
    this.#slab.set(part, this.#end);
    this.#end += part.byteLength;
  }

  #reserve(bytes: number): void {
    if (this.#slab.byteLength - this.#end >= bytes) return;
    this.#seal();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #seal(): void {
    if (this.#end === this.#start) return;
    this.#parts.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
