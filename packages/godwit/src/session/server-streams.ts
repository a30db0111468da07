/**
 * Both streams of a session at a server: the output tail, the input with its log, and the check of re-created output
 * (protocol.md §6, §7.4).
 */
import { Delivery, ProtocolError, WireCode, type Offset } from '../wire/index.ts';
import type { Crc32 } from './digest-window.ts';
import type { ServerLimits } from './limits.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { SendBuffer } from './send-buffer.ts';
import { SlabQueue } from './slab-queue.ts';

/** A restart point as the application made it. Offsets count a consumed or written FIN. */
export interface SnapshotPoint {
  readonly epoch: number;
  readonly k: number;
  readonly input: Offset;
  readonly output: Offset;
  readonly inputFinished: boolean;
  readonly outputFinished: boolean;
  readonly state: Uint8Array;
  /** Schema version of the state; that of the application that made it, which may be another server's. */
  readonly schema: number;
}

/** What a restored session begins with. */
export interface RestoredStreams {
  readonly point: SnapshotPoint;
  /** Output the client has (it re-appears while the application re-executes, and is checked and dropped up to here). */
  readonly clientReceived: Offset;
  readonly digestFrom: Offset;
  readonly digest: number;
  readonly credit: Offset;
  /** Input from `point.input` on that the origin handed over. */
  readonly log: Uint8Array;
  readonly logEndsWithFin: boolean;
  /** Output in [tailFrom, point.output) that the origin handed over; empty where the client has all of it. */
  readonly tail: Uint8Array;
  readonly tailFrom: Offset | undefined;
  /** Re-execution is compared with the digest; a frozen origin's needs no check. */
  readonly check: boolean;
}

interface Regeneration {
  readonly until: Offset;
  readonly digestFrom: Offset;
  readonly digest: number | undefined;
  crc: number;
}

export class ServerStreams {
  readonly send: SendBuffer;
  readonly receive: ReceiveBuffer;
  readonly #log: SlabQueue;
  readonly #logLimitBytes: number;
  readonly #crc32: Crc32;
  #produced: Offset;
  #finished: boolean;
  #regeneration: Regeneration | undefined;

  private constructor(options: {
    limits: ServerLimits;
    crc32: Crc32;
    receive: ReceiveBuffer;
    send: SendBuffer;
    logStart: Offset;
    produced: Offset;
    finished: boolean;
  }) {
    this.#crc32 = options.crc32;
    this.#logLimitBytes = options.limits.inputLogBytes;
    this.receive = options.receive;
    this.send = options.send;
    this.#log = new SlabQueue(options.logStart);
    this.#produced = options.produced;
    this.#finished = options.finished;
  }

  static fresh(limits: ServerLimits, crc32: Crc32): ServerStreams {
    return new ServerStreams({
      limits,
      crc32,
      receive: new ReceiveBuffer(0, limits.receiveWindowBytes),
      send: new SendBuffer(0),
      logStart: 0,
      produced: 0,
      finished: false,
    });
  }

