/** The origin's side of a hand-over: PULL, freeze, STATE, release (protocol.md §9, §10.6). */
import {
  ProtocolError,
  WireCode,
  concatBytes,
  decodePayload,
  encodePeerFrame,
  equalBytes,
  macedPart,
  toHex,
  type Frame,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import type { CryptoBook } from './crypto.ts';
import { RateLimit } from './rate-limit.ts';
import { encodeTransfer } from './session-transfer.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerSession } from './server-session.ts';
import type { Tombstones } from './tombstones.ts';
import { Roster } from './roster.ts';

export interface OriginHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  readonly now: number;
  readonly tombstones: Tombstones;
  findSession(id: string): ServerSession | undefined;
  sendPeer(peer: ServerAddress, bytes: Uint8Array): void;
}

/** A session that is about to be frozen for a destination, or is. */
interface Handover {
  readonly requestId: number;
  readonly to: ServerAddress;
  readonly epoch: number;
  readonly clientReceived: number;
  /** When the application must have answered: the rest of the PULL's time is for STATE. */
  readonly freezeDeadline: number;
  stateSent: boolean;
}

export class Origin {
  readonly #host: OriginHost;
  readonly #pulls: RateLimit;
  readonly #handovers: Roster<string, Handover>;

  constructor(host: OriginHost) {
    this.#host = host;
    this.#handovers = new Roster(host.config.hashSeed);
    this.#pulls = new RateLimit(host.config.limits.maxPullsPerSecond);
  }

  /** Hand-overs under way. */
  get size(): number {
    return this.#handovers.size;
  }

