/** What a socket's writes wait in on their way into the session: batches of the Writable, fed in pieces. */
import type { SessionPort } from './port.ts';

/**
 * Most bytes given to the session at once, in bytes. The session copies what it takes, so this bounds what a single
 * huge write costs beyond itself.
 */
const PIECE_BYTES = 256 * 1024;

export type WriteCallback = (error?: Error | null) => void;

export class Outbound {
  #port: SessionPort | undefined;
  #batch: readonly Uint8Array[] = [];
  #batchAt = 0;
  #pieceAt = 0;
  #callback: WriteCallback | undefined;
  /** Bytes of the batch under way, for `completedBytes`. */
  #batchBytes = 0;
  #completedBytes = 0;
  #fedBytes = 0;
  #final: WriteCallback | undefined;
  #ended = false;
  #forced = false;
  /** While set, callbacks wait: net calls none before 'connect'. */
  #held = true;
  /** What writes get once the session is gone: made only when there is one, since an error costs more than a write. */
  #abandonedWith: (() => Error) | undefined;
  #stopAt: number | undefined;
  #onStop: (() => void) | undefined;

  /** Bytes of finished writes: with the Writable's `writableLength` these are all bytes ever accepted. */
  get completedBytes(): number {
    return this.#completedBytes;
  }

  /** Bytes the session has. */
  get fedBytes(): number {
    return this.#fedBytes;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** The session exists; it may take bytes before it is connected. */
  bind(port: SessionPort): void {
    this.#port = port;
    this.pump();
  }

  /** From now on writes complete. */
  release(): void {
    this.#held = false;
    this.pump();
  }

  /** The Writable's `_write`. What the session takes as it is goes there at once: most writes are small, and alone. */
  writeOne(chunk: Uint8Array, callback: WriteCallback): void {
    const port = this.#port;
    const bytes = chunk.byteLength;
    if (
      port === undefined ||
      this.#held ||
      this.#stopAt !== undefined ||
      bytes > PIECE_BYTES ||
      port.isFrozen ||
      !port.wantsWrite ||
      bytes > port.writeRoom
    ) {
      this.write([chunk], bytes, callback);
      return;
    }
    port.write(chunk);
    this.#fedBytes += bytes;
    this.#completedBytes += bytes;
    callback();
  }

  /** The Writable's `_writev`. */
  write(batch: readonly Uint8Array[], bytes: number, callback: WriteCallback): void {
    if (this.#abandonedWith !== undefined) {
      callback(this.#abandonedWith());
      return;
    }
    this.#batch = batch;
    this.#batchAt = 0;
    this.#pieceAt = 0;
    this.#batchBytes = bytes;
    this.#callback = callback;
    this.pump();
  }

  /** The Writable's `_final`: the FIN goes behind the last byte. */
  final(callback: WriteCallback): void {
    if (this.#abandonedWith !== undefined) {
      callback();
      return;
    }
    this.#final = callback;
    this.pump();
  }

  /** Feeds what the session wants, and completes writes. */
  pump(): void {
    const port = this.#port;
    if (port === undefined || (port.isFrozen && !this.#forced)) return;
    while (this.#batchAt < this.#batch.length) {
      if (!this.#forced && !port.wantsWrite) return;
      this.#feedPiece(port);
    }
    if (this.#held) return;
    this.#completeWrite();
    if (this.#callback === undefined) this.#completeFinal(port);
  }

  /**
   * Feeds everything whether the session wants it or not, before the last snapshot of a session that moves. `unblock`
   * makes the Writable pass on what is corked.
   */
  force(unblock: () => void): void {
    this.#forced = true;
    try {
      this.pump();
      unblock();
    } finally {
      this.#forced = false;
    }
  }

  /** The FIN, before the Writable comes round to it; its `_final` then only completes. */
  forceEnd(): void {
    if (this.#ended || this.#port === undefined) return;
    this.#ended = true;
    this.#port.end();
  }

  /** Calls back when exactly so many bytes have been fed, before any more are. Replaces an earlier request. */
  notifyAt(fedBytes: number, onStop: () => void): void {
    this.#stopAt = fedBytes;
    this.#onStop = onStop;
    this.#checkStop();
  }

  /** The session is gone: nothing more is fed. Writes get the error; an end has nothing left to do. */
  abandon(error: () => Error): void {
    if (this.#abandonedWith !== undefined) return;
    this.#abandonedWith = error;
    this.#port = undefined;
    this.#batch = [];
    const write = this.#callback;
    const final = this.#final;
    this.#callback = undefined;
    this.#final = undefined;
    write?.(error());
    final?.();
  }

  #feedPiece(port: SessionPort): void {
    const chunk = this.#batch[this.#batchAt] as Uint8Array;
    const room = this.#forced ? PIECE_BYTES : Math.min(PIECE_BYTES, port.writeRoom);
    let length = Math.min(chunk.byteLength - this.#pieceAt, room);
    if (this.#stopAt !== undefined) length = Math.min(length, this.#stopAt - this.#fedBytes);
    if (length > 0) port.write(chunk.subarray(this.#pieceAt, this.#pieceAt + length));
    this.#fedBytes += length;
    this.#pieceAt += length;
    if (this.#pieceAt === chunk.byteLength) {
      this.#batchAt += 1;
      this.#pieceAt = 0;
    }
    this.#checkStop();
  }

  #checkStop(): void {
    if (this.#stopAt === undefined || this.#fedBytes < this.#stopAt) return;
    const onStop = this.#onStop;
    this.#stopAt = undefined;
    this.#onStop = undefined;
    onStop?.();
  }

  #completeWrite(): void {
    const callback = this.#callback;
    if (callback === undefined) return;
    this.#callback = undefined;
    this.#batch = [];
    this.#batchAt = 0;
    this.#completedBytes += this.#batchBytes;
    // The Writable may come back with the next batch before this returns.
    callback();
  }

  #completeFinal(port: SessionPort): void {
    const final = this.#final;
    if (final === undefined) return;
    this.#final = undefined;
    if (!this.#ended) {
      this.#ended = true;
      port.end();
    }
    // As with net, whose shutdown takes a turn of the loop: 'finish' does not outrun what the application does on 'end'.
    setImmediate(final);
  }
}
