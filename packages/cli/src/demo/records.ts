/**
 * Streams without a source: records of random length and content, each with its number, its place in the stream, its
 * length and two CRCs. A reader can tell from them alone what was lost, doubled or damaged on the way.
 *
 *     magic 4 | sequence 4 | offset 8 | payload length 4 | payload CRC 4 | CRC of these 24 bytes 4 | payload
 */
import { crc32 } from 'node:zlib';
import { emptyCounts } from './comparer.ts';
import type { Counts, Verdict } from './comparer.ts';

const MAGIC = Buffer.from('GDWR');
const HEADER_BYTES = 28;

/** Largest payload of a record. A reader holds one record at the most, and as much again while it looks for its place. */
export const PAYLOAD_MAX_BYTES = 16 * 1024;

/** Where the content comes from: chance, or a seed. */
export interface RecordContent {
  /** From 1 to `PAYLOAD_MAX_BYTES`. */
  payloadBytes(): number;
  fill(payload: Uint8Array): void;
}

/** Where a writer or a reader is, between two records. */
export interface RecordPosition {
  readonly sequence: number;
  /** Bytes of the stream before the next record. */
  readonly offset: number;
}

export class RecordWriter {
  readonly #content: RecordContent;
  #sequence: number;
  #offset: number;

  constructor(content: RecordContent, { sequence, offset }: RecordPosition = { sequence: 0, offset: 0 }) {
    this.#content = content;
    this.#sequence = sequence;
    this.#offset = offset;
  }

  get position(): RecordPosition {
    return { sequence: this.#sequence, offset: this.#offset };
  }

  next(): Buffer {
    const length = this.#content.payloadBytes();
    const record = Buffer.allocUnsafe(HEADER_BYTES + length);
    const payload = record.subarray(HEADER_BYTES);
    this.#content.fill(payload);
    MAGIC.copy(record);
    record.writeUInt32BE(this.#sequence, 4);
    record.writeBigUInt64BE(BigInt(this.#offset), 8);
    record.writeUInt32BE(length, 16);
    record.writeUInt32BE(crc32(payload), 20);
    record.writeUInt32BE(crc32(record.subarray(0, 24)), 24);
    this.#sequence += 1;
    this.#offset += record.length;
    return record;
  }
}

/** A record as it was read. */
export interface ReadRecord extends RecordPosition {
  /** Valid until the reader is given more. */
  readonly payload: Buffer;
}

export interface ReaderState extends RecordPosition {
  readonly verdict: Verdict;
}

/**
 * Reads records. Its state is that between two records: what it holds of an unfinished one is not part of it, and has to
 * be fed again to a reader that takes up the state.
 */
export class RecordReader {
  readonly #counts: Counts;
  #sequence: number;
  /** Where in the sender's stream the next record should begin. */
  #offset: number;
  #pending: Buffer = Buffer.alloc(0);
  /** Bytes of `#pending` that begin no record. */
  #skipped = 0;

  constructor(state?: ReaderState) {
    this.#sequence = state?.sequence ?? 0;
    this.#offset = state?.offset ?? 0;
    this.#counts =
      state === undefined ? emptyCounts() : { ...state.verdict, incidents: { ...state.verdict.incidents } };
  }

  get state(): ReaderState {
    const verdict = { ...this.#counts, incidents: { ...this.#counts.incidents } };
    return { sequence: this.#sequence, offset: this.#offset, verdict };
  }

  /** Returns the bytes that are done with: whole records, and whatever lay between them. */
  push(bytes: Buffer): Buffer {
    this.append(bytes);
    const all = this.#pending;
    while (this.next() !== undefined);
    return all.subarray(0, all.length - this.#pending.length);
  }

  /** Takes bytes without looking at them: `next` does. */
  append(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
  }

  /** Bytes taken that are not done with. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** The next whole record; it, and whatever lay before it, is done with. Undefined until more bytes come. */
  next(): ReadRecord | undefined {
    while (true) {
      const at = this.#skipped;
      const record = parseRecord(this.#pending, at);
      if (record === 'incomplete') return undefined;
      if (record === 'none') {
        const next = this.#pending.indexOf(MAGIC, at + 1);
        // The last bytes may be the start of a magic.
        this.#skipped = next >= 0 ? next : Math.max(at + 1, this.#pending.length - MAGIC.length + 1);
        continue;
      }
      this.#account(this.#skipped, record.offset);
      if (this.#skipped === 0 && record.offset === this.#offset && record.sequence !== this.#sequence)
        this.#count('corrupt', record.length);
      this.#sequence = record.sequence + 1;
      this.#offset = record.offset + record.length;
      this.#skipped = 0;
      const payload = this.#pending.subarray(at + HEADER_BYTES, at + record.length);
      this.#pending = this.#pending.subarray(at + record.length);
      return { sequence: record.sequence, offset: record.offset, payload };
    }
  }

  /** The stream has ended; the sender says how long it was. */
  end(sentBytes: number): Verdict {
    this.#account(this.#pending.length, sentBytes);
    this.#offset = sentBytes;
    this.#pending = Buffer.alloc(0);
    return this.state.verdict;
  }

  /** The next sound place is `offset` of the sender's stream, and so many bytes came before it that made no record. */
  #account(skipped: number, offset: number): void {
    const sent = offset - this.#offset;
    if (skipped < sent) this.#count('lost', sent - skipped);
    else if (skipped > sent) this.#count('duplicated', skipped - sent);
    else if (skipped > 0) this.#count('corrupt', skipped);
  }

  #count(fault: 'lost' | 'duplicated' | 'corrupt', bytes: number): void {
    this.#counts[fault] += bytes;
    this.#counts.incidents[fault] += 1;
  }
}

interface ParsedRecord {
  readonly sequence: number;
  readonly offset: number;
  readonly length: number;
}

function parseRecord(bytes: Buffer, at: number): ParsedRecord | 'incomplete' | 'none' {
  const available = bytes.length - at;
  const magic = Math.min(MAGIC.length, available);
  if (bytes.compare(MAGIC, 0, magic, at, at + magic) !== 0) return 'none';
  if (available < HEADER_BYTES) return 'incomplete';
  const header = bytes.subarray(at, at + HEADER_BYTES);
  if (header.readUInt32BE(24) !== crc32(header.subarray(0, 24))) return 'none';
  const length = HEADER_BYTES + header.readUInt32BE(16);
  if (length > HEADER_BYTES + PAYLOAD_MAX_BYTES) return 'none';
  if (available < length) return 'incomplete';
  if (header.readUInt32BE(20) !== crc32(bytes.subarray(at + HEADER_BYTES, at + length))) return 'none';
  return { sequence: header.readUInt32BE(4), offset: Number(header.readBigUInt64BE(8)), length };
}
