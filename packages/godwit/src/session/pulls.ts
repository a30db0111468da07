/** The destination's PULLs: a session is asked for at its origin, and what comes back is gathered (protocol.md §9.3). */
import {
  ProtocolError,
  WireCode,
  comparePoints,
  encodeFrame,
  encodePeerFrame,
  equalBytes,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import type { DestinationHost } from './destination.ts';
import type { PendingAttach, Pull } from './pending-attach.ts';
import { canRestore } from './restore-rules.ts';
import { TransferReceiver, type TransferredState } from './session-transfer.ts';
import type { TicketHead } from './ticket.ts';
import { Roster } from './roster.ts';

/** What becomes of an attach whose PULL is over. */
export interface PullOwner {
  isCurrent(attach: PendingAttach): boolean;
  /** The origin froze the session for us; `state` is undefined when the client's ticket is newer than what it gave. */
  pulled(attach: PendingAttach, origin: ServerAddress, state: TransferredState | undefined): void;
  restoreFromTicket(attach: PendingAttach): void;
  refuse(attach: PendingAttach, error: ProtocolError): void;
  guarded(attach: PendingAttach, action: () => void): void;
}

export class Pulls {
  readonly #host: DestinationHost;
  readonly #owner: PullOwner;
  readonly #byRequest = new Roster<number, PendingAttach>();
  #begun = 0;

  constructor(host: DestinationHost, owner: PullOwner) {
    this.#host = host;
    this.#owner = owner;
  }

  /** PULLs that wait for an answer. */
  get size(): number {
    return this.#byRequest.size;
  }

  /** Asks `peer` for the session; one that is unknown, or this server itself, is no origin to ask. */
  begin(attach: PendingAttach, peer: ServerAddress | undefined): void {
    const { config, now } = this.#host;
    if (!peer || peer.name === config.name) {
      this.#originUnreachable(attach);
      return;
    }
    const budget = Math.min(config.timers.pullTimeoutMs, attach.migrate.budgetMs / 3);
    const requestId = this.#newRequestId(attach.nonce);
    attach.pull = { requestId, peer, deadline: now + budget, transfer: undefined };
    this.#byRequest.set(requestId, attach);
    this.#host.sendPeer(
      peer,
      encodePeerFrame('pull', {
        requestId,
        sessionId: attach.sessionId,
        nonce: attach.nonce,
        deadlineMs: Math.floor(budget),
        migrate: attach.migrate.payload,
      }),
    );
    attach.nextTimeout = Math.min(attach.pull.deadline, now + config.timers.progressIntervalMs);
    this.#host.arm(attach);
  }

  /**
   * From the random nonce, since what was meant for a process that had this server's name before must answer no PULL of
   * ours; and counted, since a nonce belongs to a carrier, and not to one PULL.
   */
  #newRequestId(nonce: Uint8Array): number {
    let id: number;
    do {
      this.#begun += 1;
      id = (new DataView(nonce.buffer, nonce.byteOffset).getUint32(0) + this.#begun) >>> 0;
    } while (this.#byRequest.has(id));
    return id;
  }

  /** The deadline of the PULL, or of the next PROGRESS. */
  expired(attach: PendingAttach): void {
    const { pull } = attach;
    if (!pull || !this.#owner.isCurrent(attach)) return;
    if (this.#host.now >= pull.deadline) {
      this.#originUnreachable(attach);
      return;
    }
    this.#host.send(attach.carrierId, encodeFrame('progress', { epoch: attach.migrate.epoch }));
    attach.nextTimeout = Math.min(
      pull.deadline,
      this.#host.now + this.#host.config.timers.progressIntervalMs,
    );
    this.#host.arm(attach);
  }

  #originUnreachable(attach: PendingAttach): void {
    this.#owner.refuse(
      attach,
      new ProtocolError(
        WireCode.OriginUnreachable,
        `${attach.migrate.origin} can't be reached from here`,
        true,
      ),
    );
  }

  #byPeerRequest(peer: ServerAddress, requestId: number): PendingAttach | undefined {
    const attach = this.#byRequest.get(requestId);
    return attach && attach.pull?.requestId === requestId && attach.pull.peer.name === peer.name
      ? attach
      : undefined;
  }

  handlePeerFrame(
    peer: ServerAddress,
    frame: PeerFrame<'state' | 'stateChunk' | 'gone' | 'pullRefused'>,
  ): void {
    const attach = this.#byPeerRequest(peer, frame.requestId);
    const pull = attach?.pull;
    if (!attach || !pull) return;
    this.#owner.guarded(attach, () => {
      switch (frame.frame) {
        case 'state':
          if (!equalBytes(frame.sessionId, attach.sessionId)) return; // meant for a PULL of long ago
          pull.transfer = new TransferReceiver(frame, this.#host.config.limits, attach.migrate.epoch);
          break;
        case 'stateChunk':
          if (!pull.transfer) throw new ProtocolError(WireCode.Internal, 'STATE_CHUNK before STATE', true);
          pull.transfer.accept(frame);
          break;
        case 'gone':
          this.end(attach);
          if (frame.ended) throw new ProtocolError(WireCode.SessionEnded, 'the session ended');
          this.#owner.restoreFromTicket(attach);
          return;
        case 'pullRefused':
          this.end(attach);
          throw new ProtocolError(
            (frame.code in ALL_CODES ? frame.code : WireCode.Internal) as WireCode,
            `the origin refused: ${frame.message}`,
            true,
          );
      }
      const state = pull.transfer?.whole;
      if (state) this.#transferred(attach, pull, state);
    });
  }

  #transferred(attach: PendingAttach, pull: Pull, state: TransferredState): void {
    const head = attach.head as TicketHead;
    this.end(attach);
    if (!state.terminal && !canRestore(this.#host.config, state.point.schema)) {
      this.#host.sendPeer(
        pull.peer,
        encodePeerFrame('abort', { sessionId: attach.sessionId, epoch: attach.migrate.epoch }),
      );
      throw new ProtocolError(
        WireCode.SchemaMismatch,
        `this server can't read state of schema ${state.point.schema}`,
        true,
      );
    }
    this.#owner.pulled(attach, pull.peer, comparePoints(state.point, head) < 0 ? undefined : state);
  }

  /** No answer is awaited any more. */
  end(attach: PendingAttach): void {
    if (attach.pull) this.#byRequest.delete(attach.pull.requestId);
    attach.pull = undefined;
    attach.nextTimeout = undefined;
    this.#host.disarm(attach);
  }

  /** The link to a peer is gone, or could not be made. */
  handlePeerLost(peerName: string): void {
    for (const attach of [...this.#byRequest.values()])
      if (attach.pull?.peer.name === peerName) this.#originUnreachable(attach);
  }
}

const ALL_CODES: Readonly<Record<number, true>> = Object.fromEntries(
  Object.values(WireCode).map((code) => [code, true]),
);
