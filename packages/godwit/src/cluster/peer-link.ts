/** One link to a peer: a carrier under a secure channel, with its timers (protocol.md §9.1). */
import { FrameDecoder, ProtocolError, WireCode, concatBytes, errorCodeOf } from '../wire/index.ts';
import type { PeerFrame, ServerAddress } from '../wire/index.ts';
import type { Carrier, CarrierClosed } from '../carriers/carrier.ts';
import { joinSmall } from '../carriers/join-small.ts';
import { MAX_RECORD_PLAINTEXT_BYTES, type PeerChannel } from './peer-channel.ts';

/** Why a link is over. */
export interface PeerLinkClosed {
  readonly code: string;
  readonly message: string;
  /** Nothing that was sent can have been lost: both sides were idle, or it never was a link. */
  readonly isGraceful: boolean;
}

export interface PeerLinkEvents {
  /** The peer has proved the cluster's key. */
  onOpen(link: PeerLink, peer: ServerAddress): void;
  onFrame(link: PeerLink, frame: PeerFrame): void;
  onWritable(link: PeerLink): void;
  /** Called once. */
  onClosed(link: PeerLink, closed: PeerLinkClosed): void;
}

export interface PeerLinkTimers {
  /** When to give up on a handshake, in milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** When to close a link that carried nothing either way, in milliseconds. */
  readonly idleTimeoutMs: number;
}

/**
 * A peer that ends an idle link may not have seen what was sent within this time; whoever waits for an answer must
 * hear of it. In milliseconds.
 */
export const CROSSING_MS = 5_000;

export class PeerLink {
  readonly #carrier: Carrier;
  readonly #channel: PeerChannel;
  readonly #timers: PeerLinkTimers;
  readonly #events: PeerLinkEvents;
  readonly #decoder = FrameDecoder.forPeerLink();
  #timer: NodeJS.Timeout;
  #lastSentAt = -Infinity;
  /** What was read before this link was made, until it is taken. */
  #early: Uint8Array | undefined;
  #announced = false;
  #closed = false;

  /** `alreadyRead` is what whoever accepted the carrier has read of it. */
  constructor(
    carrier: Carrier,
    channel: PeerChannel,
    timers: PeerLinkTimers,
    events: PeerLinkEvents,
    alreadyRead?: Uint8Array,
  ) {
    this.#carrier = carrier;
    this.#channel = channel;
    this.#timers = timers;
    this.#events = events;
    this.#timer = setTimeout(() => {
      this.#fail(WireCode.Timeout, `no peer link within ${timers.handshakeTimeoutMs} ms`);
    }, timers.handshakeTimeoutMs);
    carrier.start({
      onData: (chunk) => {
        this.#takeEarly();
        // The channel keeps what is not a whole record yet.
        this.#receive(carrier.lendsChunks ? new Uint8Array(chunk) : chunk);
      },
      onDrain: () => {
        if (this.#announced && !this.#closed) events.onWritable(this);
      },
      onClose: (closed) => this.#onCarrierClosed(closed),
    });
    carrier.resume();
    this.#carrier.write(channel.takeOutput());
    // Not at once: nobody expects events of an object that is not yet made.
    this.#early = alreadyRead;
    if (alreadyRead !== undefined) queueMicrotask(() => this.#takeEarly());
  }

  get isOpen(): boolean {
    return this.#announced && !this.#closed && this.#channel.isOpen;
  }

  get remoteAddress(): string | undefined {
    return this.#carrier.remoteAddress;
  }

  /** Sends bytes of frames as records, in one write. False: wait for `onWritable`. Only when open. */
  send(parts: readonly Uint8Array[]): boolean {
    const sealed: Uint8Array[] = [];
    for (const record of recordsOf(parts)) sealed.push(...this.#channel.seal(record));
    this.#lastSentAt = performance.now();
    this.#timer.refresh();
    return this.#carrier.write(joinSmall(sealed));
  }

  /** Ends the link; what was sent still arrives. */
  end(code: string, message: string): void {
    if (this.#closed) return;
    this.#close({ code, message, isGraceful: false });
    this.#carrier.end();
  }

  /** Ends the link at once where the ring no longer has the key that it was made with. */
  endIfRevoked(): void {
    if (this.#channel.isRevoked) this.#fail(WireCode.UnknownKey, 'the key of this peer link was revoked');
  }

  #takeEarly(): void {
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#receive(early);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    try {
      const plaintexts = this.#channel.receive(chunk);
      const output = this.#channel.takeOutput();
      if (output.length > 0) this.#carrier.write(output);
      this.#announce();
      for (const plaintext of plaintexts) this.#takePlaintext(plaintext);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error.wireCode, error.message);
      return;
    }
    if (this.#channel.isEnded) this.#onEnded();
  }

  #takePlaintext(plaintext: Uint8Array): void {
    this.#decoder.push(plaintext);
    this.#timer.refresh();
    for (let frame = this.#next(); frame !== undefined; frame = this.#next())
      this.#events.onFrame(this, frame);
  }

  /** A handler may close the link between two frames. */
  #next(): PeerFrame | undefined {
    return this.#closed ? undefined : this.#decoder.next();
  }

  #announce(): void {
    const { peer } = this.#channel;
    if (this.#announced || peer === undefined) return;
    this.#announced = true;
    clearTimeout(this.#timer);
    // Idle links keep no process alive; neither does their timer.
    this.#timer = setTimeout(() => this.#onIdle(), this.#timers.idleTimeoutMs).unref();
    this.#carrier.unref();
    this.#events.onOpen(this, peer);
  }

  #onIdle(): void {
    if (this.#closed) return;
    this.#carrier.write(this.#channel.sealEnd());
    this.#close({ code: errorCodeOf(WireCode.None), message: 'the peer link was idle', isGraceful: true });
    this.#carrier.end();
  }

  #onEnded(): void {
    if (this.#closed) return;
    const isGraceful = performance.now() - this.#lastSentAt > CROSSING_MS;
    this.#close({ code: 'ECONNRESET', message: 'the peer ended the idle link', isGraceful });
    this.#carrier.end();
  }

  #onCarrierClosed({ code, message }: CarrierClosed): void {
    this.#close({ code, message, isGraceful: false });
  }

  #fail(code: WireCode, message: string): void {
    if (this.#closed) return;
    this.#close({ code: errorCodeOf(code), message, isGraceful: false });
    this.#carrier.destroy();
  }

  #close(closed: PeerLinkClosed): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#events.onClosed(this, closed);
  }
}

/** Groups parts into records, cutting a part where a record is full. */
function recordsOf(parts: readonly Uint8Array[]): Uint8Array[][] {
  const records: Uint8Array[][] = [];
  let record: Uint8Array[] = [];
  let room = MAX_RECORD_PLAINTEXT_BYTES;
  for (const part of parts) {
    for (let rest = part; rest.byteLength > 0;) {
      const piece = rest.subarray(0, room);
      record.push(piece);
      room -= piece.byteLength;
      rest = rest.subarray(piece.byteLength);
      if (room > 0) continue;
      records.push(record);
      record = [];
      room = MAX_RECORD_PLAINTEXT_BYTES;
    }
  }
  if (record.length > 0) records.push(record);
  // Small frames share one buffer: a cipher call costs more than a copy.
  return records.map((pieces) => (pieces.length > 4 ? [concatBytes(pieces)] : pieces));
}
