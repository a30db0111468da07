/** A carrier that shares a connection with others (protocol.md §3.6): to what is above it, a pipe like any other. */
import { AsyncResource } from 'node:async_hooks';
import type { TLSSocket } from 'node:tls';
import type { Carrier, CarrierClosed, CarrierHandlers, KeepAlive } from './carrier.ts';
import { ENDED_HERE } from './carrier.ts';

/**
 * Bytes that a channel keeps while nobody reads it, at the most: the connection itself is always read, for the sake of the others, and who sends
 * more is cut off. What may follow OPEN unread is half of it. Memory cost: as much a channel.
 */
export const UNREAD_BYTES_MAX = 256 * 1024;

/** A channel in which so many bytes pass within `BULK_WINDOW_MS`, either way, is a bulk stream, in bytes. */
export const BULK_BYTES = 1024 * 1024;
/** In which `BULK_BYTES` are counted, in milliseconds. */
export const BULK_WINDOW_MS = 10_000;

const FLOODED: CarrierClosed = {
  code: 'ERR_GODWIT_LIMIT_EXCEEDED',
  message: `more than ${UNREAD_BYTES_MAX} bytes on a channel that is not read`,
  reset: false,
};

/** Nobody need be told that it is over. */
const CONTEXT_OPTIONS = { requireManualDestroy: true };

/** What a channel needs of the connection it shares. */
export interface ChannelHost {
  /** That connection. */
  readonly carrier: Carrier;
  /** What is being read is valid no longer than the call. */
  readonly isLending: boolean;
  /** Changes whenever nothing waits to be sent any more. */
  readonly drains: number;
  /** False: wait for `Channel.drained`. */
  send(channel: Channel, parts: readonly Uint8Array[]): boolean;
  close(channel: Channel): void;
  /** The channel keeps the process alive, or does so no longer. */
  countReference(by: 1 | -1): void;
}

export class Channel implements Carrier {
  readonly id: number;
  readonly #host: ChannelHost;
  /** Of whoever dialled, in which its handlers are called, as those of node's sockets are; undefined where somebody else did. */
  readonly #context: AsyncResource | undefined;
  #handlers: CarrierHandlers | undefined;
  /** Why it is over, once that is known: the first cause counts. */
  #closed: CarrierClosed | undefined;
  #isReported = false;
  #isPaused = false;
  #isReferenced = true;
  /** Came before anybody read, or while it is paused. */
  #unread: Uint8Array[] | undefined;
  #unreadBytes = 0;
  /** The peer's end, where it came while some of that was unread. */
  #endBehindUnread: CarrierClosed | undefined;
  #bytesQueued = 0;
  /** `drains` of the host when the first of them was written. */
  #queuedIn = 0;
  /** Of `setBusyPoll`. */
  busyPollMs = 0;
  /** It waits for `drained`. */
  awaitsDrain = false;
  /** What was written while the connection took no more, which leaves in this channel's turn; undefined when nothing was. */
  pending: Uint8Array[] | undefined;
  /** It ends when that has left, or by then at the latest. */
  endTimer: NodeJS.Timeout | undefined;
  /** Bytes that have passed in the window, and until when that is. */
  #passedBytes = 0;
  #windowEndsAt = 0;
  /** What else is known of it, to who accepted it. */
  guest: object | undefined;
  halfOpenFrom: string | undefined;

  constructor(id: number, host: ChannelHost, isOurs: boolean) {
    this.id = id;
    this.#host = host;
    this.#context = isOurs ? new AsyncResource('GODWITCHANNEL', CONTEXT_OPTIONS) : undefined;
  }

