/** The client's side of snapshots (protocol.md §7.3): the newest whole ticket, and the one that is coming in. */
import {
  ProtocolError,
  WireCode,
  comparePoints,
  concatBytes,
  type Frame,
  type FrameValue,
  type Point,
} from '../wire/index.ts';

/** A ticket the client holds whole. Head and body are sealed: it can't read them, only present them. */
export interface HeldTicket extends Point {
  readonly input: number;
  readonly output: number;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

const NO_BODY = new Uint8Array(0);

interface Incoming extends Point {
  readonly total: number;
  readonly headBytes: number;
  readonly parts: Uint8Array[];
  bytes: number;
}

export class TicketHolder {
  readonly #maxHeadBytes: number;
  readonly #maxBytes: number;
  #held: HeldTicket | undefined;
  #incoming: Incoming | undefined;

  constructor(maxHeadBytes: number, maxBodyBytes: number) {
    this.#maxHeadBytes = maxHeadBytes;
    this.#maxBytes = maxHeadBytes + maxBodyBytes;
  }

  get held(): HeldTicket | undefined {
    return this.#held;
  }

  /** Bytes of both tickets; bounded by twice the limits. */
  get heldBytes(): number {
    return (
      (this.#held ? this.#held.head.byteLength + this.#held.body.byteLength : 0) +
      (this.#incoming?.bytes ?? 0)
    );
  }

  /** The server that sent them did not prove itself. */
  clear(): void {
    this.#held = undefined;
    this.#incoming = undefined;
  }

  /** A half-received ticket dies with the carrier it came on. */
  abandonIncoming(): void {
    this.#incoming = undefined;
  }

  /**
   * Takes one piece. Answers the ticket when it is whole and newer than the one held.
   * Throws `ProtocolError` when the piece does not follow the last or is empty, or head or whole would be over the limit.
   */
  accept(piece: Frame<'snapshot'>): HeldTicket | undefined {
    if (piece.totalBytes > this.#maxBytes || piece.headBytes > piece.totalBytes) {
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `a ticket of ${piece.totalBytes} bytes is over the limit of ${this.#maxBytes}`,
      );
    }
    // MIGRATE and STANDBY have no room for a larger one.
    if (piece.headBytes > this.#maxHeadBytes) {
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `the head of a ticket, of ${piece.headBytes} bytes, is over the limit of ${this.#maxHeadBytes}`,
      );
    }
    // Pieces are kept until the last one, so each must bring it nearer.
    if (piece.bytes.byteLength === 0)
      throw new ProtocolError(WireCode.Protocol, 'an empty piece of a ticket');
    if (this.#held && comparePoints(piece, this.#held) < 0) return undefined;
    const incoming = this.#follow(piece);
    incoming.parts.push(piece.bytes);
    incoming.bytes += piece.bytes.byteLength;
    if (incoming.bytes > incoming.total)
      throw new ProtocolError(WireCode.Protocol, 'a ticket is longer than it said');
    if (incoming.bytes < incoming.total) return undefined;
    this.#incoming = undefined;
    // Of one piece, as most are: what came is kept, and nothing copied.
    const whole = incoming.parts.length === 1 ? piece.bytes : concatBytes(incoming.parts);
    this.#held = {
      epoch: piece.epoch,
      k: piece.k,
      input: piece.input,
      output: piece.output,
      ...splitTicket(whole, incoming.headBytes),
    };
    return this.#held;
  }

  #follow(piece: FrameValue<'snapshot'>): Incoming {
    const current = this.#incoming;
    if (current && comparePoints(current, piece) === 0 && piece.offset !== 0) {
      if (
        piece.offset !== current.bytes ||
        piece.totalBytes !== current.total ||
        piece.headBytes !== current.headBytes
      ) {
        throw new ProtocolError(WireCode.Protocol, 'a piece of a ticket does not follow the last');
      }
      return current;
    }
    if (piece.offset !== 0) throw new ProtocolError(WireCode.Protocol, 'a ticket begins in its middle');
    this.#incoming = {
      epoch: piece.epoch,
      k: piece.k,
      total: piece.totalBytes,
      headBytes: piece.headBytes,
      parts: [],
      bytes: 0,
    };
    return this.#incoming;
  }
}

/** Views cost more than most heads have bytes, and most tickets are a head alone. */
function splitTicket(whole: Uint8Array, headBytes: number): Pick<HeldTicket, 'head' | 'body'> {
  if (whole.byteLength === headBytes) return { head: whole, body: NO_BODY };
  return { head: whole.subarray(0, headBytes), body: whole.subarray(headBytes) };
}