  /** PULL: verified here, by the client's own proof, which names the destination (so no member can steal a session). */
  handlePull(peer: ServerAddress, pull: PeerFrame<'pull'>): void {
    if (!this.#pulls.take(peer.name, this.#host.now)) {
      const message = `too many PULLs came from ${peer.name}`;
      this.#refuse(peer, pull.requestId, new ProtocolError(WireCode.Busy, message));
      return;
    }
    const id = toHex(pull.sessionId);
    const session = this.#host.findSession(id);
    if (!session) {
      this.#hasEnded(id, pull.migrate, (ended) => {
        this.#host.sendPeer(peer, encodePeerFrame('gone', { requestId: pull.requestId, ended }));
      });
      return;
    }
    this.#verify(peer, pull.nonce, pull.migrate, session, (refusal, migrate) => {
      if (!migrate) {
        this.#refuseUnlessAnothers(peer, pull, session, refusal ?? notAsked());
        return;
      }
      if (migrate.epoch <= session.highestEpoch) {
        this.#refuse(
          peer,
          pull.requestId,
          new ProtocolError(
            WireCode.StaleEpoch,
            `epoch ${migrate.epoch}, but ${session.highestEpoch} was seen`,
          ),
        );
        return;
      }
      if (!session.isKnownAs(migrate.originEpoch)) {
        session.abandon({ code: 'ERR_GODWIT_ABANDONED', message: 'the client attached elsewhere instead' });
        this.#host.sendPeer(peer, encodePeerFrame('gone', { requestId: pull.requestId, ended: false }));
        return;
      }
      if (session.isResetting) {
        this.#host.sendPeer(peer, encodePeerFrame('gone', { requestId: pull.requestId, ended: true }));
        return;
      }
      session.noteEpoch(migrate.epoch);
      const budget = Math.min(pull.deadlineMs, this.#host.config.timers.pullTimeoutMs);
      this.#begin(session, {
        requestId: pull.requestId,
        to: peer,
        epoch: migrate.epoch,
        clientReceived: migrate.received,
        freezeDeadline: this.#host.now + budget * 0.8,
        stateSent: false,
      });
    });
  }

  /**
   * The client names the present attach as the one that it leaves, so it has our ACCEPT. What it never confirmed goes live
   * first, as at CONFIRM: else the fence would not see from where it began, but only what it has become at the destination.
   */
  #begin(session: ServerSession, handover: Handover): void {
    const { id } = session;
    const { requestId, to, freezeDeadline } = handover;
    this.#handovers.set(id, handover);
    session.goLive((answer) => {
      if (answer.kind === 'refused') {
        const ended = answer.code === WireCode.SessionEnded;
        this.#host.sendPeer(to, encodePeerFrame('gone', { requestId, ended }));
        return;
      }
      // Given up meanwhile, by the destination or by the client; or the session ended.
      if (this.#handovers.get(id) !== handover) return;
      if (session.isLive && this.#host.now < freezeDeadline) {
        session.freeze(freezeDeadline, true);
        return;
      }
      this.#handovers.delete(id);
      this.#refuse(
        to,
        requestId,
        new ProtocolError(WireCode.FenceUnavailable, 'no answer of the fence in time'),
      );
    });
  }

  /** The application exported its last snapshot, or none: what there is goes out. */
  freezeReady(session: ServerSession): void {
    const handover = this.#handovers.get(session.id);
    if (!handover || handover.stateSent) return;
    if (session.isResetting) {
      // Reset while its destination waited: there is nothing to hand over any more.
      this.#handovers.delete(session.id);
      const { requestId, to } = handover;
      this.#host.sendPeer(to, encodePeerFrame('gone', { requestId, ended: true }));
      return;
    }
    handover.stateSent = true;
    const frames = encodeTransfer(handover.requestId, session, handover.clientReceived);
    this.#host.sendPeer(handover.to, concatBytes(frames));
  }

  /** The client confirmed at the destination. */
  handleConfirmed(peer: ServerAddress, frame: PeerFrame<'confirmed'>): void {
    const id = toHex(frame.sessionId);
    const handover = this.#handovers.get(id);
    const session = this.#host.findSession(id);
    if (
      !handover ||
      !session ||
      handover.to.name !== peer.name ||
      handover.epoch !== frame.epoch ||
      !handover.stateSent ||
      !session.isFrozen
    )
      return;
    this.#release(session, handover.to, frame.epoch);
  }

  /** The destination gave up. The session stays frozen: only its client may thaw it. */
  handleAbort(peer: ServerAddress, frame: PeerFrame<'abort'>): void {
    const id = toHex(frame.sessionId);
    const handover = this.#handovers.get(id);
    if (handover && handover.to.name === peer.name && handover.epoch === frame.epoch)
      this.#handovers.delete(id);
  }

  /** The client took the session elsewhere without us; its own MIGRATE proves it. */
  handleRelease(peer: ServerAddress, frame: PeerFrame<'release'>): void {
    const session = this.#host.findSession(toHex(frame.sessionId));
    if (!session) return;
    this.#verify(peer, frame.nonce, frame.migrate, session, (_refusal, migrate) => {
      if (migrate && migrate.epoch > session.highestEpoch) this.#release(session, peer, migrate.epoch);
    });
  }

  /** The client came back, or the session ended: no hand-over goes on. */
  forget(id: string): void {
    this.#handovers.delete(id);
  }

  #release(session: ServerSession, to: ServerAddress, epoch: number): void {
    this.#handovers.delete(session.id);
    const until = this.#host.now + this.#host.config.timers.ticketLifetimeMs;
    session.release(to.name);
    this.#host.tombstones.set(session.id, {
      kind: 'moved',
      secret: session.secret,
      epoch,
      until,
      established: true,
    });
  }

  /**
   * As in an attach here: a point of a later epoch says that what ended was a copy left behind, and a ticket with another
   * secret that it was a rival.
   */
  #hasEnded(id: string, payload: Uint8Array, then: (ended: boolean) => void): void {
    const stone = this.#host.tombstones.get(id, this.#host.now);
    const migrate = decodeMigrate(payload);
    if (stone?.kind !== 'ended' || !migrate || migrate.newestEpoch > stone.epoch) {
      then(false);
      return;
    }
    this.#host.crypto.ask({ op: 'open', head: migrate.head }, (result) => {
      then('head' in result && equalBytes(result.head.secret, stone.secret));
    });
  }

  /**
   * The proof is wrong for the session here. If its ticket has another secret, then what is here only has the same id: a
   * stranger opened it, or an OPEN whose answer was lost, and it must not keep the true one from going on.
   */
  #refuseUnlessAnothers(
    peer: ServerAddress,
    pull: PeerFrame<'pull'>,
    session: ServerSession,
    refusal: ProtocolError,
  ): void {
    const migrate = decodeMigrate(pull.migrate);
    if (!migrate) {
      this.#refuse(peer, pull.requestId, refusal);
      return;
    }
    this.#host.crypto.ask({ op: 'open', head: migrate.head }, (result) => {
      if ('head' in result && !equalBytes(result.head.secret, session.secret))
        this.#host.sendPeer(peer, encodePeerFrame('gone', { requestId: pull.requestId, ended: false }));
      else this.#refuse(peer, pull.requestId, refusal);
    });
  }

  #refuse(peer: ServerAddress, requestId: number, error: ProtocolError): void {
    this.#host.sendPeer(
      peer,
      encodePeerFrame('pullRefused', { requestId, code: error.wireCode, message: error.message }),
    );
  }

  #verify(
    peer: ServerAddress,
    nonce: Uint8Array,
    payload: Uint8Array,
    session: ServerSession,
    then: (refusal: ProtocolError | undefined, migrate: Frame<'migrate'> | undefined) => void,
  ): void {
    const migrate = decodeMigrate(payload);
    if (!migrate) {
      then(undefined, undefined);
      return;
    }
    const data = [new TextEncoder().encode(peer.name), nonce, macedPart(payload)];
    this.#host.crypto.ask(
      { op: 'verify', secret: session.secret, label: 'migrate', data, mac: migrate.mac },
      ({ ok }) => {
        const alive = this.#host.findSession(session.id) === session;
        if (!ok || migrate.origin !== this.#host.config.name) then(undefined, undefined);
        else if (!alive)
          then(new ProtocolError(WireCode.SessionEnded, 'the session ended meanwhile'), undefined);
        else then(undefined, migrate);
      },
    );
  }
}

/** Made only where it is sent: an error costs more than the proof. */
function notAsked(): ProtocolError {
  return new ProtocolError(WireCode.Unauthenticated, 'the client did not ask for this');
}

/** Undefined when the bytes are no MIGRATE: whoever sent them says what no client said. */
function decodeMigrate(payload: Uint8Array): Frame<'migrate'> | undefined {
  try {
    return decodePayload('migrate', payload);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}