  static restored(
    limits: ServerLimits,
    crc32: Crc32,
    delivery: Delivery,
    restored: RestoredStreams,
  ): ServerStreams {
    const { point } = restored;
    const produced = point.output - (point.outputFinished ? 1 : 0);
    const named =
      delivery === Delivery.Commit
        ? Math.min(restored.clientReceived, point.output)
        : restored.clientReceived;
    // While it waited, the client went on acknowledging what it got from the origin, which freed that much.
    const start = Math.max(named, restored.tailFrom ?? 0);
    const receive = point.inputFinished
      ? ReceiveBuffer.finished(point.input, limits.receiveWindowBytes)
      : new ReceiveBuffer(point.input, limits.receiveWindowBytes);
    const held = Math.min(start, produced);
    const send = new SendBuffer(Math.max(held, restored.tailFrom ?? held));
    const streams = new ServerStreams({
      limits,
      crc32,
      receive,
      send,
      logStart: point.input,
      produced,
      finished: point.outputFinished,
    });
    if (restored.tail.byteLength > 0) send.append(restored.tail);
    if (point.outputFinished) send.finish();
    if (start > produced && !point.outputFinished) {
      streams.#regeneration = {
        until: start,
        digestFrom: restored.digestFrom,
        digest: restored.check && restored.digestFrom >= produced ? restored.digest : undefined,
        crc: 0,
      };
      send.restart(start);
    }
    if (restored.log.byteLength > 0) {
      streams.#logInput(restored.log);
      receive.preload(restored.log);
    }
    if (restored.logEndsWithFin) receive.acceptFin(receive.received);
    send.rewind(Math.min(start, send.next), restored.credit);
    return streams;
  }

  /** Output bytes the application produced, re-created ones included; the FIN is not counted. */
  get produced(): Offset {
    return this.#produced;
  }
  /** `produced`, plus one for the FIN. */
  get outputNext(): Offset {
    return this.#produced + (this.#finished ? 1 : 0);
  }
  get finished(): boolean {
    return this.#finished;
  }
  /** Input that the application has not consumed, the input log, and the output tail. */
  get heldBytes(): number {
    return this.receive.unconsumedBytes + this.#log.length + this.send.retainedBytes;
  }
  /** The application is still re-creating output that the client has. */
  get isRegenerating(): boolean {
    return this.#regeneration !== undefined;
  }

  /**
   * Takes output that the client has, if there is more of it to come behind these bytes: nothing follows from it yet. Answers
   * false, and takes nothing, where `write` must look at them.
   */
  recreate(bytes: Uint8Array): boolean {
    const regeneration = this.#regeneration;
    if (!regeneration || this.#produced + bytes.byteLength >= regeneration.until) return false;
    this.#recreated(regeneration, bytes, bytes.byteLength);
    return true;
  }

  /** Throws `ProtocolError` (Diverged) when re-created output differs from what the client has. */
  write(bytes: Uint8Array): void {
    const regeneration = this.#regeneration;
    if (!regeneration) {
      this.#produced += bytes.byteLength;
      this.send.append(bytes);
      return;
    }
    const known = Math.min(bytes.byteLength, regeneration.until - this.#produced);
    this.#recreated(regeneration, bytes, known);
    if (this.#produced < regeneration.until) return;
    if (regeneration.digest !== undefined && regeneration.crc !== regeneration.digest) {
      throw new ProtocolError(
        WireCode.Diverged,
        `re-execution up to output offset ${regeneration.until} differs from what the client received`,
      );
    }
    this.#regeneration = undefined;
    if (known < bytes.byteLength) {
      this.#produced += bytes.byteLength - known;
      this.send.append(bytes.subarray(known));
    }
  }

  /** The first `known` bytes are output that the client has. */
  #recreated(regeneration: Regeneration, bytes: Uint8Array, known: number): void {
    const skipped = Math.min(known, Math.max(0, regeneration.digestFrom - this.#produced));
    if (regeneration.digest !== undefined)
      regeneration.crc = this.#crc32(bytes.subarray(skipped, known), regeneration.crc);
    this.#produced += known;
  }

  /** Throws `ProtocolError` (Diverged) when the application ends short of what the client has. */
  finish(): void {
    if (this.#finished) return;
    const until = this.#regeneration?.until;
    if (until !== undefined && !(this.#regeneration && until === this.#produced + 1 && this.#finMatches())) {
      throw new ProtocolError(
        WireCode.Diverged,
        `re-execution ended at output offset ${this.#produced}, but the client received up to ${until}`,
      );
    }
    this.#finished = true;
    if (until !== undefined) {
      // The client has the FIN as well: the buffer stands right behind it.
      this.#regeneration = undefined;
      this.send.restart(this.#produced);
      this.send.finish();
      this.send.rewind(this.#produced + 1, this.send.credit);
      return;
    }
    this.send.finish();
  }

  #finMatches(): boolean {
    const regeneration = this.#regeneration as Regeneration;
    return regeneration.digest === undefined || regeneration.crc === regeneration.digest;
  }

  acceptData(bytes: Uint8Array): boolean {
    const fresh = this.receive.accept(bytes);
    if (fresh.byteLength === 0) return false;
    this.#logInput(fresh);
    return true;
  }

  /** Input the application has read stays here until a snapshot covers it, as long as there is room (protocol.md §6.3). */
  #logInput(bytes: Uint8Array): void {
    if (this.#log.length + bytes.byteLength > this.#logLimitBytes) {
      this.#log.reset(this.#log.end + bytes.byteLength);
      return;
    }
    this.#log.append(bytes);
  }

  trimLog(input: Offset): void {
    this.#log.trim(Math.min(input, this.#log.end));
  }

  /** The log from `input` on, or undefined when it does not reach back so far. */
  logFrom(input: Offset): Uint8Array[] | undefined {
    if (input < this.#log.start) return undefined;
    return this.#log.views(Math.min(input, this.#log.end), this.#log.end);
  }

  shrink(): void {
    this.send.shrink();
    this.#log.shrink();
  }
}
