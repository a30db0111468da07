/** What a socket has read from its session, and how much of it the application has taken. */
import type { Readable } from 'node:stream';
import type { SessionPort } from './port.ts';

/** What `Inbound` needs of the stream it feeds. */
export interface InboundStream extends Pick<Readable, 'push' | 'read' | 'readableLength'> {
  readonly destroyed: boolean;
}

export class Inbound {
  readonly #stream: InboundStream;
  #port: SessionPort | undefined;
  #wanted = false;
  #pumping = false;
  #handedOutBytes = 0;
  #consumedBytes = 0;

  constructor(stream: InboundStream) {
    this.#stream = stream;
  }

  /** Bytes given to the stream: an upper bound of what the application has consumed. */
  get handedOutBytes(): number {
    return this.#handedOutBytes;
  }

  bind(port: SessionPort): void {
    this.#port = port;
  }

  unbind(): void {
    this.#port = undefined;
  }

  /** The Readable's `_read`. */
  want(): void {
    this.#wanted = true;
    this.pump();
  }

  /** Feeds the stream as long as it wants more. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#feedPiece());
    } finally {
      this.#pumping = false;
    }
    this.account();
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
    if (!this.#wanted || port === undefined || port.isFrozen || stream.destroyed) return false;
    const piece = port.read();
    if (piece === undefined) return false;
    if (piece === 'end') {
      this.#wanted = false;
      stream.push(null);
      // Lets 'end' be emitted though nobody reads, as net does: there is nothing left to read.
      stream.read(0);
      return false;
    }
    // Before the push: it may run the application's consumer, which may export a snapshot.
    this.#handedOutBytes += piece.byteLength;
    // And `_read` may be called from within the push, which must not be forgotten.
    this.#wanted = false;
    if (stream.push(asBuffer(piece))) this.#wanted = true;
    return true;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
