/** How clients come in: OPEN and STANDBY, and the SUPPORT they get (protocol.md §10.2). */
import {
  MAX_OPEN_EPOCH,
  NONCE_BYTES,
  NO_MAC,
  ProtocolError,
  WireCode,
  concatBytes,
  encodeFrame,
  encodePayload,
  framePayload,
  macedPart,
  toHex,
  withMac,
  type Frame,
} from '../wire/index.ts';
import type { CryptoBook } from './crypto.ts';
import type { Places } from './places.ts';
import type { ServerCarrier } from './server-carrier.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerEvent } from './server-events.ts';
import { ServerSession, type SessionHost } from './server-session.ts';
import { ServerStreams, type SnapshotPoint } from './server-streams.ts';
import { throwIfKeptOut } from './session-fence.ts';
import type { StandbyCarriers } from './standby-carriers.ts';
import type { Tombstones } from './tombstones.ts';

export interface EntranceHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  readonly now: number;
  readonly isDraining: boolean;
  readonly places: Places;
  readonly tombstones: Tombstones;
  readonly sessionHost: SessionHost;
  findSession(id: string): ServerSession | undefined;
  addSession(session: ServerSession, carrierId: number): void;
  /** False once the carrier was lost or hung up. */
  isCurrent(carrier: ServerCarrier): boolean;
  /** Throws `ProtocolError` (Busy) when its address has sent too many. */
  countOpen(carrier: ServerCarrier): void;
  setOpening(carrier: ServerCarrier): void;
  readonly standbys: Pick<StandbyCarriers, 'check' | 'begin'>;
  setBusy(carrierId: number, busy: boolean): void;
  refuse(carrier: ServerCarrier, error: ProtocolError): void;
  emit(event: ServerEvent): void;
}

const NOTHING = new Uint8Array(0);

export class Entrance {
  readonly #host: EntranceHost;

  constructor(host: EntranceHost) {
    this.#host = host;
  }

