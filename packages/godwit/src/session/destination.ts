/**
 * The destination's side of an attach: MIGRATE is verified without touching any state, then the newest point is fetched
 * (from the origin, or from the client's ticket), then the session starts here, unconfirmed (protocol.md §10.5).
 */
import {
  CAUSE_NAME,
  NO_MAC,
  OriginState,
  ProtocolError,
  SOURCE_NAME,
  Source,
  WireCode,
  encodeFrame,
  encodePayload,
  encodePeerFrame,
  encodeRefusal,
  equalBytes,
  framePayload,
  macedPart,
  withMac,
  type Cause,
  type Frame,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import type { CryptoBook } from './crypto.ts';
import type { DeadlineOwner } from './deadline-heap.ts';
import type { ServerEvent } from './server-events.ts';
import type { ServerNodeConfig } from './server-config.ts';
import { Pulls } from './pulls.ts';
import { anotherSession, displaceRival } from './rival.ts';
import {
  checkAdmission,
  checkTicketRestores,
  lostBytes,
  originAddress,
  restoreStreams,
} from './restore-rules.ts';
import { ServerSession, type SessionHost } from './server-session.ts';
import type { SnapshotPoint } from './server-streams.ts';
import { PendingAttach } from './pending-attach.ts';
import { Farewells } from './farewells.ts';
import { FenceGate } from './fence-gate.ts';
import type { TransferredState } from './session-transfer.ts';
import type { TicketHead } from './ticket.ts';
import type { Tombstones } from './tombstones.ts';
import { Roster } from './roster.ts';

export interface DestinationHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  readonly now: number;
  readonly isDraining: boolean;
  /** Throws `ProtocolError` (Busy) when there is no place for another session of that carrier's peer. */
  checkPlace(carrierId: number, promised: number): void;
  readonly tombstones: Tombstones;
  readonly sessionHost: SessionHost;
  findSession(id: string): ServerSession | undefined;
  addSession(session: ServerSession, carrierId: number): void;
  sendPeer(peer: ServerAddress, bytes: Uint8Array): void;
  /** A frame for a carrier that has no session yet. */
  send(carrierId: number, frame: Uint8Array): void;
  hangUp(carrierId: number, last: readonly Uint8Array[]): void;
  setBusy(carrierId: number, busy: boolean): void;
  authenticated(carrierId: number): void;
  emit(event: ServerEvent): void;
  arm(owner: DeadlineOwner): void;
  disarm(owner: DeadlineOwner): void;
}

export class Destination {
  readonly #host: DestinationHost;
  readonly #byCarrier = new Roster<number, PendingAttach>();
  readonly #bySession: Roster<string, PendingAttach>;
  readonly #pulls: Pulls;
  readonly #fence: FenceGate;
  readonly farewells: Farewells;

