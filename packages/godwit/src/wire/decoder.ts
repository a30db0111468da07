/** Bytes to frames (protocol.md §4). */
import { readU64 } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';
import { DATA_TYPE, type FrameDefinition } from './definition.ts';
import { frames, type Frame, type FrameName } from './frames.ts';
import {
  HEADER_BYTES,
  MAX_DATA_BYTES,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
  MAX_UNAUTHENTICATED_SKIPPED_BYTES,
  MAX_UNAUTHENTICATED_SKIPPED_FRAMES,
} from './limits.ts';
import { peerFrames, type PeerFrame } from './peer-frames.ts';
import { decodeInto, decodeStruct, planOf, type Plan } from './schema.ts';

/** Types from here on may be skipped by a receiver that does not know them. */
export const FIRST_SKIPPABLE_TYPE = 0x80;

/** A piece of a DATA payload: a view of the bytes that came in, not a copy. */
export interface DataPiece {
  readonly frame: 'data';
  readonly bytes: Uint8Array;
}

/** Decodes the payload of one frame. Throws `ProtocolError` (Protocol). */
export function decodePayload<N extends FrameName>(name: N, payload: Uint8Array): Frame<N> {
  return { ...decodeStruct(frames[name].fields, payload), frame: name, payload } as unknown as Frame<N>;
}

/** What a decoder needs of a frame type. */
interface Known {
  readonly name: string;
  /** As messages and protocol.md write the name: NEED_BODY for `needBody`. */
  readonly label: string;
  readonly definition: FrameDefinition;
  readonly plan: Plan;
}

/** At index `type`; a hole is a type unknown here. */
type Types = readonly (Known | undefined)[];

const CARRIER_TYPES = indexTypes(frames);
const PEER_TYPES = indexTypes(peerFrames);

/** One comes with nearly every message, so it is decoded by hand. */
const ACK = CARRIER_TYPES[frames.ack.type];
const ACK_BYTES = 16;

const EMPTY = new Uint8Array(0);

/**
 * Takes bytes as a carrier delivers them and gives frames one at a time.
 * Contract: `push` a chunk, then call `next` until it answers `undefined`; a caller that must wait for an answer from
 * cryptography simply stops calling `next`. A pushed chunk must not change until then. A `ProtocolError` is final: the
 * carrier is of no more use, the decoder lets go of all it holds, ignores what is pushed and throws the same error again.
 */
export class FrameDecoder<F extends { readonly frame: string } = Frame> {
  readonly #types: Types;
  readonly #sender: 'client' | 'server' | 'both';
  #authenticated = false;
  #failure: Error | undefined;

  /** The chunk being decoded, from `#at` on. An exhausted one is let go of, so that an idle carrier pins no chunk. */
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  /** Chunks behind it, from `#queueAt` on: there are some only while the caller does not call `next`. */
  #queue: Uint8Array[] = [];
  #queueAt = 0;
  #queuedBytes = 0;

  /** What comes next: a header, or the payload of the frame whose header has been taken. */
  #expects: 'header' | 'data' | 'skipped' | 'payload' = 'header';
  /** Bytes of the header taken so far, as a number: they may come in different chunks. */
  #header = 0;
  #headerBytes = 0;
  /** Bytes missing of the payload. */
  #missing = 0;
  /** Frames whose header has been taken, and the length of the last one's payload. */
  #frames = 0;
  #length = 0;
  #known: Known | undefined;
  /** Frames that came to nothing before authentication, and their bytes, headers included. */
  #skippedFrames = 0;
  #skippedBytes = 0;
  /** The payload of a control frame that comes in several chunks. Its length has been checked. */
  #payload: Uint8Array | undefined;

  private constructor(types: Types, sender: 'client' | 'server' | 'both') {
    this.#types = types;
    this.#sender = sender;
  }

  /** A decoder for what `sender` sends to the other party. */
  static forCarrier(sender: 'client' | 'server'): FrameDecoder<Frame | DataPiece> {
    return new FrameDecoder<Frame | DataPiece>(CARRIER_TYPES, sender);
  }

  static forPeerLink(): FrameDecoder<PeerFrame> {
    const decoder = new FrameDecoder<PeerFrame>(PEER_TYPES, 'both');
    decoder.#authenticated = true;
    return decoder;
  }

  /** The sender has proved who it is: frames above 4 KiB are welcome (invariant I8). */
  setAuthenticated(): void {
    this.#authenticated = true;
  }

