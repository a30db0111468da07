/** The connection of a client that does not speak Godwit, as its socket uses it: bytes, and no session (protocol.md §3.5). */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { closedBy, type Carrier } from '../carriers/carrier.ts';
import { errorFromFailure } from '../errors.ts';
import type { Candidate, Failure } from '../session/client-events.ts';
import type { Occupant } from '../session/index.ts';
import type { MemoryHolder } from '../session/memory-account.ts';
import { CarrierSettings, type CarrierOptions } from '../socket/carrier-settings.ts';
import type { PortListener, SessionPort } from '../socket/port.ts';
import type { Progress } from './slow-peers.ts';

/** What a connection takes besides what waits in it, in bytes: as much as is counted for a session. */
const CONNECTION_BYTES = 8 * 1024;

/** A client that takes nothing of the last bytes of a destroyed socket for so long is cut off, in milliseconds. */
const LAST_BYTES_TIMEOUT_MS = 60_000;

const NOTHING = new Uint8Array(0);

const NOT_MIGRATORY: Failure = {
  code: 'ERR_GODWIT_NOT_MIGRATORY',
  message: 'its client does not speak Godwit',
};

export interface PlainPortOptions {
  /** Of which the stream was taken. */
  readonly carrier: Carrier;
  readonly stream: Duplex;
  /** What was read to tell that its client is none of ours: the application reads it first. */
  readonly unread: Uint8Array;
  readonly currentServer: Candidate;
  /** What waits in it may be more, or less. Told once until `isTouched` is taken back. */
  readonly onTouched: (port: PlainPort) => void;
  /** The socket is over; the client may not have its last bytes. */
  readonly onGone: (port: PlainPort) => void;
  /** The stream is closed: nothing is left of the connection. */
  readonly onClosed: (port: PlainPort) => void;
}

/** The socket of a connection, as far as it buffers. */
export interface PlainBuffers {
  readonly readableLength: number;
  readonly writableLength: number;
}

export class PlainPort implements SessionPort, MemoryHolder, Occupant {
  readonly sessionId = undefined;
  readonly epoch = 0;
  readonly isProtected = false;
  readonly isFrozen = false;
  readonly writeRoom = Number.MAX_SAFE_INTEGER;
  readonly currentServer: Candidate;
  readonly #carrier: Carrier;
  readonly #stream: Duplex;
  readonly #listener: PortListener;
  readonly #options: PlainPortOptions;
  readonly #settings = new CarrierSettings();
  #unread: Uint8Array;
  #end: 'ahead' | 'reached' | 'told';
  /** Of the application's side; undefined until there is one, and when it is gone. */
  buffers: PlainBuffers | undefined;
  accountedBytes: number | undefined;
  place: string | undefined;
  /** It stands among those whose memory is counted anew when somebody asks. */
  isTouched = false;
  #isGone = false;
  #writtenBytes = 0;

