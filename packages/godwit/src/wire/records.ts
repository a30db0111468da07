/** Records of a trunk (protocol.md §3.6): what several channels send over one connection. */
import { readU32 } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';

/** Type, length and channel. */
export const RECORD_HEADER_BYTES = 8;
/** Most bytes of one record: its length has 24 bits. */
export const RECORD_BYTES_MAX = 2 ** 24 - 1;
/** Channels of a trunk are numbered from 1; after the last one it takes no more. */
export const CHANNEL_MAX = 2 ** 32 - 1;

export const RecordType = {
  /** Bytes of a channel, at least one. */
  Bytes: 0,
  /** The client begins a channel, whose number is above all before. */
  Open: 1,
  /** The sender is done with the channel: nothing follows, and what still comes is dropped. */
  Close: 2,
  /** The server does not take the channel now. */
  Refused: 3,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Whom a reader of records tells what they say, in order. */
export interface RecordHandlers {
  /** Bytes, or a part of them as they came: a view of the chunk that was read. */
  onBytes(channel: number, piece: Uint8Array): void;
  onOpen(channel: number): void;
  onClose(channel: number): void;
  onRefused(channel: number): void;
}

/** Writes a header at `at`. `length` is 0 for all but bytes. */
export function writeRecordHeader(
  into: Uint8Array,
  at: number,
  { type, channel, length }: { readonly type: RecordType; readonly channel: number; readonly length: number },
): void {
  into[at] = type;
  into[at + 1] = length >>> 16;
  into[at + 2] = length >>> 8;
  into[at + 3] = length;
  into[at + 4] = channel >>> 24;
  into[at + 5] = channel >>> 16;
  into[at + 6] = channel >>> 8;
  into[at + 7] = channel;
}

/** Reads records out of the chunks of a connection, however these are cut. */
export class RecordReader {
  readonly #handlers: RecordHandlers;
  /** A header that has come in part. */
  readonly #header = new Uint8Array(RECORD_HEADER_BYTES);
  #headerBytes = 0;
  /** Bytes of the record under way that are still to come. */
  #left = 0;
  #channel = 0;

  constructor(handlers: RecordHandlers) {
    this.#handlers = handlers;
  }

  /** Throws `ProtocolError`: Protocol for a header that makes no sense, behind which nothing can be read any more. */
  push(chunk: Uint8Array): void {
    const end = chunk.byteLength;
    let at = 0;
    while (at < end) {
      if (this.#left > 0) {
        const length = Math.min(this.#left, end - at);
        this.#left -= length;
        const piece = length === end ? chunk : chunk.subarray(at, at + length);
        at += length;
        this.#handlers.onBytes(this.#channel, piece);
      } else if (this.#headerBytes === 0 && end - at >= RECORD_HEADER_BYTES) {
        this.#begin(chunk, at);
        at += RECORD_HEADER_BYTES;
      } else {
        const length = Math.min(RECORD_HEADER_BYTES - this.#headerBytes, end - at);
        this.#header.set(chunk.subarray(at, at + length), this.#headerBytes);
        this.#headerBytes += length;
        at += length;
        if (this.#headerBytes < RECORD_HEADER_BYTES) return;
        this.#headerBytes = 0;
        this.#begin(this.#header, 0);
      }
    }
  }

  #begin(bytes: Uint8Array, at: number): void {
    const type = bytes[at];
    const length =
      ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    const channel = readU32(bytes, at + 4);
    if (channel === 0) throw new ProtocolError(WireCode.Protocol, 'a record of channel 0');
    if (type === RecordType.Bytes) {
      if (length === 0) throw new ProtocolError(WireCode.Protocol, 'a record of no bytes');
      this.#left = length;
      this.#channel = channel;
      return;
    }
    if (length > 0) throw new ProtocolError(WireCode.Protocol, `a record of type ${type} with bytes`);
    if (type === RecordType.Open) this.#handlers.onOpen(channel);
    else if (type === RecordType.Close) this.#handlers.onClose(channel);
    else if (type === RecordType.Refused) this.#handlers.onRefused(channel);
    else throw new ProtocolError(WireCode.Protocol, `a record of the unknown type ${type}`);
  }
}