  /** Memory held: chunks not decoded yet, and at most one control frame that has come in part. */
  get bufferedBytes(): number {
    const partial = this.#headerBytes + (this.#payload?.byteLength ?? 0);
    return this.#chunk.byteLength - this.#at + this.#queuedBytes + partial;
  }

  /** A frame of which some bytes have come, and not all: its number, and how many of its bytes have been taken. */
  get unfinished(): { readonly frame: number; readonly takenBytes: number } | undefined {
    if (this.#expects !== 'header')
      return { frame: this.#frames, takenBytes: HEADER_BYTES + this.#length - this.#missing };
    return this.#headerBytes === 0 ? undefined : { frame: this.#frames + 1, takenBytes: this.#headerBytes };
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0 || this.#failure !== undefined) return;
    if (this.#at === this.#chunk.byteLength && this.#queuedBytes === 0) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#queue.push(chunk);
      this.#queuedBytes += chunk.byteLength;
    }
  }

  /** Takes a copy of what is not decoded yet: the chunks it is in are not ours to keep. */
  keep(): void {
    if (this.#at < this.#chunk.byteLength) {
      this.#chunk = new Uint8Array(this.#chunk.subarray(this.#at)); // a Buffer's own slice would be a view
      this.#at = 0;
    }
    for (let i = this.#queueAt; i < this.#queue.length; i += 1)
      this.#queue[i] = new Uint8Array(this.#queue[i] as Uint8Array);
  }

  /** The next frame, or undefined when what was pushed holds no further one. Throws `ProtocolError` (Protocol). */
  next(): F | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#decode();
    } catch (error) {
      this.#failure = error as Error;
      this.#chunk = EMPTY;
      this.#at = 0;
      this.#queue = [];
      this.#queueAt = 0;
      this.#queuedBytes = 0;
      throw error;
    }
  }

  #decode(): F | undefined {
    for (;;) {
      if (this.#expects === 'header') {
        if (!this.#takeHeader()) return undefined;
      } else if (this.#expects === 'payload') {
        const payload = this.#takePayload();
        if (payload === undefined) return undefined;
        const { name, plan } = this.#known as Known;
        if (this.#known === ACK && payload.byteLength === ACK_BYTES) {
          const ack = { frame: name, payload, received: readU64(payload, 0), credit: readU64(payload, 8) };
          if (Number.isSafeInteger(ack.received) && Number.isSafeInteger(ack.credit))
            return ack as unknown as F;
        }
        return decodeInto({ frame: name, payload }, plan, payload) as unknown as F;
      } else {
        const count = this.#available();
        if (count === 0) return undefined;
        const at = this.#at;
        this.#at += count;
        this.#missing -= count;
        const isData = this.#expects === 'data';
        if (this.#missing === 0) this.#expects = 'header';
        if (isData) return { frame: 'data', bytes: this.#chunk.subarray(at, at + count) } as unknown as F;
      }
    }
  }

  /** Takes what there is of a header; true when it was whole, and so allowed. */
  #takeHeader(): boolean {
    const chunk = this.#chunk;
    const at = this.#at;
    if (this.#headerBytes === 0 && at + HEADER_BYTES <= chunk.byteLength) {
      this.#at = at + HEADER_BYTES;
      const length =
        ((chunk[at + 1] as number) << 16) | ((chunk[at + 2] as number) << 8) | (chunk[at + 3] as number);
      this.#begin(chunk[at] as number, length);
      return true;
    }
    while (this.#headerBytes < HEADER_BYTES) {
      if (this.#at === this.#chunk.byteLength && !this.#nextChunk()) return false;
      this.#header = this.#header * 256 + (this.#chunk[this.#at] as number);
      this.#headerBytes += 1;
      this.#at += 1;
    }
    const length = this.#header % 2 ** 24;
    const type = (this.#header - length) / 2 ** 24;
    this.#header = 0;
    this.#headerBytes = 0;
    this.#begin(type, length);
    return true;
  }

  /** A header is whole. */
  #begin(type: number, length: number): void {
    this.#missing = length;
    this.#length = length;
    this.#frames += 1;
    this.#expects = this.#admit(type, length);
    if (length > 0 || this.#expects === 'payload') return;
    // Nothing comes of an empty payload, except for a frame, which may have no bytes at all.
    if (this.#expects === 'data') this.#countSkipped(0);
    this.#expects = 'header';
  }

  /** Says what to do with a payload, before any of it is kept. Throws `ProtocolError` when it must not come. */
  #admit(type: number, length: number): 'data' | 'skipped' | 'payload' {
    const isCarrier = this.#types === CARRIER_TYPES;
    if (isCarrier && type === DATA_TYPE) {
      // Before authentication too: it is credit that bounds DATA, and none of it is kept here.
      if (length > MAX_DATA_BYTES) throw overLimit('DATA', length, MAX_DATA_BYTES);
      return 'data';
    }
    const known = this.#types[type];
    if (known === undefined) {
      if (type < FIRST_SKIPPABLE_TYPE)
        throw violation(`unknown critical frame type 0x${type.toString(16).padStart(2, '0')}`);
      if (!this.#authenticated && length > MAX_UNAUTHENTICATED_FRAME_BYTES) {
        throw overLimit('an unknown frame before authentication', length, MAX_UNAUTHENTICATED_FRAME_BYTES);
      }
      this.#countSkipped(length);
      return 'skipped';
    }
    const { from, max } = known.definition;
    if (from !== 'both' && from !== this.#sender) throw violation(`${known.label} from a ${this.#sender}`);
    const limit = this.#authenticated ? max : Math.min(max, MAX_UNAUTHENTICATED_FRAME_BYTES);
    if (length > limit) throw overLimit(known.label, length, limit);
    this.#known = known;
    return 'payload';
  }

  /**
   * A frame comes of which nobody but this decoder hears, so nobody else could end it. Throws `ProtocolError` (LimitExceeded)
   * when a sender that has proved nothing has sent too many.
   */
  #countSkipped(length: number): void {
    if (this.#authenticated) return;
    this.#skippedFrames += 1;
    this.#skippedBytes += HEADER_BYTES + length;
    if (
      this.#skippedFrames > MAX_UNAUTHENTICATED_SKIPPED_FRAMES ||
      this.#skippedBytes > MAX_UNAUTHENTICATED_SKIPPED_BYTES
    )
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `${this.#skippedFrames} frames of ${this.#skippedBytes} bytes came to nothing before authentication`,
      );
  }

  /** One contiguous copy of the payload, once it is whole: control frames outlive the chunk they came in. */
  #takePayload(): Uint8Array | undefined {
    // Gathered as it comes, so that a sender of single bytes does not make us keep a chunk for each.
    const payload = this.#payload ?? new Uint8Array(this.#missing);
    while (this.#missing > 0) {
      const count = this.#available();
      if (count === 0) {
        this.#payload = payload;
        return undefined;
      }
      copy(this.#chunk, this.#at, count, payload, payload.byteLength - this.#missing);
      this.#at += count;
      this.#missing -= count;
    }
    this.#payload = undefined;
    this.#expects = 'header';
    return payload;
  }

  /** How many of the missing bytes the current chunk has; 0 when no chunk is left. */
  #available(): number {
    if (this.#at === this.#chunk.byteLength && !this.#nextChunk()) return 0;
    return Math.min(this.#missing, this.#chunk.byteLength - this.#at);
  }

  /** Goes on to the next chunk. False, with no chunk held, when there is none. */
  #nextChunk(): boolean {
    this.#at = 0;
    const chunk = this.#queue[this.#queueAt];
    if (chunk === undefined) {
      this.#chunk = EMPTY;
      return false;
    }
    this.#chunk = chunk;
    this.#queuedBytes -= chunk.byteLength;
    this.#queue[this.#queueAt] = EMPTY;
    this.#queueAt += 1;
    if (this.#queueAt === this.#queue.length) {
      this.#queue = [];
      this.#queueAt = 0;
    }
    return true;
  }
}

/** Below this, a loop is faster than making a view to copy from. */
const SMALL_COPY_BYTES = 48;

function copy(from: Uint8Array, at: number, count: number, to: Uint8Array, toAt: number): void {
  if (count > SMALL_COPY_BYTES) {
    to.set(from.subarray(at, at + count), toAt);
    return;
  }
  for (let i = 0; i < count; i += 1) to[toAt + i] = from[at + i] as number;
}

function violation(message: string): ProtocolError {
  return new ProtocolError(WireCode.Protocol, message);
}

function overLimit(what: string, length: number, limit: number): ProtocolError {
  return violation(`${what} of ${length} bytes is over the limit of ${limit}`);
}

function indexTypes(table: Readonly<Record<string, FrameDefinition>>): Types {
  const types: (Known | undefined)[] = new Array<undefined>(256).fill(undefined);
  for (const [name, definition] of Object.entries(table)) {
    const label = name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
    types[definition.type] = { name, label, definition, plan: planOf(definition.fields) };
  }
  return types;
}