  /**
   * OPEN: a key agreement, ticket 0, SUPPORT, and the application starts. Throws `ProtocolError` where it is refused at once.
   * Nothing that lives here is touched before the answer is ready: until then it is only one OPEN more.
   */
  handleOpen(carrier: ServerCarrier, open: Frame<'open'>): void {
    const { service } = this.#host.config;
    this.#host.countOpen(carrier);
    if (open.service !== service)
      throw new ProtocolError(WireCode.WrongService, `this server serves ${service}`, true);
    if (open.epoch < 1) throw new ProtocolError(WireCode.Protocol, 'epochs begin at 1');
    if (open.epoch > MAX_OPEN_EPOCH)
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `OPEN with epoch ${open.epoch}, at most ${MAX_OPEN_EPOCH} is taken`,
      );
    this.#replaceable(carrier, open);
    this.#host.setOpening(carrier);
    this.#host.setBusy(carrier.id, true);
    if (this.#host.config.authorizes !== true) {
      this.#agree(carrier, open);
      return;
    }
    this.#host.crypto.ask(
      { op: 'authorize', kind: 'open', carrierId: carrier.id, sessionId: open.sessionId },
      ({ denied }) => {
        if (!this.#host.isCurrent(carrier)) return;
        if (denied)
          this.#host.refuse(carrier, new ProtocolError(WireCode.Denied, denied.message, denied.tryElsewhere));
        else this.#agree(carrier, open);
      },
    );
  }

  #agree(carrier: ServerCarrier, open: Frame<'open'>): void {
    const keyShare = this.#host.config.keyShare();
    const nonce = this.#host.config.random(NONCE_BYTES);
    const salt = concatBytes([open.nonce, nonce, carrier.exporter]);
    this.#host.crypto.ask(
      { op: 'agree', ourShare: keyShare, peerShare: open.keyShare, salt, sessionId: open.sessionId },
      ({ secret }) => {
        if (!this.#host.isCurrent(carrier)) return;
        if (!secret)
          this.#host.refuse(carrier, new ProtocolError(WireCode.Unauthenticated, 'no valid key share'));
        else this.#opened(carrier, open, { secret, keyShare, nonce });
      },
    );
  }

  /**
   * The session that this OPEN would replace: one that an earlier OPEN of its client made, and whose client never heard of
   * it. Throws `ProtocolError` where the OPEN is not the newest, where the session is, or was, established, and where there
   * is no room for another.
   */
  #replaceable({ network }: ServerCarrier, open: Frame<'open'>): ServerSession | undefined {
    if (this.#host.isDraining) throw new ProtocolError(WireCode.Draining, 'this server is draining', true);
    const id = toHex(open.sessionId);
    const session = this.#host.findSession(id);
    const stone = this.#host.tombstones.get(id, this.#host.now);
    if (session?.isEstablished || stone?.established)
      throw new ProtocolError(WireCode.Unauthenticated, 'a session of that id exists');
    const newest = session?.highestEpoch ?? stone?.epoch ?? 0;
    if (open.epoch <= newest)
      throw new ProtocolError(
        WireCode.StaleEpoch,
        `OPEN with epoch ${open.epoch}, but ${newest} was seen`,
        true,
      );
    if (!session) this.#host.places.check(network);
    return session;
  }

  #opened(
    carrier: ServerCarrier,
    open: Frame<'open'>,
    agreed: { secret: Uint8Array; keyShare: Uint8Array; nonce: Uint8Array },
  ): void {
    const config = this.#host.config;
    const point: SnapshotPoint = {
      epoch: open.epoch,
      k: 0,
      input: 0,
      output: 0,
      inputFinished: false,
      outputFinished: false,
      state: NOTHING,
      schema: config.schema,
    };
    const streams = ServerStreams.fresh(config.limits, config.crc32);
    streams.send.rewind(0, open.credit);
    const session = new ServerSession(this.#host.sessionHost, {
      sessionId: open.sessionId,
      secret: agreed.secret,
      epoch: open.epoch,
      streams,
      point,
      covered: { epoch: open.epoch, k: 0, input: 0, output: 0 },
      state: 'active',
      retainLimitBytes: open.retainLimitBytes,
      maxBodyBytes: open.maxBodyBytes,
      terminal: false,
      lost: undefined,
      service: open.service,
    });
    this.#fence(session, carrier, () => this.#welcome(session, carrier, open, agreed, point));
  }

  /** Ticket 0 is a ticket too: where there is a fence, it is asked before. */
  #fence(session: ServerSession, carrier: ServerCarrier, then: () => void): void {
    const { fence } = session;
    if (!fence) {
      then();
      return;
    }
    fence.open((answer) => {
      if (!this.#host.isCurrent(carrier)) return;
      try {
        throwIfKeptOut(answer, fence.config);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#host.refuse(carrier, error);
        return;
      }
      then();
    });
  }

  /** Ticket 0, then SUPPORT, and the application begins. */
  #welcome(
    session: ServerSession,
    carrier: ServerCarrier,
    open: Frame<'open'>,
    agreed: { keyShare: Uint8Array; nonce: Uint8Array },
    point: SnapshotPoint,
  ): void {
    this.#host.crypto.ask({ op: 'seal', head: session.ticketHead(point), body: point.state }, ({ head }) => {
      if (!this.#host.isCurrent(carrier)) return;
      const ticket = encodeFrame('snapshot', {
        epoch: open.epoch,
        k: 0,
        input: 0,
        output: 0,
        headBytes: head.byteLength,
        totalBytes: head.byteLength,
        offset: 0,
        bytes: head,
      });
      this.#support(
        session,
        { keyShare: agreed.keyShare, nonce: agreed.nonce, open: open.payload },
        (support) => {
          if (!this.#host.isCurrent(carrier)) return;
          this.#host.setBusy(carrier.id, false);
          if (!this.#makeWay(carrier, open)) return;
          this.#host.addSession(session, carrier.id);
          session.attach(carrier.id, undefined);
          session.queue(ticket);
          session.queue(support);
          this.#host.emit({ type: 'session', session, restart: undefined, cause: undefined });
          session.fence?.tell();
        },
      );
    });
  }

  /** Another OPEN, or an attach, may have come in meanwhile. Answers false, and refuses, when this one is void by now. */
  #makeWay(carrier: ServerCarrier, open: Frame<'open'>): boolean {
    try {
      this.#replaceable(carrier, open)?.abandon({
        code: 'ERR_GODWIT_ABANDONED',
        message: 'the client opened the session anew',
      });
      return true;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#host.refuse(carrier, error);
      return false;
    }
  }

  #support(
    session: ServerSession,
    fresh: { keyShare: Uint8Array; nonce: Uint8Array; open: Uint8Array } | undefined,
    then: (frame: Uint8Array) => void,
  ): void {
    this.#host.crypto.ask(
      { op: 'maskTriggerKey', sessionId: session.sessionId, secret: session.secret },
      ({ keyId, masked, otherKeyId }) => {
        const payload = encodePayload('support', {
          epoch: session.epoch,
          delivery: this.#host.config.delivery,
          keyShare: fresh?.keyShare ?? NOTHING,
          nonce: fresh?.nonce ?? NOTHING,
          triggerKeyId: keyId,
          triggerKey: masked,
          otherTriggerKeyId: otherKeyId,
          credit: session.streams.receive.credit,
          servers: this.#host.config.servers.slice(0, 16),
          mac: NO_MAC,
        });
        const data = [...(fresh ? [fresh.open] : []), macedPart(payload)];
        this.#host.crypto.ask({ op: 'mac', secret: session.secret, label: 'support', data }, ({ mac }) => {
          then(framePayload('support', withMac(payload, mac)));
        });
      },
    );
  }

  /** The keys changed: a ticket, and a SUPPORT with a trigger key, made with the new one. */
  renew(session: ServerSession): void {
    session.refreshTicket();
    if (session.state === 'active') this.sendSupport(session);
  }

  /** SUPPORT again: after an attach, and when servers or keys change. */
  sendSupport(session: ServerSession): void {
    this.#support(session, undefined, (frame) => {
      session.queue(frame);
    });
  }

  /** STANDBY: whoever can prove possession of one session of the cluster may keep a carrier here. */
  handleStandby(carrier: ServerCarrier, standby: Frame<'standby'>): void {
    if (standby.service !== this.#host.config.service)
      throw new ProtocolError(WireCode.WrongService, `this server serves ${this.#host.config.service}`, true);
    this.#host.standbys.check(carrier);
    this.#host.setOpening(carrier);
    this.#host.setBusy(carrier.id, true);
    const refuse = (code: WireCode): void => {
      this.#host.refuse(carrier, new ProtocolError(code, 'STANDBY without a valid proof'));
    };
    this.#host.crypto.ask({ op: 'open', head: standby.head }, (result) => {
      if (!this.#host.isCurrent(carrier)) return;
      if ('refused' in result) {
        refuse(result.refused);
        return;
      }
      const data = [
        new TextEncoder().encode(this.#host.config.name),
        carrier.nonce,
        macedPart(standby.payload),
      ];
      this.#host.crypto.ask(
        { op: 'verify', secret: result.head.secret, label: 'standby', data, mac: standby.mac },
        ({ ok }) => {
          if (!this.#host.isCurrent(carrier)) return;
          this.#host.setBusy(carrier.id, false);
          if (!ok) {
            refuse(WireCode.Unauthenticated);
            return;
          }
          this.#host.standbys.begin(carrier);
          this.#host.emit({ type: 'authenticated', carrierId: carrier.id, isStandby: true });
        },
      );
    });
  }
}
