/**
 * The receiving side of one stream: drops duplicates by offset, keeps what the application has not taken, grants credit
 * and says when an ACK is due (protocol.md §6.2). Chunks are held as they came, without a copy, but where an application
 * falls behind and copies take less memory.
 */
import { ProtocolError, WireCode, type Offset } from '../wire/index.ts';
import { listOfOne } from './short-list.ts';

/** An ACK is due after this many bytes at the latest, or a quarter of the window. */
const MAX_ACK_INTERVAL_BYTES = 512 * 1024;

/** So many chunks are held as they came, however small. Memory cost: as many of the carrier's chunks, of 128 KiB each. */
const CHUNKS_AS_THEY_CAME = 4;
/** Behind those, smaller chunks are gathered: a chunk of its own costs more than so many bytes. */
const MIN_CHUNK_BYTES = 512;
/** Smallest buffer that chunks are gathered in, in bytes. */
const GATHER_BYTES = 4096;

export class ReceiveBuffer {
  readonly #windowBytes: number;
  #chunks = listOfOne<Uint8Array>();
  #head = 0;
  /** The newest buffer that chunks were gathered in, used up to `#gathered`. */
  #gather: Uint8Array | undefined;
  #gathered = 0;
  /** Offset of the next byte on the present carrier; at most `received`. */
  #position: Offset;
  /** Everything below has come, in order; counts the FIN. */
  #received: Offset;
  #handed: Offset;
  /** Bytes the application took out of its stream: the base of credit. */
  #consumed: Offset;
  #finOffset: Offset | undefined;
  #finHanded = false;
  /** Bytes below this may be handed to the application (commit mode stages the rest). */
  #releasedTo: Offset = Number.MAX_SAFE_INTEGER;
  #granted: Offset;
  #announced: Offset;
  #announcedCredit: Offset = 0;

  constructor(start: Offset, windowBytes: number) {
    this.#windowBytes = windowBytes;
    this.#position = start;
    this.#received = start;
    this.#handed = start;
    this.#consumed = start;
    this.#announced = start;
    this.#granted = start + windowBytes;
  }

  /** A stream that was restored behind its FIN: everything was consumed. */
  static finished(next: Offset, windowBytes: number): ReceiveBuffer {
    const buffer = new ReceiveBuffer(next, windowBytes);
    buffer.#finOffset = next - 1;
    buffer.#finHanded = true;
    return buffer;
  }