  get localAddress(): string | undefined {
    return this.#host.carrier.localAddress;
  }
  get localPort(): number | undefined {
    return this.#host.carrier.localPort;
  }
  get remoteAddress(): string | undefined {
    return this.#host.carrier.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.#host.carrier.remotePort;
  }
  get remoteFamily(): string | undefined {
    return this.#host.carrier.remoteFamily;
  }
  get exporter(): Uint8Array | undefined {
    return this.#host.carrier.exporter;
  }
  get tls(): TLSSocket | undefined {
    return this.#host.carrier.tls;
  }
  get lendsChunks(): boolean {
    return this.#host.isLending;
  }
  /** Its own, of what the connection has not passed on: nothing of what the others wrote. */
  get bytesQueued(): number {
    if (this.pending !== undefined) return this.pending.reduce((sum, part) => sum + part.byteLength, 0);
    return this.#queuedIn === this.#host.drains ? this.#bytesQueued : 0;
  }
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  start(handlers: CarrierHandlers): void {
    this.#handlers = handlers;
    if (this.#closed !== undefined) this.#reportSoon();
    else if (this.#unread !== undefined) queueMicrotask(() => this.#readOn());
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#closed !== undefined) return true;
    let bytes = 0;
    for (const part of parts) bytes += part.byteLength;
    if (bytes === 0) return true;
    if (this.#queuedIn !== this.#host.drains) {
      this.#queuedIn = this.#host.drains;
      this.#bytesQueued = 0;
    }
    this.#bytesQueued += bytes;
    return this.#host.send(this, parts);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#unread !== undefined) queueMicrotask(() => this.#readOn());
  }

  end(): void {
    this.#finish(ENDED_HERE);
  }
  destroy(): void {
    this.#finish(ENDED_HERE);
  }
  reset(): void {
    this.#finish(ENDED_HERE);
  }

  ref(): void {
    if (this.#isReferenced || this.#closed !== undefined) return;
    this.#isReferenced = true;
    this.#host.countReference(1);
  }
  unref(): void {
    if (!this.#isReferenced || this.#closed !== undefined) return;
    this.#isReferenced = false;
    this.#host.countReference(-1);
  }

  setNoDelay(_noDelay: boolean): void {
    // What is sent in one turn of the event loop leaves together, whoever sent it; nothing waits any longer.
  }
  setKeepAlive(keepAlive: KeepAlive): void {
    // One of several wants it: that is enough. None may turn it off for the others.
    if (keepAlive.enable) this.#host.carrier.setKeepAlive(keepAlive);
  }
  setBusyPoll(busyPollMs: number): void {
    this.busyPollMs = busyPollMs;
  }
  /** Of all that share the connection. */
  get typeOfService(): number {
    return this.#host.carrier.typeOfService;
  }
  set typeOfService(typeOfService: number) {
    this.#host.carrier.typeOfService = typeOfService;
  }

  /** So many bytes pass, either way. Answers whether it is a bulk stream. */
  isBulkWith(bytes: number): boolean {
    const now = performance.now();
    if (now >= this.#windowEndsAt) {
      this.#windowEndsAt = now + BULK_WINDOW_MS;
      this.#passedBytes = 0;
    }
    this.#passedBytes += bytes;
    return this.#passedBytes >= BULK_BYTES;
  }

  // --- The trunk's calls ------------------------------------------------------------------------------------------

  /** Bytes that came. */
  take(piece: Uint8Array): void {
    if (this.#closed !== undefined) return;
    if (this.#handlers === undefined || this.#isPaused || this.#unread !== undefined) this.#keep(piece);
    else this.#call(giveData, this.#handlers, piece);
  }

  /** This side gives it up: the handler hears why. */
  giveUp(closed: CarrierClosed): void {
    this.#finish(closed);
  }

  drained(): void {
    if (this.#closed === undefined && this.#handlers !== undefined)
      this.#call(giveDrain, this.#handlers, undefined);
  }

  /** The peer is done with it, or the connection is gone. */
  lost(closed: CarrierClosed): void {
    if (this.#closed !== undefined) return;
    // What came before the end is read before it.
    if (this.#unread !== undefined) {
      this.#endBehindUnread ??= closed;
      return;
    }
    this.#over(closed);
    this.#reportSoon();
  }

  // --- Within -----------------------------------------------------------------------------------------------------

  #call<A>(
    give: (handlers: CarrierHandlers, argument: A) => void,
    handlers: CarrierHandlers,
    argument: A,
  ): void {
    if (this.#context === undefined) give(handlers, argument);
    else this.#context.runInAsyncScope(give, undefined, handlers, argument);
  }

  #keep(piece: Uint8Array): void {
    this.#unreadBytes += piece.byteLength;
    if (this.#unreadBytes > UNREAD_BYTES_MAX) {
      this.#finish(FLOODED);
      return;
    }
    (this.#unread ??= []).push(new Uint8Array(piece));
  }

  /** One piece at a time: a handler may pause, close, or throw. */
  #readOn(): void {
    if (this.#unread === undefined || this.#isPaused || this.#handlers === undefined) return;
    const piece = this.#unread.shift();
    if (this.#unread.length > 0) queueMicrotask(() => this.#readOn());
    else {
      this.#unread = undefined;
      if (this.#endBehindUnread !== undefined) queueMicrotask(() => this.#endUnread());
    }
    if (piece === undefined) return;
    this.#unreadBytes -= piece.byteLength;
    this.#call(giveData, this.#handlers, piece);
  }

  #endUnread(): void {
    if (this.#endBehindUnread !== undefined) this.lost(this.#endBehindUnread);
  }

  /** This side is done with it. */
  #finish(closed: CarrierClosed): void {
    if (this.#closed !== undefined) return;
    this.#over(closed);
    this.#host.close(this);
    this.#reportSoon();
  }

  #over(closed: CarrierClosed): void {
    this.#closed = closed;
    this.#unread = undefined;
    if (this.#isReferenced) this.#host.countReference(-1);
  }

  #reportSoon(): void {
    process.nextTick(report, this);
  }

  /** @internal */
  report(): void {
    if (this.#isReported || this.#handlers === undefined || this.#closed === undefined) return;
    this.#isReported = true;
    this.#call(giveClose, this.#handlers, this.#closed);
  }
}

function report(channel: Channel): void {
  channel.report();
}

function giveData(handlers: CarrierHandlers, piece: Uint8Array): void {
  handlers.onData(piece);
}

function giveDrain(handlers: CarrierHandlers): void {
  handlers.onDrain();
}

function giveClose(handlers: CarrierHandlers, closed: CarrierClosed): void {
  handlers.onClose(closed);
}
