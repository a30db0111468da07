/** One MIGRATE on its way to an ACCEPT, as the destination keeps it (protocol.md §10.5). */
import {
  ProtocolError,
  WireCode,
  concatBytes,
  toHex,
  type Frame,
  type FrameValue,
  type ServerAddress,
} from '../wire/index.ts';
import type { DeadlineOwner } from './deadline-heap.ts';
import type { Farewell } from './farewells.ts';
import type { ServerSession } from './server-session.ts';
import type { TransferReceiver } from './session-transfer.ts';
import { claimedSessionId, type TicketHead } from './ticket.ts';
import { NO_HANDLE } from './time-heap.ts';

/** A PULL that waits for STATE. */
export interface Pull {
  readonly requestId: number;
  readonly peer: ServerAddress;
  readonly deadline: number;
  transfer: TransferReceiver | undefined;
}

/** One MIGRATE on its way to an ACCEPT. */
export class PendingAttach implements DeadlineOwner {
  readonly carrierId: number;
  readonly nonce: Uint8Array;
  readonly migrate: Frame<'migrate'>;
  readonly id: string;
  readonly sessionId: Uint8Array;
  readonly #expired: (attach: PendingAttach) => void;
  head: TicketHead | undefined;
  pull: Pull | undefined;
  /** The session for which an ACCEPT is being made that says where its output goes on. */
  resumes: ServerSession | undefined;
  /** What its origin will be told when the client confirms; set when it handed the session over. */
  farewell: Farewell | undefined;
  readonly #bodyParts: Uint8Array[] = [];
  #bodyBytes = 0;
  nextTimeout: number | undefined;
  deadlineHandle = NO_HANDLE;

  constructor(
    carrierId: number,
    nonce: Uint8Array,
    migrate: Frame<'migrate'>,
    expired: (attach: PendingAttach) => void,
  ) {
    this.carrierId = carrierId;
    this.nonce = nonce;
    this.migrate = migrate;
    this.sessionId = claimedSessionId(migrate.head);
    this.id = toHex(this.sessionId);
    this.#expired = expired;
  }

  /** Takes the next piece of a body of so many bytes, and answers the body once it is whole. Throws `ProtocolError`. */
  takeBody({ offset, bytes }: FrameValue<'body'>, totalBytes: number): Uint8Array | undefined {
    const { byteLength } = bytes;
    // Pieces are kept until the last one, so each must bring it nearer.
    if (byteLength === 0 || offset !== this.#bodyBytes || offset + byteLength > totalBytes)
      throw new ProtocolError(WireCode.Protocol, 'BODY out of order, empty or too long');
    this.#bodyParts.push(bytes);
    this.#bodyBytes += byteLength;
    return this.#bodyBytes === totalBytes ? concatBytes(this.#bodyParts) : undefined;
  }

  handleTimeout(): void {
    this.nextTimeout = undefined;
    this.#expired(this);
  }
}