  constructor(host: DestinationHost) {
    this.#host = host;
    this.#bySession = new Roster(host.config.hashSeed);
    this.farewells = new Farewells(host.config);
    this.#fence = new FenceGate(host, {
      isCurrent: (attach) => this.#isCurrent(attach),
      guarded: (attach, action) => this.#guarded(attach, action),
    });
    this.#pulls = new Pulls(host, {
      isCurrent: (attach) => this.#isCurrent(attach),
      pulled: (attach, peer, state) => {
        attach.farewell = { kind: 'confirmed', peer, epoch: attach.migrate.epoch };
        if (state) this.#restore(attach, Source.Origin, state.point, state);
        else this.#restoreFromTicket(attach);
      },
      restoreFromTicket: (attach) => this.#restoreFromTicket(attach),
      refuse: (attach, error) => this.#refuse(attach, error),
      guarded: (attach, action) => this.#guarded(attach, action),
    });
  }

  /** An answer to a PULL. */
  handlePeerFrame(
    peer: ServerAddress,
    frame: PeerFrame<'state' | 'stateChunk' | 'gone' | 'pullRefused'>,
  ): void {
    this.#pulls.handlePeerFrame(peer, frame);
  }

  /** The link to a peer is gone, or could not be made. */
  handlePeerLost(peerName: string): void {
    this.#pulls.handlePeerLost(peerName);
  }

  /** Attaches that are neither accepted nor refused yet. */
  get size(): number {
    return Math.max(this.#byCarrier.size, this.#bySession.size, this.#pulls.size);
  }

  // --- verify ----------------------------------------------------------------------------------------------------

  handleMigrate(carrierId: number, nonce: Uint8Array, migrate: Frame<'migrate'>): void {
    const attach = new PendingAttach(carrierId, nonce, migrate, (expired) => {
      this.#pulls.expired(expired);
    });
    if (this.#byCarrier.size >= this.#host.config.limits.maxRestoring) {
      this.#refuse(attach, new ProtocolError(WireCode.Busy, 'too many sessions are being restored', true));
      return;
    }
    this.#byCarrier.set(carrierId, attach);
    const session = this.#host.findSession(attach.id);
    if (session)
      this.#verify(
        attach,
        session.secret,
        () => {
          this.#meetSession(attach, session);
        },
        () => {
          // Perhaps the client never heard of it, and lives by another secret: then its ticket says so.
          if (session.isEstablished) throw anotherSession();
          this.#openTicket(attach);
        },
      );
    else this.#openTicket(attach);
  }

  #verify(
    attach: PendingAttach,
    secret: Uint8Array,
    then: () => void,
    otherwise = (): void => {
      throw new ProtocolError(WireCode.Unauthenticated, 'MIGRATE without a valid proof');
    },
  ): void {
    const { migrate } = attach;
    const data = [new TextEncoder().encode(this.#host.config.name), attach.nonce, macedPart(migrate.payload)];
    this.#host.setBusy(attach.carrierId, true);
    this.#host.crypto.ask({ op: 'verify', secret, label: 'migrate', data, mac: migrate.mac }, ({ ok }) => {
      if (!this.#isCurrent(attach)) return;
      this.#host.setBusy(attach.carrierId, false);
      this.#guarded(attach, () => {
        if (!ok) otherwise();
        else this.#authorize(attach, then);
      });
    });
  }

  /**
   * The client is who it says it is: may it come in, by its certificate, and would the application have it? Nobody is asked of
   * a session that is here, in-band: so a client takes back what a move that failed has frozen, and does not come in.
   */
  #authorize(attach: PendingAttach, then: () => void): void {
    const { carrierId, id } = attach;
    if (this.#host.config.authorizes !== true || this.#host.findSession(id)?.carrierId === carrierId) {
      then();
      return;
    }
    this.#host.setBusy(carrierId, true);
    this.#host.crypto.ask(
      { op: 'authorize', kind: 'migrate', carrierId, sessionId: attach.sessionId },
      ({ denied }) => {
        if (!this.#isCurrent(attach)) return;
        this.#host.setBusy(carrierId, false);
        this.#guarded(attach, () => {
          if (denied) throw new ProtocolError(WireCode.Denied, denied.message, denied.tryElsewhere);
          then();
        });
      },
    );
  }

  /** The session, or a leftover of it, is on this server. `isChecked`: the fence says that it lives here. */
  #meetSession(attach: PendingAttach, session: ServerSession, isChecked = false): void {
    const { migrate } = attach;
    if (this.#host.findSession(attach.id) !== session) {
      this.#openTicket(attach);
      return;
    }
    if (migrate.epoch <= session.highestEpoch)
      throw new ProtocolError(
        WireCode.StaleEpoch,
        `epoch ${migrate.epoch}, but ${session.highestEpoch} was seen`,
        true,
      );
    if (migrate.origin === this.#host.config.name && session.isKnownAs(migrate.originEpoch)) {
      // Another attach may have come in while the fence was asked, and not be confirmed.
      if (!isChecked || !session.isLive) {
        this.#fence.resume(
          attach,
          session,
          () => this.#meetSession(attach, session, true),
          (server) => {
            if (session.state !== 'ended') session.release(server);
            if (this.#isCurrent(attach)) this.#openTicket(attach);
          },
        );
        return;
      }
      this.#resume(attach, session);
      return;
    }
    // What is here is an offer that the client never took, or a copy that it left behind.
    if (session.isConfirmed) session.release(migrate.origin);
    else session.abandon({ code: 'ERR_GODWIT_ABANDONED', message: 'the client attached elsewhere instead' });
    // An in-band attach went with the carrier of what it left behind.
    if (this.#isCurrent(attach)) this.#openTicket(attach);
  }

  #openTicket(attach: PendingAttach): void {
    this.#host.setBusy(attach.carrierId, true);
    this.#host.crypto.ask({ op: 'open', head: attach.migrate.head }, (result) => {
      if (!this.#isCurrent(attach)) return;
      this.#host.setBusy(attach.carrierId, false);
      this.#guarded(attach, () => {
        if ('refused' in result) throw new ProtocolError(result.refused, 'the ticket was not accepted', true);
        attach.head = result.head;
        this.#verify(attach, result.head.secret, () => {
          this.#admit(attach, result.head);
        });
      });
    });
  }

  /** The client is who it says it is. May it attach here? */
  #admit(attach: PendingAttach, head: TicketHead): void {
    const { config, tombstones, now } = this.#host;
    const { migrate } = attach;
    this.#host.authenticated(attach.carrierId);
    const here = this.#host.findSession(attach.id);
    if (here && equalBytes(here.secret, head.secret)) {
      this.#meetSession(attach, here); // it came while the ticket was being opened
      return;
    }
    displaceRival(here, head);
    if (!this.#isCurrent(attach)) return; // it came in-band, and went with the carrier of that rival
    checkAdmission(config, migrate, head, {
      stone: tombstones.get(attach.id, now),
      isDraining: this.#host.isDraining,
    });
    this.#host.checkPlace(attach.carrierId, this.#bySession.size);
    const rival = this.#bySession.get(attach.id);
    if (rival) {
      if (rival.migrate.epoch >= migrate.epoch)
        throw new ProtocolError(WireCode.StaleEpoch, 'a newer attach is under way', true);
      this.#refuse(rival, new ProtocolError(WireCode.StaleEpoch, 'a newer attach came', true));
    }
    this.#bySession.set(attach.id, attach);
    if (migrate.origin !== config.name && migrate.originState === OriginState.Unknown)
      this.#pulls.begin(attach, originAddress(config, migrate.origin, head));
    else this.#restoreFromTicket(attach);
  }

  // --- resume ----------------------------------------------------------------------------------------------------

  #resume(attach: PendingAttach, session: ServerSession): void {
    const { migrate, carrierId } = attach;
    const { receive, send } = session.streams;
    if (migrate.retainedFrom > receive.received)
      throw new ProtocolError(
        WireCode.Unprotected,
        `the client kept input from ${migrate.retainedFrom}, wanted is ${receive.received}`,
      );
    // On its old carrier, which may be faster, the client may have acknowledged more since it wrote MIGRATE. And it may have
    // more than was produced here: until it was attached here, it went on receiving from the server before.
    const outputStart = session.streams.isRegenerating
      ? send.retainedFrom
      : Math.min(send.next, Math.max(migrate.received, send.retainedFrom));
    const newest = session.snapshots.newest;
    session.noteEpoch(migrate.epoch);
    session.expectResume(migrate.epoch, outputStart);
    attach.resumes = session;
    const inputStart = receive.received;
    this.#accept(
      attach,
      session.secret,
      { source: Source.Resume, point: newest, inputStart, outputStart, credit: receive.credit },
      (accept) => {
        if (session.state === 'ended')
          throw new ProtocolError(WireCode.SessionEnded, 'the session ended meanwhile');
        if (migrate.epoch < session.highestEpoch)
          throw new ProtocolError(WireCode.StaleEpoch, 'a newer attach came', true);
        this.#settle(attach);
        session.resume({
          carrierId,
          epoch: migrate.epoch,
          inputStart,
          outputStart,
          credit: migrate.credit,
          named: { epoch: migrate.newestEpoch, k: migrate.newestK },
          acceptPayload: accept,
        });
        this.#host.addSession(session, carrierId);
        session.queue(framePayload('accept', accept));
      },
    );
  }

  // --- restore ---------------------------------------------------------------------------------------------------

  #restoreFromTicket(attach: PendingAttach): void {
    const { migrate } = attach;
    const head = attach.head as TicketHead;
    checkTicketRestores(this.#host.config, migrate, head);
    if (head.bodyBytes === 0) this.#openBody(attach, new Uint8Array(0));
    else if (migrate.body.byteLength === head.bodyBytes) this.#openBody(attach, migrate.body);
    else if (head.bodyBytes > this.#host.config.limits.maxStateBytes + 64)
      throw new ProtocolError(WireCode.LimitExceeded, 'the state is too large for this server', true);
    else this.#host.send(attach.carrierId, encodeFrame('needBody', { epoch: migrate.epoch }));
  }

  handleBody(carrierId: number, frame: Frame<'body'>): void {
    const attach = this.#byCarrier.get(carrierId);
    const head = attach?.head;
    if (!attach || !head || attach.pull || frame.epoch !== attach.migrate.epoch)
      throw new ProtocolError(WireCode.Protocol, 'BODY that nobody asked for');
    const body = attach.takeBody(frame, head.bodyBytes);
    if (body) this.#openBody(attach, body);
  }

  #openBody(attach: PendingAttach, sealed: Uint8Array): void {
    const head = attach.head as TicketHead;
    this.#host.setBusy(attach.carrierId, true);
    this.#host.crypto.ask({ op: 'openBody', head, body: sealed }, ({ body }) => {
      if (!this.#isCurrent(attach)) return;
      this.#host.setBusy(attach.carrierId, false);
      this.#guarded(attach, () => {
        if (!body)
          throw new ProtocolError(WireCode.TicketInvalid, 'the body does not belong to the ticket', true);
        const { epoch, k, input, output, inputFinished, outputFinished } = head;
        this.#restore(
          attach,
          Source.Ticket,
          { epoch, k, input, output, inputFinished, outputFinished, state: body, schema: head.schema },
          undefined,
        );
      });
    });
  }

  #restore(
    attach: PendingAttach,
    source: Source,
    point: SnapshotPoint,
    transfer: TransferredState | undefined,
  ): void {
    const { config } = this.#host;
    const { migrate, carrierId } = attach;
    const head = attach.head as TicketHead;
    if (!transfer && migrate.retainedFrom > point.input)
      throw new ProtocolError(WireCode.Unprotected, 'input the restart point needs is gone', true);
    const streams = restoreStreams(config, migrate, point, transfer);
    if (migrate.retainedFrom > streams.receive.received)
      throw new ProtocolError(WireCode.Unprotected, 'input the restart point needs is gone', true);
    const offer = {
      source,
      point,
      inputStart: streams.receive.received,
      outputStart: streams.send.sent,
      credit: streams.receive.credit,
    };
    const begin = (accept: Uint8Array): void => {
      displaceRival(this.#host.findSession(attach.id), head); // an OPEN that was under way may have come in meanwhile
      if (!this.#isCurrent(attach)) return;
      this.#host.checkPlace(carrierId, 0); // OPENs that were under way may have taken the rest
      const isOver = point.inputFinished && point.outputFinished;
      const terminal = isOver || (transfer ?? head).terminal;
      const session = new ServerSession(this.#host.sessionHost, {
        sessionId: attach.sessionId,
        secret: head.secret,
        epoch: migrate.epoch,
        streams,
        point,
        covered: { epoch: head.epoch, k: head.k, input: head.input, output: head.output },
        state: 'offered',
        retainLimitBytes: migrate.retainLimitBytes,
        maxBodyBytes: migrate.maxBodyBytes,
        terminal,
        lost: lostBytes(migrate, head),
        service: head.service,
      });
      this.#settle(attach);
      this.farewells.offered(attach, head);
      this.#host.addSession(session, carrierId);
      session.attach(carrierId, accept);
      session.queue(framePayload('accept', accept));
      if (terminal) return;
      const { epoch, k, input, output, state } = point;
      const restart = {
        epoch,
        k,
        input: input - (point.inputFinished ? 1 : 0),
        output: output - (point.outputFinished ? 1 : 0),
        state,
        source: SOURCE_NAME[source],
      };
      this.#host.emit({ type: 'session', session, restart, cause: CAUSE_NAME[migrate.cause as Cause] });
    };
    this.#fence.restore(attach, head, point, () => {
      this.#accept(attach, head.secret, offer, begin);
    });
  }

  // --- answer ----------------------------------------------------------------------------------------------------

  #accept(
    attach: PendingAttach,
    secret: Uint8Array,
    offer: { source: Source; point: SnapshotPoint; inputStart: number; outputStart: number; credit: number },
    then: (payload: Uint8Array) => void,
  ): void {
    const { migrate } = attach;
    const payload = encodePayload('accept', {
      epoch: migrate.epoch,
      source: offer.source,
      restartEpoch: offer.point.epoch,
      restartK: offer.point.k,
      restartOutput: offer.point.output,
      inputStart: offer.inputStart,
      outputStart: offer.outputStart,
      credit: offer.credit,
      mac: NO_MAC,
    });
    this.#host.setBusy(attach.carrierId, true);
    this.#host.crypto.ask(
      { op: 'mac', secret, label: 'accept', data: [migrate.attachId, macedPart(payload)] },
      ({ mac }) => {
        if (!this.#isCurrent(attach)) return;
        this.#host.setBusy(attach.carrierId, false);
        this.#guarded(attach, () => {
          then(withMac(payload, mac));
        });
      },
    );
  }

  #refuse(attach: PendingAttach, error: ProtocolError): void {
    this.#drop(attach);
    const { carrierId, migrate } = attach;
    this.#host.emit({ type: 'refused', carrierId, failure: { code: error.code, message: error.message } });
    this.#host.hangUp(carrierId, [encodeRefusal(migrate.epoch, error)]);
  }

  #guarded(attach: PendingAttach, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(attach, error);
    }
  }

  #isCurrent(attach: PendingAttach): boolean {
    return this.#byCarrier.get(attach.carrierId) === attach;
  }

  /** Nothing but the attach itself is forgotten: who made it may have proved nothing (invariant I8). */
  #drop(attach: PendingAttach): void {
    const asked = attach.pull ?? attach.farewell;
    if (asked)
      this.#host.sendPeer(
        asked.peer,
        encodePeerFrame('abort', { sessionId: attach.sessionId, epoch: attach.migrate.epoch }),
      );
    attach.resumes?.forgetResume(attach.migrate.epoch);
    this.#settle(attach);
  }

  #settle(attach: PendingAttach): void {
    this.#pulls.end(attach);
    this.#byCarrier.delete(attach.carrierId);
    if (this.#bySession.get(attach.id) === attach) this.#bySession.delete(attach.id);
  }

  /** The carrier of an attach that was not answered yet is gone. */
  handleCarrierLost(carrierId: number): void {
    const attach = this.#byCarrier.get(carrierId);
    if (attach) this.#drop(attach);
  }
}