  constructor(options: PlainPortOptions, listener: PortListener) {
    const { carrier, stream, unread, currentServer } = options;
    this.#carrier = carrier;
    this.#listener = listener;
    this.#options = options;
    this.#unread = unread;
    this.currentServer = currentServer;
    this.#stream = stream;
    this.#end = stream.readableEnded ? 'reached' : 'ahead';
    stream.on('readable', this.#onReadable);
    stream.on('end', this.#onEnd);
    stream.on('drain', this.#onDrain);
    stream.on('error', this.#onError);
    stream.on('close', this.#onClose);
    stream.once('close', () => options.onClosed(this));
  }

  /** Memory it takes: what neither the application nor the operating system has taken, and itself. */
  get heldBytes(): number {
    const { readableLength = 0, writableLength = 0 } = this.buffers ?? {};
    const stream = this.#stream.readableLength + this.#stream.writableLength;
    return CONNECTION_BYTES + this.#unread.byteLength + stream + readableLength + writableLength;
  }
  /** It never moves. */
  readonly isLeaving = false;
  /** Nothing waits in it. */
  get isEmpty(): boolean {
    return this.heldBytes === CONNECTION_BYTES;
  }

  /** How far its output has come, while some of it waits for the client. */
  get output(): Progress | undefined {
    const waiting = this.#stream.writableLength;
    return waiting === 0 ? undefined : { what: 'plain', position: this.#writtenBytes - waiting };
  }

  get wantsWrite(): boolean {
    return !this.#stream.writableNeedDrain;
  }

  write(bytes: Uint8Array): void {
    this.#writtenBytes += bytes.byteLength;
    this.#stream.write(Buffer.from(bytes));
    this.touch();
  }

  end(): void {
    this.#stream.end();
  }

  read(): Uint8Array | 'end' | undefined {
    if (this.#unread.byteLength > 0) {
      const unread = this.#unread;
      this.#unread = NOTHING;
      return unread;
    }
    const chunk = this.#stream.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (this.#end !== 'reached') return undefined;
    this.#end = 'told';
    return 'end';
  }

  /** The stream knows by itself. */
  consumed(): void {
    // See above.
  }
  /** The client has nothing to learn of it. */
  finConsumed(): void {
    // See above.
  }

  destroy(): void {
    this.#leave();
    this.#gone();
    const stream = this.#stream;
    if (stream.destroyed) return;
    // Input that stays unread would make the kernel reset the connection, and so cut off what was written last.
    stream.resume();
    stream.end();
    if (stream.writableFinished) this.#carrier.end();
    else this.#awaitLastBytes();
  }

  reset(): void {
    this.#leave();
    this.#gone();
    this.#carrier.reset();
  }

  /** Gone without a word to anybody. */
  kill(): void {
    this.#leave();
    this.#gone();
    this.#carrier.destroy();
  }

  /** Ends it here: the application is told why, the client's connection is reset. */
  fail(failure: Failure): void {
    const wasGone = this.#isGone;
    this.reset();
    if (!wasGone) this.#listener.closed(errorFromFailure(failure));
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.buffers = undefined;
    this.touch();
    this.#options.onGone(this);
  }

  /** What it holds may have changed. */
  touch(): void {
    if (this.isTouched) return;
    this.isTouched = true;
    this.#options.onTouched(this);
  }

  isWanted(): boolean {
    return false;
  }
  migrate(): Failure {
    return NOT_MIGRATORY;
  }

  configure(options: CarrierOptions): void {
    this.#settings.change(options, [this.#carrier]);
  }
  get typeOfService(): number {
    return this.#carrier.typeOfService;
  }
  get tls(): TLSSocket | undefined {
    return this.#carrier.tls;
  }

  /** A client may be slow; one that has stopped taking anything keeps nothing alive. */
  #awaitLastBytes(): void {
    const stream = this.#stream;
    let left = stream.writableLength;
    const timer = setInterval(() => {
      if (stream.writableLength === left) this.#carrier.destroy();
      left = stream.writableLength;
    }, LAST_BYTES_TIMEOUT_MS).unref();
    stream.once('finish', () => this.#carrier.end());
    stream.once('close', () => clearInterval(timer));
  }

  /** From here on nobody hears of what becomes of it. */
  #leave(): void {
    const stream = this.#stream;
    stream.off('readable', this.#onReadable);
    stream.off('end', this.#onEnd);
    stream.off('drain', this.#onDrain);
    stream.off('error', this.#onError);
    stream.off('close', this.#onClose);
    stream.on('error', () => undefined);
  }

  readonly #onReadable = (): void => {
    this.touch();
    this.#listener.readable();
  };

  readonly #onEnd = (): void => {
    this.#end = 'reached';
    this.#listener.readable();
  };

  readonly #onDrain = (): void => this.#listener.drained();

  readonly #onError = (error: Error & { readonly syscall?: string }): void => {
    this.#leave();
    this.#listener.closed(errorFromFailure(closedBy(error), error.syscall));
  };

  readonly #onClose = (): void => {
    this.#leave();
    this.#listener.closed(undefined);
  };
}
