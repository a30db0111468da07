/** What a socket has read from its session, and how much of it the application has taken. */
import type { Readable } from 'node:stream';
import { GodwitError } from '../errors.ts';
import type { SessionPort } from './port.ts';
import type { UserBuffer } from './user-buffer.ts';

/** What `Inbound` needs of the stream it feeds. */
export interface InboundStream extends Pick<Readable, 'push' | 'read' | 'readableLength' | 'destroy'> {
  readonly destroyed: boolean;
}

export class Inbound {
  readonly #stream: InboundStream;
  /** Set: bytes go there and not into the stream. */
  readonly #userBuffer: UserBuffer | undefined;
  /** What was read from the session and could not be handed out at once. */
  #rest: Uint8Array | 'end' | undefined;
  /** Bytes were handed out in this turn. */
  #hasHandedOut = false;
  /** The end comes in the turn after the last bytes, whoever asks for it in this one. */
  #endWaits = false;
  #port: SessionPort | undefined;
  #wanted = false;
  #pumping = false;
  #handedOutBytes = 0;
  #consumedBytes = 0;

  constructor(stream: InboundStream, userBuffer?: UserBuffer) {
    this.#stream = stream;
    this.#userBuffer = userBuffer;
  }

  /** Bytes given to the stream: an upper bound of what the application has consumed. */
  get handedOutBytes(): number {
    return this.#handedOutBytes;
  }

  bind(port: SessionPort): void {
    this.#port = port;
    this.#userBuffer?.renew();
  }

  unbind(): void {
    this.#port = undefined;
  }

  /** The Readable's `_read`. */
  want(): void {
    this.#wanted = true;
    this.pump();
  }

  /** Starts or stops the flow into the application's buffer, of which the stream knows nothing. */
  setFlowing(flowing: boolean): void {
    if (this.#userBuffer === undefined || this.#port === undefined) return;
    // Later than the stream's own resuming, which reads too and must not undo what the callback then answers.
    if (flowing && !this.#wanted) setImmediate(() => this.pump());
    this.#wanted = flowing;
  }

  /** Feeds the stream as long as it wants more. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    let isDone = false;
    this.#hasHandedOut = false;
    try {
      while (this.#feedPiece());
      isDone = true;
    } finally {
      this.#pumping = false;
      this.account();
      // A listener threw. Should the process survive that, what is here already must not wait for more to come.
      if (!isDone) setImmediate(() => this.#pumpAgain());
    }
  }

  #pumpAgain(): void {
    this.#wanted = true;
    this.pump();
  }

  /**
   * Extends the peer's credit by what has left the stream's buffer. The maximum, since `unshift` and a decoder make
   * the buffer longer again.
   */
  account(): void {
    const consumed = this.#handedOutBytes - this.#stream.readableLength;
    const newly = consumed - this.#consumedBytes;
    if (newly <= 0) return;
    this.#consumedBytes = consumed;
    this.#port?.consumed(newly);
  }

  #feedPiece(): boolean {
    const port = this.#port;
    const stream = this.#stream;
    if (this.#endWaits || !this.#wanted || port === undefined || port.isFrozen || stream.destroyed)
      return false;
    const piece = this.#rest ?? port.read();
    if (piece === undefined) return false;
    if (piece === 'end') {
      if (this.#hasHandedOut) {
        // As with net, whoever awaits the last 'data' has time to await 'end' behind it.
        this.#rest = 'end';
        this.#endWaits = true;
        setImmediate(() => {
          this.#endWaits = false;
          this.pump();
        });
        return false;
      }
      this.#rest = undefined;
      this.#wanted = false;
      stream.push(null);
      // Lets 'end' be emitted though nobody reads, as net does: there is nothing left to read.
      stream.read(0);
      return false;
    }
    if (this.#userBuffer !== undefined) return this.#fill(this.#userBuffer, piece);
    // Before the push: it may run the application's consumer, which may export a snapshot.
    this.#hasHandedOut = true;
    this.#handedOutBytes += piece.byteLength;
    // And `_read` may be called from within the push, which must not be forgotten.
    this.#wanted = false;
    if (stream.push(asBuffer(piece))) this.#wanted = true;
    return true;
  }

  #fill(userBuffer: UserBuffer, piece: Uint8Array): boolean {
    const length = userBuffer.fill(piece);
    if (length === 0 && piece.byteLength > 0) {
      this.#stream.destroy(new GodwitError('ENOBUFS', 'read ENOBUFS', { syscall: 'read' }));
      return false;
    }
    this.#rest = length < piece.byteLength ? piece.subarray(length) : undefined;
    this.#hasHandedOut = true;
    this.#handedOutBytes += length;
    if (!userBuffer.tell(length)) this.#wanted = false;
    return true;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