  get received(): Offset {
    return this.#received;
  }
  get handed(): Offset {
    return this.#handed;
  }
  get consumed(): Offset {
    return this.#consumed;
  }
  get finOffset(): Offset | undefined {
    return this.#finOffset;
  }
  get finReceived(): boolean {
    return this.#finOffset !== undefined && this.#received > this.#finOffset;
  }
  get finHanded(): boolean {
    return this.#finHanded;
  }
  get releasedTo(): Offset {
    return this.#releasedTo;
  }
  /** Bytes held, staged ones included. Never above the window. */
  get heldBytes(): number {
    return Math.max(0, Math.min(this.#received, this.#finOffset ?? this.#received) - this.#handed);
  }
  /** Bytes that came and that the application has not taken out of its stream. */
  get unconsumedBytes(): number {
    return Math.max(0, Math.min(this.#received, this.#finOffset ?? this.#received) - this.#consumed);
  }
  /** Highest offset the peer may send, exclusive. */
  get credit(): Offset {
    return this.#granted;
  }
  get canRead(): boolean {
    if (this.#handed < Math.min(this.#received, this.#finOffset ?? this.#received))
      return this.#handed < this.#releasedTo;
    return this.finReceived && !this.#finHanded && (this.#finOffset as number) < this.#releasedTo;
  }

  /** A piece of DATA. Answers the part that is new (possibly empty). Throws when the peer exceeds its credit or its FIN. */
  accept(bytes: Uint8Array): Uint8Array {
    const duplicate = Math.min(this.#received - this.#position, bytes.byteLength);
    // The peer sends what came over an earlier carrier: it frees none of that before it hears so on this one.
    if (duplicate > 0) this.#announced = Math.min(this.#announced, this.#position);
    this.#position += bytes.byteLength;
    const fresh = duplicate === 0 ? bytes : bytes.subarray(duplicate);
    if (fresh.byteLength === 0) return fresh;
    if (this.#finOffset !== undefined)
      throw new ProtocolError(WireCode.Protocol, `DATA behind the FIN at offset ${this.#finOffset}`);
    if (this.#received + fresh.byteLength > this.#granted) {
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `DATA up to offset ${this.#received + fresh.byteLength}, above the credit of ${this.#granted}`,
      );
    }
    this.#received += fresh.byteLength;
    this.#hold(fresh);
    return fresh;
  }

  /** Else a peer could make us keep an object for each byte, or all that came beside it. */
  #hold(chunk: Uint8Array): void {
    const { byteLength } = chunk;
    const isBehind = this.#chunks.length - this.#head >= CHUNKS_AS_THEY_CAME;
    if (!isBehind || (byteLength >= MIN_CHUNK_BYTES && 2 * byteLength >= chunk.buffer.byteLength)) {
      this.#chunks.push(chunk);
      return;
    }
    const newest = this.#chunks.length - 1;
    const last = this.#chunks[newest] as Uint8Array;
    const gather = this.#gather;
    const goesOn =
      gather !== undefined &&
      last.buffer === gather.buffer &&
      last.byteOffset + last.byteLength === this.#gathered &&
      this.#gathered + byteLength <= gather.byteLength;
    if (goesOn) {
      gather.set(chunk, this.#gathered);
      this.#gathered += byteLength;
      this.#chunks[newest] = gather.subarray(last.byteOffset, this.#gathered);
      return;
    }
    this.#gather = new Uint8Array(Math.max(GATHER_BYTES, byteLength));
    this.#gather.set(chunk);
    this.#gathered = byteLength;
    this.#chunks.push(this.#gather.subarray(0, byteLength));
  }

  /** Answers true when the FIN is new. */
  acceptFin(offset: Offset): boolean {
    if (this.#finOffset !== undefined && offset !== this.#finOffset) {
      throw new ProtocolError(WireCode.Protocol, `FIN at offset ${offset}, after one at ${this.#finOffset}`);
    }
    if (offset !== this.#position)
      throw new ProtocolError(
        WireCode.Protocol,
        `FIN at offset ${offset}, but the stream stands at ${this.#position}`,
      );
    if (this.#finOffset === undefined && offset < this.#received)
      throw new ProtocolError(
        WireCode.Protocol,
        `FIN at offset ${offset}, of a stream that came up to ${this.#received}`,
      );
    this.#position += 1;
    if (this.finReceived) return false;
    this.#finOffset = offset;
    this.#received = offset + 1;
    return true;
  }

  /** The next bytes in order, `'end'` once after the FIN, or undefined. */
  read(): Uint8Array | 'end' | undefined {
    if (!this.canRead) return undefined;
    const chunk = this.#chunks[this.#head];
    if (!chunk) {
      this.#finHanded = true;
      return 'end';
    }
    const allowed = this.#releasedTo - this.#handed;
    if (chunk.byteLength > allowed) {
      this.#chunks[this.#head] = chunk.subarray(allowed);
      this.#handed += allowed;
      return chunk.subarray(0, allowed);
    }
    this.#head += 1;
    if (this.#head === this.#chunks.length) {
      // A list of one, as it is between small messages, keeps its memory for the next.
      if (this.#head === 1) this.#chunks.pop();
      else this.#chunks = listOfOne();
      this.#head = 0;
      this.#gather = undefined;
    } else if (this.#head > 64) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
    this.#handed += chunk.byteLength;
    return chunk;
  }

  /** Input that a hand-over brought along, which needs no credit. */
  preload(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#chunks.push(bytes);
    this.#received += bytes.byteLength;
    this.#position = this.#received;
    this.#granted = Math.max(this.#granted, this.#received);
  }

  /** The application took `count` more bytes: the peer may send as many more. */
  consume(count: number): void {
    this.#consumed += count;
    if (this.#consumed > this.#handed) throw new RangeError('more consumed than handed over');
    if (this.#consumed + this.#windowBytes > this.#granted)
      this.#granted = this.#consumed + this.#windowBytes;
  }

  /** Nobody reads any more: what could be read is dropped. What is staged stays so, until it is covered or void. */
  drop(): void {
    for (let chunk = this.read(); chunk !== undefined; chunk = this.read())
      if (chunk !== 'end') this.consume(chunk.byteLength);
  }

  /** Nobody will read any more: everything held is dropped, and what comes is taken and forgotten. */
  discard(): void {
    this.#releasedTo = Number.MAX_SAFE_INTEGER;
    this.drop();
    this.#granted = Math.max(this.#granted, this.#received + this.#windowBytes);
  }

  /** Commit mode: bytes below `offset` are covered and may be handed over. */
  release(offset: Offset): void {
    this.#releasedTo = offset;
  }

  /** Commit mode: staged bytes from `offset` on belong to an execution that did not survive. */
  truncate(offset: Offset): void {
    if (offset < this.#handed) throw new RangeError(`offset ${offset} was handed over already`);
    if (offset >= this.#received) return;
    let end = Math.min(this.#received, this.#finOffset ?? this.#received);
    if (this.#finOffset !== undefined && offset <= this.#finOffset) this.#finOffset = undefined;
    this.#received = offset;
    while (end > offset) {
      const last = this.#chunks[this.#chunks.length - 1] as Uint8Array;
      const cut = Math.min(last.byteLength, end - offset);
      if (cut === last.byteLength) this.#chunks.pop();
      else this.#chunks[this.#chunks.length - 1] = last.subarray(0, last.byteLength - cut);
      end -= cut;
    }
    if (this.#head >= this.#chunks.length) {
      this.#chunks = listOfOne();
      this.#head = 0;
    }
    this.#announced = Math.min(this.#announced, offset);
  }

  /** A new carrier: its first byte is at `offset`. Throws when that leaves a gap. */
  reposition(offset: Offset): void {
    if (offset > this.#received)
      throw new ProtocolError(
        WireCode.Protocol,
        `the peer starts at offset ${offset}, but only ${this.#received} were received`,
      );
    this.#position = offset;
    // What the last peer was told this one does not know.
    this.#announced = offset;
    this.#announcedCredit = 0;
  }

  /** True when an ACK must go now: enough bytes came, or the peer's credit has grown by a quarter of the window. */
  get ackDue(): boolean {
    const interval = Math.min(MAX_ACK_INTERVAL_BYTES, this.#windowBytes / 4);
    return (
      this.#received - this.#announced >= interval ||
      this.#granted - this.#announcedCredit >= this.#windowBytes / 4
    );
  }
  /** True when an ACK would say something new. */
  get ackPending(): boolean {
    return this.#received !== this.#announced || this.#granted !== this.#announcedCredit;
  }

  /** The state as an ACK carries it; from now on it counts as announced. */
  takeAck(): { received: Offset; credit: Offset } {
    this.#announced = this.#received;
    this.#announcedCredit = this.#granted;
    return { received: this.#received, credit: this.#granted };
  }
}
