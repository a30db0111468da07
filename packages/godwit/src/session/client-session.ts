/**
 * The client end of a session, sans I/O (protocol.md §10). The sole initiator of migrations (paper §3.1).
 *
 * Contract: feed every event through a `handle…` method or one of the application's methods; then call `pollEvent` until
 * it answers undefined, `pollTransmit` (once a tick is enough) until it answers undefined, and `handleTimeout` at
 * `pollTimeout`. Frames of a carrier for which `isBusy` answers true wait. `now` is milliseconds of a monotonic clock.
 */
import {
  ATTACH_ID_BYTES,
  CAUSE_NAME,
  Cause,
  INITIAL_CREDIT_BYTES,
  NONCE_BYTES,
  NO_MAC,
  OriginState,
  ProtocolError,
  SOURCE_NAME,
  Source,
  WireCode,
  concatBytes,
  encodeFrame,
  encodePayload,
  errorCodeOf,
  framePayload,
  macedPart,
  toHex,
  withMac,
  type Delivery,
  type Frame,
  type FrameName,
} from '../wire/index.ts';
import { CandidateRace, sameAddress, type Challenge, type ReadyCarrier, type RaceHost } from './candidate-race.ts';
import { Attempt, orderCandidates, type Outstanding } from './client-attempt.ts';
import type { Candidate, CarrierFailure, ClientEvent, Failure, Incoming, MigrationReport, Transmit } from './client-events.ts';
import { CLIENT_TRANSITIONS, type ClientState, type ClientTransition } from './client-state.ts';
import { ClientStreams } from './client-streams.ts';
import { CryptoBook, type CryptoResult, type MacLabel } from './crypto.ts';
import { Deadlines } from './deadlines.ts';
import type { Detector } from './detectors.ts';
import type { Crc32 } from './digest-window.ts';
import type { ClientLimits, ClientTimers } from './limits.ts';
import { VitalSignsMonitor } from './vital-signs.ts';
import { assert, nextState } from './state-table.ts';

export interface ClientSessionConfig {
  /** 16 random bytes. */
  readonly sessionId: Uint8Array;
  /** Name of the service wanted, at most 64 bytes; servers of another service refuse. */
  readonly service: string;
  /** At least one. */
  readonly servers: readonly Candidate[];
  /** Public half of the key pair for OPEN; the crypto provider finds the private half by it. */
  readonly keyShare: Uint8Array;
  readonly random: (bytes: number) => Uint8Array;
  readonly crc32: Crc32;
  readonly limits: ClientLimits;
  readonly timers: ClientTimers;
  readonly detectors: readonly Detector[];
  /** TLS exporter of the first carrier, when it has one. */
  readonly exporter?: Uint8Array | undefined;
}

type Timer =
  /** When to dial the next candidate of a race. */
  | 'race'
  /** When OPEN or MIGRATE has waited too long for an answer. */
  | 'attach'
  /** When DETACH has waited too long. */
  | 'detach'
  /** When to try all candidates again. */
  | 'retry'
  /** When a session without a server ends. */
  | 'giveUp'
  /** When a delayed ACK goes out. */
  | 'ack'
  /** When the detectors look at the session, or a quiet carrier is probed. */
  | 'detect'
  /** When a destroyed session is forgotten. */
  | 'linger';

/** The carrier the session lives on. */
interface Attachment {
  readonly carrierId: number;
  readonly epoch: number;
  readonly server: Candidate;
  challenge: Challenge | undefined;
  /** An in-band MIGRATE is out: no more data until it is answered. */
  suspended: boolean;
}

/** Bytes of DATA in one `pollTransmit`, so that control frames and other sessions get their turn. */
const MAX_TRANSMIT_BYTES = 512 * 1024;
/** ACCEPTs in one migration that the client may find out of date by the time they come, before it asks elsewhere. */
const MAX_OBJECTIONS = 3;
/** A session that has been quiet for so long gives the memory of its buffers back, in ms. */
const SHRINK_AFTER_MS = 1000;

export class ClientSession {
  readonly sessionId: Uint8Array;
  readonly #config: ClientSessionConfig;
  readonly #events: ClientEvent[] = [];
  readonly #crypto: CryptoBook;
  readonly #timers = new Deadlines<Timer>();
  readonly #streams: ClientStreams;
  readonly #vitals: VitalSignsMonitor;
  readonly #raceHost: RaceHost;
  /** Control frames waiting for each carrier. */
  readonly #outbox = new Map<number, Uint8Array[]>();
  readonly #unwritable = new Set<number>();
  readonly #busy = new Set<number>();
  readonly #standbys = new Set<string>();
  #servers: Candidate[];
  #state: ClientState = 'opening';
  #epoch = 0;
  #secret: Uint8Array | undefined;
  /** The newest trigger key and the one before it: while a cluster rotates its keys, servers use either. */
  #triggerKeys: { readonly id: string; readonly key: Uint8Array }[] = [];
  #lastTrigger = { epoch: 0, counter: -1 };
  #attachment: Attachment | undefined;
  #attempt: Attempt | undefined;
  /** The race of an opening session, and the carrier OPEN went out on. */
  #opening: { race: CandidateRace; used: ReadyCarrier | undefined; payload: Uint8Array; nonce: Uint8Array; failure: Failure | undefined } | undefined;
  #report: { -readonly [N in keyof MigrationReport]: MigrationReport[N] } | undefined;
  #reportAcceptedAt = 0;
  #lastDeliveredAt: number;
  #ackNow = false;
  #drainWanted = false;
  #dialCounter = 0;
  #destroyed = false;
  #closeSent = false;
  #pendingReset: { code: WireCode; message: string } | undefined;
  #migrationTimes: number[] = [];
  #lostBecause: CarrierFailure | undefined;
  #starts = 0;

  constructor(config: ClientSessionConfig, now: number) {
    assert(config.servers.length > 0, 'a session needs at least one server');
    this.sessionId = config.sessionId;
    this.#config = config;
    this.#servers = config.servers.slice(0, config.limits.maxServers);
    this.#crypto = new CryptoBook((event) => this.#events.push(event));
    this.#streams = new ClientStreams(config.limits, config.crc32);
    this.#vitals = new VitalSignsMonitor(config.detectors, now);
    this.#lastDeliveredAt = now;
    this.#raceHost = {
      nextDialId: () => (this.#dialCounter += 1),
      dial: (dialId, candidate) => this.#events.push({ type: 'dial', dialId, candidate }),
      cancelDial: (dialId) => this.#events.push({ type: 'cancelDial', dialId }),
      hangUp: (carrierId) => {
        this.#hangUp(carrierId);
      },
    };
    const race = new CandidateRace(this.#raceHost, config.timers.raceStaggerMs, this.#servers);
    this.#opening = { race, used: undefined, payload: new Uint8Array(0), nonce: new Uint8Array(0), failure: undefined };
    race.advance(now);
    this.#armRace(race);
  }

  // --- what the application sees ---------------------------------------------------------------------------------

  get state(): ClientState {
    return this.#state;
  }
  get epoch(): number {
    return this.#attachment?.epoch ?? this.#epoch;
  }
  /** The server the session lives on, or lived on last. */
  get server(): Candidate | undefined {
    return this.#attachment?.server ?? this.#attempt?.from;
  }
  get serverName(): string {
    return this.server?.name ?? '';
  }
  get servers(): readonly Candidate[] {
    return this.#servers;
  }
  get delivery(): Delivery {
    return this.#streams.delivery;
  }
  get isProtected(): boolean {
    return this.#streams.isProtected;
  }
  get isMigrating(): boolean {
    return this.#attempt !== undefined;
  }
  /** Input bytes written but not on any carrier yet. */
  get bytesUnsent(): number {
    return this.#streams.send.unsentBytes;
  }
  /** Input bytes kept for a restore. */
  get bytesRetained(): number {
    return this.#streams.send.retainedBytes;
  }
  /** Smoothed round-trip time in ms, or undefined before the first measurement. */
  get roundTripMs(): number | undefined {
    return this.#vitals.roundTripMs;
  }
  get wantsWrite(): boolean {
    const wants = this.#streams.wantsWrite;
    if (!wants) this.#drainWanted = true;
    return wants;
  }

  /** Takes input; the bytes are copied. */
  write(now: number, bytes: Uint8Array): void {
    if (this.#state === 'closed' || this.#destroyed) return;
    this.#streams.send.append(bytes);
    this.#wake(now);
  }

  /** No more input: FIN. */
  end(now: number): void {
    if (this.#state === 'closed' || this.#streams.send.finished) return;
    this.#streams.send.finish();
    this.#wake(now);
  }

  #wake(now: number): void {
    if (this.#vitals.active(now) && this.#attachment) this.#armDetect(now);
  }

  /** The next output, `'end'` once after the FIN, or undefined. Works after `closed` too. */
  read(): Uint8Array | 'end' | undefined {
    return this.#streams.receive.read();
  }

  /** The application took so many bytes out of its stream: the server may send as many more. */
  consumed(now: number, bytes: number): void {
    if (this.#destroyed || this.#state === 'closed') return;
    this.#streams.receive.consume(bytes);
    if (this.#streams.receive.ackDue) this.#ackNow = true;
    else if (this.#streams.receive.ackPending) this.#timers.start('ack', now + this.#config.timers.ackDelayMs);
  }

  /** The application is gone: what it wrote still goes out, then the session ends. */
  destroy(now: number): void {
    if (this.#state === 'closed' || this.#destroyed) return;
    this.#destroyed = true;
    this.#endedInOrder = this.#streams.send.finished;
    this.#streams.send.finish();
    this.#streams.discard();
    if (this.#state === 'opening' && !this.#opening?.used) {
      this.#close(undefined);
      return;
    }
    this.#timers.set('linger', now + this.#config.timers.lingerMs);
  }

  /** Ends the session at once; the server's application gets ECONNRESET. */
  reset(now: number, code: WireCode = WireCode.Reset, message = 'reset by the client'): void {
    if (this.#state === 'closed' || this.#pendingReset) return;
    this.#destroyed = true;
    this.#streams.discard();
    this.#pendingReset = { code, message };
    this.#timers.set('linger', now + this.#config.timers.lingerMs);
    if (this.#state === 'opening' && !this.#opening?.used) this.#close(undefined);
    else this.#sendReset();
  }

  /** Asks for a migration; without `to` the session picks a server other than the present one. Ignored unless attached. */
  migrate(now: number, options: { to?: Candidate | undefined; cause: Cause }): boolean {
    if (this.#state !== 'attached' || this.#destroyed) return false;
    this.#beginMigration(now, options.cause, options.to, OriginState.Unknown);
    return true;
  }

  // --- carriers --------------------------------------------------------------------------------------------------

  handleConnected(now: number, dialId: number, carrierId: number, challenge?: Challenge): void {
    const race = this.#race;
    const ready = race?.handleConnected(dialId, carrierId, challenge);
    if (!ready) {
      this.#events.push({ type: 'hangUp', carrierId, last: [] });
      return;
    }
    this.#outbox.set(carrierId, []);
    this.#advance(now);
  }

  handleDialFailed(now: number, dialId: number, failure: Failure): void {
    if (!this.#race?.handleFailed(now, dialId, failure)) return;
    this.#advance(now);
  }

  handleCarrierLost(now: number, carrierId: number, failure: CarrierFailure): void {
    if (!this.#outbox.delete(carrierId)) return;
    this.#unwritable.delete(carrierId);
    this.#busy.delete(carrierId);
    if (this.#opening?.used?.carrierId === carrierId) {
      this.#openFailed(now, failure);
      return;
    }
    if (this.#attempt?.outstanding?.ready.carrierId === carrierId && !this.#attempt.outstanding.inBand) {
      this.#attachFailed(now, failure);
    } else this.#race?.handleLost(now, carrierId, failure);
    if (this.#attachment?.carrierId === carrierId) this.#attachmentLost(now, failure);
    this.#advance(now);
  }

  setWritable(carrierId: number, writable: boolean): void {
    if (writable) this.#unwritable.delete(carrierId);
    else this.#unwritable.add(carrierId);
  }

  isBusy(carrierId: number): boolean {
    return this.#busy.has(carrierId);
  }

  /** A standby to that address is ready, or no longer: it orders the candidates. */
  handleStandby(address: { host: string; port: number }, ready: boolean): void {
    const key = `${address.host}:${address.port}`;
    if (ready) this.#standbys.add(key);
    else this.#standbys.delete(key);
  }

  handleCrypto(now: number, id: number, result: CryptoResult): void {
    this.#now = now;
    this.#crypto.answer(id, result);
  }
  /** Time of the call that delivered a crypto result; continuations read it. */
  #now = 0;

  handleFrame(now: number, carrierId: number, frame: Incoming): void {
    if (!this.#outbox.has(carrierId)) return; // invariant I2: a carrier that was left behind
    this.#now = now;
    try {
      this.#dispatch(now, carrierId, frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.handleCarrierError(now, carrierId, error);
    }
  }

  /** The peer erred on this carrier: its fault ends the session it attaches, or the attempt, and nothing else. */
  handleCarrierError(now: number, carrierId: number, error: ProtocolError): void {
    if (!this.#outbox.has(carrierId)) return;
    const failure = { code: error.code, message: error.message, reset: false };
    if (this.#attachment?.carrierId === carrierId) {
      this.#failure = failure;
      this.reset(now, error.wireCode, error.message);
      return;
    }
    this.#hangUp(carrierId, false);
    this.handleCarrierLost(now, carrierId, failure);
  }
  #failure: Failure | undefined;

  // --- frames ----------------------------------------------------------------------------------------------------

  #dispatch(now: number, carrierId: number, frame: Incoming): void {
    const isCurrent = this.#attachment?.carrierId === carrierId;
    if (isCurrent) this.#vitals.alive(now);
    if (frame.frame === 'data') {
      if (!isCurrent) throw new ProtocolError(WireCode.Protocol, 'DATA on a carrier that is not attached');
      this.#handleData(now, frame.bytes);
      return;
    }
    if (frame.frame === 'challenge') {
      this.#handleChallenge(now, carrierId, frame);
      return;
    }
    if (this.#opening?.used?.carrierId === carrierId) {
      if (frame.frame === 'support') this.#handleFirstSupport(now, carrierId, frame);
      else if (frame.frame === 'snapshot') this.#streams.tickets.accept(frame);
      else if (frame.frame === 'refuse') this.#openFailed(now, { code: errorCodeOf(frame.code), message: frame.message, reset: false }, frame.tryElsewhere);
      else throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before SUPPORT`);
      return;
    }
    if (this.#attempt?.outstanding?.ready.carrierId === carrierId && this.#handleAttachFrame(now, carrierId, frame)) return;
    if (!isCurrent) throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} on a carrier that is not attached`);
    this.#handleSessionFrame(now, carrierId, frame);
  }

  #handleSessionFrame(now: number, carrierId: number, frame: Frame): void {
    const { send, receive } = this.#streams;
    switch (frame.frame) {
      case 'ack':
        this.#streams.acceptAck(frame);
        this.#vitals.outstanding(now, this.#streams);
        this.#checkDrain();
        return;
      case 'fin':
        receive.acceptFin(frame.offset);
        this.#ackNow = true;
        this.#delivered(now);
        return;
      case 'snapshot': {
        const ticket = this.#streams.acceptSnapshot(frame);
        if (!ticket) return;
        this.#queue(carrierId, encodeFrame('snapshotAck', { epoch: ticket.epoch, k: ticket.k }));
        if (this.#streams.restoreProtection(ticket)) this.#events.push({ type: 'protected' });
        if (receive.canRead) this.#events.push({ type: 'readable' });
        this.#checkDrain();
        return;
      }
      case 'unprotected':
        if (this.#streams.degrade(frame)) this.#events.push({ type: 'unprotected', reason: frame.reason === 0 ? 'the server application exports no state' : 'the state is too large for a ticket' });
        if (receive.canRead) this.#events.push({ type: 'readable' });
        this.#checkDrain();
        return;
      case 'protected':
        return; // the ticket itself says so
      case 'support':
        this.#verified(carrierId, 'support', frame, [], () => {
          this.#takeServers(frame.servers);
          this.#takeTriggerKey(frame);
        });
        return;
      case 'trigger':
        this.handleTrigger(now, frame);
        return;
      case 'frozen':
        this.#verified(carrierId, 'frozen', frame, [], () => {
          // Frozen by an attach this client no longer pursues: take the session back (protocol.md §10.6).
          if (!this.#attempt && this.#attachment) this.#thaw(this.#now);
        });
        return;
      case 'detached':
        this.#verified(carrierId, 'detached', frame, [], () => {
          this.#handleDetached(this.#now);
        });
        return;
      case 'reset':
        this.#verified(carrierId, 'reset-server', frame, [], () => {
          this.#queue(carrierId, encodeFrame('resetAck', { epoch: frame.epoch }));
          this.#close({ code: errorCodeOf(frame.code), message: frame.message });
        });
        return;
      case 'close':
        this.#verified(carrierId, 'close-server', frame, [], () => {
          if (frame.final !== receive.received) throw new ProtocolError(WireCode.Protocol, `CLOSE at ${frame.final}, but ${receive.received} were received`);
          this.#queue(carrierId, encodeFrame('closeAck', { epoch: frame.epoch }));
          this.#streams.releaseAll();
          if (receive.canRead) this.#events.push({ type: 'readable' });
          this.#close(undefined);
        });
        return;
      case 'closeAck':
        if (this.#closeSent) this.#close(undefined);
        return;
      case 'resetAck':
        if (this.#pendingReset) this.#close(this.#failure);
        return;
      case 'ping':
        this.#queue(carrierId, encodeFrame('pong', { token: frame.token }));
        return;
      case 'pong':
        this.#vitals.pong(now, frame.token);
        return;
      case 'refuse': // of an attach given up meanwhile
      case 'progress':
      case 'accept':
      case 'needBody':
        return;
      default:
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} within a session (sent ${send.sent})`);
    }
  }

  #handleData(now: number, bytes: Uint8Array): void {
    if (!this.#streams.acceptData(bytes)) {
      if (this.#streams.receive.ackPending) this.#timers.start('ack', now + this.#config.timers.ackDelayMs);
      return;
    }
    this.#wake(now);
    if (this.#streams.receive.ackDue) this.#ackNow = true;
    else this.#timers.start('ack', now + this.#config.timers.ackDelayMs);
    this.#delivered(now);
  }

  #delivered(now: number): void {
    const report = this.#report;
    if (report) {
      this.#report = undefined;
      report.phases = { ...report.phases, firstByte: now - this.#reportAcceptedAt };
      report.blackoutMs = now - this.#lastDeliveredAt;
      this.#events.push({ type: 'flowing', report });
    }
    this.#lastDeliveredAt = now;
    if (this.#streams.receive.canRead) this.#events.push({ type: 'readable' });
  }

  #checkDrain(): void {
    if (this.#drainWanted && this.#streams.wantsWrite) {
      this.#drainWanted = false;
      this.#events.push({ type: 'drain' });
    }
  }

  // --- opening ---------------------------------------------------------------------------------------------------

  #handleChallenge(now: number, carrierId: number, frame: Frame<'challenge'>): void {
    const challenge = { serverName: frame.serverName, nonce: frame.nonce };
    const ready = this.#opening?.used?.carrierId === carrierId ? this.#opening.used : this.#race?.find(carrierId);
    if (ready) ready.challenge = challenge;
    else if (this.#attachment?.carrierId === carrierId && !this.#attachment.challenge) this.#attachment.challenge = challenge;
    else throw new ProtocolError(WireCode.Protocol, 'a second CHALLENGE');
    this.#advance(now);
  }

  #sendOpen(now: number, ready: ReadyCarrier): void {
    const opening = this.#opening;
    assert(opening !== undefined, 'OPEN outside of opening');
    opening.used = ready;
    opening.nonce = this.#config.random(NONCE_BYTES);
    this.#epoch = 1;
    opening.payload = encodePayload('open', {
      sessionId: this.sessionId,
      service: this.#config.service,
      keyShare: this.#config.keyShare,
      nonce: opening.nonce,
      credit: this.#streams.receive.credit,
      retainLimitBytes: this.#config.limits.retainLimitBytes,
      maxBodyBytes: this.#config.limits.maxBodyBytes,
      features: 0,
    });
    this.#queue(ready.carrierId, framePayload('open', opening.payload));
    this.#streams.send.rewind(0, INITIAL_CREDIT_BYTES);
    this.#timers.cancel('race');
    this.#timers.set('attach', now + this.#config.timers.attachTimeoutMs);
  }

  #handleFirstSupport(now: number, carrierId: number, frame: Frame<'support'>): void {
    const opening = this.#opening;
    assert(opening?.used !== undefined, 'SUPPORT without OPEN');
    if (frame.keyShare.byteLength !== 32 || frame.nonce.byteLength !== NONCE_BYTES) throw new ProtocolError(WireCode.Protocol, 'SUPPORT without a key share');
    if (!this.#streams.tickets.held) throw new ProtocolError(WireCode.Protocol, 'SUPPORT without ticket 0');
    const salt = concatBytes([opening.nonce, frame.nonce, this.#config.exporter ?? new Uint8Array(0)]);
    this.#busy.add(carrierId);
    this.#crypto.ask({ op: 'agree', ourShare: this.#config.keyShare, peerShare: frame.keyShare, salt, sessionId: this.sessionId }, ({ secret }) => {
      this.#busy.delete(carrierId);
      if (this.#opening?.used?.carrierId !== carrierId) return;
      if (!secret) {
        this.handleCarrierError(this.#now, carrierId, new ProtocolError(WireCode.Unauthenticated, 'the server sent no valid key share', true));
        return;
      }
      this.#secret = secret;
      this.#verified(carrierId, 'support', frame, [opening.payload], () => {
        this.#opened(this.#now, frame);
      });
    });
    void now;
  }

  #opened(now: number, frame: Frame<'support'>): void {
    const used = this.#opening?.used;
    assert(used !== undefined && this.#secret !== undefined, 'opened twice');
    const { race } = this.#opening as { race: CandidateRace };
    this.#opening = undefined;
    race.end();
    this.#setState('support');
    this.#timers.cancel('attach');
    const server = { ...used.candidate, name: used.challenge?.serverName ?? used.candidate.name };
    this.#attachment = { carrierId: used.carrierId, epoch: 1, server, challenge: used.challenge, suspended: false };
    this.#streams.setDelivery(frame.delivery as Delivery);
    this.#streams.send.grant(frame.credit);
    this.#takeServers(frame.servers);
    this.#takeTriggerKey(frame);
    this.#vitals.attached(now);
    this.#armDetect(now);
    this.#events.push({ type: 'connected', serverName: server.name });
    if (this.#pendingReset) this.#sendReset();
  }

  #openFailed(now: number, failure: CarrierFailure, tryElsewhere = true): void {
    const opening = this.#opening;
    assert(opening?.used !== undefined, 'no OPEN is out');
    this.#hangUp(opening.used.carrierId);
    opening.used = undefined;
    opening.failure = failure;
    this.#timers.cancel('attach');
    if (!tryElsewhere) {
      this.#close(failure);
      return;
    }
    opening.race.note(failure);
    opening.race.advance(now);
    this.#advance(now);
  }

  #takeServers(servers: readonly Candidate[]): void {
    const known = [...servers];
    for (const configured of this.#config.servers) if (!known.some((server) => sameAddress(server, configured))) known.push(configured);
    this.#servers = known.slice(0, this.#config.limits.maxServers);
    this.#events.push({ type: 'servers', servers: this.#servers });
  }

  // --- migrating -------------------------------------------------------------------------------------------------

  get #race(): CandidateRace | undefined {
    return this.#opening?.race ?? this.#attempt?.race;
  }

  /** A TRIGGER for this session, in-band or over a standby (paper §3.1, protocol.md §5.10). */
  handleTrigger(now: number, frame: Frame<'trigger'>): void {
    this.#now = now;
    if (this.#state !== 'attached' || this.#destroyed || frame.epoch !== this.#attachment?.epoch) return;
    if (this.#lastTrigger.epoch === frame.epoch && frame.counter <= this.#lastTrigger.counter) return;
    this.#verifyTrigger(frame, [...this.#triggerKeys]);
  }

  #verifyTrigger(frame: Frame<'trigger'>, keys: { readonly key: Uint8Array }[]): void {
    const secret = keys.shift()?.key;
    if (!secret) return; // forged, or made with a key this client has not been told of
    this.#crypto.ask({ op: 'verify', secret, label: 'trigger', data: [macedPart(frame.payload)], mac: frame.mac }, ({ ok }) => {
      if (this.#state !== 'attached' || frame.epoch !== this.#attachment?.epoch) return;
      if (!ok) {
        this.#verifyTrigger(frame, keys);
        return;
      }
      this.#lastTrigger = { epoch: frame.epoch, counter: frame.counter };
      const to = frame.host === '' ? undefined : { name: frame.name, host: frame.host, port: frame.port };
      if (to && sameAddress(to, this.#attachment.server)) return;
      this.#beginMigration(this.#now, frame.from === this.#attachment.server.name ? Cause.Origin : Cause.OtherServer, to, OriginState.Unknown);
    });
  }

  #takeTriggerKey(frame: Frame<'support'>): void {
    const id = toHex(frame.triggerKeyId);
    if (!this.#secret || this.#triggerKeys.some((known) => known.id === id)) return;
    this.#crypto.ask({ op: 'unmaskTriggerKey', secret: this.#secret, keyId: frame.triggerKeyId, masked: frame.triggerKey }, ({ key }) => {
      this.#triggerKeys = [{ id, key }, ...this.#triggerKeys].slice(0, 2);
    });
  }

  #beginMigration(now: number, cause: Cause, target: Candidate | undefined, originState: OriginState): void {
    const attachment = this.#attachment;
    assert(attachment !== undefined, 'a migration needs a session');
    const mustSucceed = this.#state === 'recovering';
    if (!mustSucceed) this.#setState('migrate');
    const from = attachment.server;
    const unplanned = cause === Cause.CarrierLost || cause === Cause.Stall;
    this.#starts += 1;
    this.#attempt = new Attempt({
      cause,
      from,
      target,
      now,
      detectMs: unplanned ? now - this.#vitals.lastAliveAt : 0,
      mustSucceed,
      originState,
      host: this.#raceHost,
      staggerMs: this.#config.timers.raceStaggerMs,
      order: this.#order(from, target, originState === OriginState.Dead, !mustSucceed),
    });
    this.#migrationTimes.push(now);
    this.#events.push({ type: 'migrating', cause: CAUSE_NAME[cause], from: from.name, to: target?.name });
    this.#attempt.race.advance(now);
    this.#advance(now);
  }

  #order(from: Candidate, target: Candidate | undefined, originDead: boolean, planned: boolean): Candidate[] {
    const order = orderCandidates({
      servers: this.#servers,
      from,
      target,
      originDead,
      hasStandby: (candidate) => this.#standbys.has(`${candidate.host}:${candidate.port}`),
      start: (this.sessionId[0] as number) + this.#starts,
    });
    // A planned migration without a target means "elsewhere"; only a stall may end on a fresh carrier to the same server.
    return planned && order.length > 1 ? order.filter((candidate) => !sameAddress(candidate, from)) : order;
  }

  /** Does whatever can be done next: use a carrier that is ready, or give up, or try again later. */
  #advance(now: number): void {
    if (this.#opening) {
      this.#advanceOpening(now, this.#opening);
      return;
    }
    const attempt = this.#attempt;
    if (!attempt || attempt.outstanding || attempt.detaching) return;
    const ready = attempt.race.take(false);
    if (ready) {
      this.#sendMigrate(now, attempt, ready, false);
      return;
    }
    this.#armRace(attempt.race);
    if (!attempt.race.isExhausted) {
      // A carrier that connects but never answers the preface must not hold the session up.
      this.#timers.start('attach', now + this.#config.timers.attachTimeoutMs);
      return;
    }
    this.#timers.cancel('attach');
    if (!attempt.mustSucceed) this.#giveBack(now, attempt);
    else if (!this.#timers.has('retry')) {
      const { retryMinMs, retryMaxMs, giveUpSingleServerMs } = this.#config.timers;
      // A single server gets little time to come back: the pauses between two looks must not use it up.
      const longest = this.#servers.length < 2 ? Math.min(retryMaxMs, giveUpSingleServerMs / 10) : retryMaxMs;
      const pause = Math.min(longest, retryMinMs * 2 ** Math.min(attempt.rounds, 16));
      attempt.rounds += 1;
      this.#timers.set('retry', now + pause);
    }
  }

  #advanceOpening(now: number, opening: { race: CandidateRace; used: ReadyCarrier | undefined; failure: Failure | undefined }): void {
    if (opening.used) return;
    const ready = opening.race.take(true);
    if (ready) this.#sendOpen(now, ready);
    else if (opening.race.isExhausted) this.#close(opening.race.lastFailure ?? opening.failure ?? { code: 'ECONNREFUSED', message: 'no server answered' });
    else this.#armRace(opening.race);
  }

  #armRace(race: CandidateRace): void {
    if (race.nextAt !== undefined) this.#timers.set('race', race.nextAt);
    else this.#timers.cancel('race');
  }

  #sendMigrate(now: number, attempt: Attempt, ready: ReadyCarrier, inBand: boolean): void {
    const challenge = ready.challenge;
    assert(challenge !== undefined && this.#secret !== undefined, 'MIGRATE needs a challenge');
    this.#epoch += 1;
    const attachId = this.#config.random(ATTACH_ID_BYTES);
    const outstanding = attempt.expect(ready, this.#epoch, attachId, inBand, now);
    if (attempt.originState === OriginState.Unknown && challenge.serverName !== attempt.from.name) attempt.mayHaveFrozen = true;
    const payload = encodePayload('migrate', {
      service: this.#config.service,
      ...this.#streams.position(),
      epoch: this.#epoch,
      attachId,
      origin: attempt.from.name,
      originState: attempt.originState,
      cause: attempt.cause,
      budgetMs: this.#config.timers.attachTimeoutMs,
      mac: NO_MAC,
    });
    this.#timers.cancel('race');
    this.#timers.set('attach', now + this.#config.timers.attachTimeoutMs);
    const data = [new TextEncoder().encode(challenge.serverName), challenge.nonce, macedPart(payload)];
    this.#crypto.ask({ op: 'mac', secret: this.#secret, label: 'migrate', data }, ({ mac }) => {
      if (this.#attempt?.outstanding !== outstanding) return;
      outstanding.sent = true;
      this.#queue(ready.carrierId, framePayload('migrate', withMac(payload, mac)));
    });
  }

  /** Frames on the carrier of an outstanding attach. Answers false for those that belong to the session itself. */
  #handleAttachFrame(now: number, carrierId: number, frame: Frame): boolean {
    const attempt = this.#attempt as Attempt;
    const outstanding = attempt.outstanding as Outstanding;
    switch (frame.frame) {
      case 'progress':
        if (frame.epoch === outstanding.epoch && outstanding.extensionsLeft > 0) {
          outstanding.extensionsLeft -= 1;
          this.#timers.set('attach', now + this.#config.timers.attachTimeoutMs);
        }
        return true;
      case 'needBody':
        if (frame.epoch === outstanding.epoch) for (const body of this.#streams.bodyFrames(outstanding.epoch)) this.#queue(carrierId, body);
        return true;
      case 'refuse':
        if (frame.epoch !== outstanding.epoch && frame.epoch !== 0) return true;
        this.#refused(now, attempt, outstanding, frame);
        return true;
      case 'accept':
        if (frame.epoch !== outstanding.epoch) return true;
        this.#verified(carrierId, 'accept', frame, [outstanding.attachId], () => {
          if (this.#attempt?.outstanding === outstanding) this.#accepted(this.#now, attempt, outstanding, frame);
        });
        return true;
      default:
        if (outstanding.inBand) return false;
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before ACCEPT`);
    }
  }

  #refused(now: number, attempt: Attempt, outstanding: Outstanding, frame: Frame<'refuse'>): void {
    const failure = { code: errorCodeOf(frame.code), message: frame.message };
    attempt.lastFailure = failure;
    if (frame.code === WireCode.OriginUnreachable && !outstanding.inBand) {
      attempt.outstanding = undefined;
      this.#hangUp(outstanding.ready.carrierId);
      this.#originUnreachable(now, attempt, outstanding.ready.candidate);
      return;
    }
    if (frame.code === WireCode.Unprotected) attempt.verdict = failure;
    if (!frame.tryElsewhere && attempt.mustSucceed) {
      this.#close(this.#destroyed && frame.code === WireCode.SessionEnded ? undefined : failure);
      return;
    }
    this.#attachFailed(now, failure);
    this.#advance(now);
  }

  /** The destination can't reach the origin. If we can, it hands the session to us; if not, our ticket must do. */
  #originUnreachable(now: number, attempt: Attempt, candidate: Candidate): void {
    if (!this.#attachment || attempt.mustSucceed || !this.#secret) {
      attempt.originState = OriginState.Dead;
      attempt.race.again(candidate);
      attempt.race.advance(now);
      this.#advance(now);
      return;
    }
    attempt.detaching = candidate;
    this.#attachment.suspended = true;
    this.#epoch += 1;
    this.#timers.cancel('attach');
    this.#timers.set('detach', now + this.#config.timers.detachTimeoutMs);
    this.#sendMaced(this.#attachment.carrierId, 'detach', encodePayload('detach', { epoch: this.#epoch, mac: NO_MAC }), 'detach');
  }

  #handleDetached(now: number): void {
    const attempt = this.#attempt;
    if (!attempt?.detaching) return;
    this.#timers.cancel('detach');
    attempt.originState = OriginState.Detached;
    attempt.race.again(attempt.detaching);
    attempt.detaching = undefined;
    attempt.race.advance(now);
    this.#advance(now);
  }

  #accepted(now: number, attempt: Attempt, outstanding: Outstanding, accept: Frame<'accept'>): void {
    const resumed = accept.source === Source.Resume;
    const objection = this.#streams.objection(accept, resumed);
    if (objection !== undefined) {
      this.#attachFailed(now, { code: 'ERR_GODWIT_STALE_POINT', message: objection });
      attempt.objections += 1;
      if (attempt.objections <= MAX_OBJECTIONS) {
        attempt.race.again(outstanding.ready.candidate);
        attempt.race.advance(now);
      }
      this.#advance(now);
      return;
    }
    const old = this.#attachment;
    if (old && old.carrierId !== outstanding.ready.carrierId) this.#hangUp(old.carrierId);
    this.#setState('accept');
    this.#attempt = undefined;
    this.#lostBecause = undefined;
    attempt.race.end();
    this.#streams.adopt(accept, resumed);
    const server = { ...outstanding.ready.candidate, name: outstanding.ready.challenge?.serverName ?? '' };
    this.#attachment = { carrierId: outstanding.ready.carrierId, epoch: accept.epoch, server, challenge: outstanding.ready.challenge, suspended: false };
    for (const timer of ['attach', 'race', 'retry', 'giveUp', 'detach'] as const) this.#timers.cancel(timer);
    const confirm = encodePayload('confirm', { epoch: accept.epoch, attachId: accept.attachId, mac: NO_MAC });
    this.#sendMaced(outstanding.ready.carrierId, 'confirm', confirm, 'confirm', [accept.payload]);
    this.#ackNow = true;
    this.#closeSent = false;
    this.#vitals.attached(now);
    this.#armDetect(now);
    const report = {
      cause: attempt.causeName,
      from: attempt.from.name,
      to: server.name,
      source: SOURCE_NAME[accept.source as Source] ?? 'ticket',
      epoch: accept.epoch,
      attempts: attempt.attempts,
      phases: { detect: attempt.detectMs, connect: outstanding.sentAt - attempt.startedAt, attach: now - outstanding.sentAt, firstByte: undefined },
      blackoutMs: undefined,
    };
    if (!outstanding.inBand) {
      this.#report = report;
      this.#reportAcceptedAt = now;
      this.#events.push({ type: 'migrated', report });
    }
    if (this.#pendingReset) this.#sendReset();
  }

  /** The MIGRATE that is out came to nothing. */
  #attachFailed(now: number, failure: Failure): void {
    const attempt = this.#attempt;
    const outstanding = attempt?.outstanding;
    if (!attempt || !outstanding) return;
    attempt.outstanding = undefined;
    attempt.lastFailure = failure;
    attempt.race.note(failure);
    this.#timers.cancel('attach');
    if (outstanding.inBand) {
      // Even the origin does not take the session back: its carrier is of no more use.
      this.#hangUp(outstanding.ready.carrierId);
      this.#attachmentLost(now, { ...failure, reset: false });
      return;
    }
    this.#hangUp(outstanding.ready.carrierId);
    attempt.race.advance(now);
  }

  /** A planned migration failed: the session stays at its origin, which may have been frozen meanwhile (invariant I6). */
  #giveBack(now: number, attempt: Attempt): void {
    attempt.race.end();
    this.#attempt = undefined;
    this.#timers.cancel('race');
    this.#timers.cancel('attach');
    this.#timers.cancel('retry');
    this.#setState('giveBack');
    const failure = attempt.lastFailure ?? attempt.race.lastFailure ?? { code: 'ERR_GODWIT_NO_SERVER', message: 'no other server could be reached' };
    this.#events.push({ type: 'migrationFailed', cause: attempt.causeName, failure });
    this.#armDetect(now);
    if (attempt.mayHaveFrozen || this.#attachment?.suspended) this.#thaw(now);
  }

  /** In-band MIGRATE: only an authenticated attach with a higher epoch thaws a frozen origin. */
  #thaw(now: number): void {
    const attachment = this.#attachment;
    if (!attachment?.challenge) return;
    this.#setState('migrate');
    attachment.suspended = true;
    const attempt = new Attempt({
      cause: Cause.Application,
      from: attachment.server,
      target: attachment.server,
      now,
      detectMs: 0,
      mustSucceed: false,
      originState: OriginState.Unknown,
      host: this.#raceHost,
      staggerMs: this.#config.timers.raceStaggerMs,
      order: [],
    });
    this.#attempt = attempt;
    this.#sendMigrate(now, attempt, { carrierId: attachment.carrierId, candidate: attachment.server, challenge: attachment.challenge }, true);
  }

  #attachmentLost(now: number, failure: CarrierFailure): void {
    const attachment = this.#attachment;
    if (!attachment) return;
    this.#lostBecause = failure;
    this.#timers.cancel('ack');
    this.#timers.cancel('detect');
    this.#outbox.delete(attachment.carrierId);
    if (this.#closeSent && this.#streams.send.acknowledged >= this.#streams.send.next) {
      this.#close(undefined);
      return;
    }
    const single = this.#servers.length < 2;
    this.#timers.start('giveUp', now + (single ? this.#config.timers.giveUpSingleServerMs : this.#config.timers.giveUpTimeoutMs));
    const attempt = this.#attempt;
    this.#setState('carrierLost');
    if (attempt) {
      attempt.mustSucceed = true;
      if (failure.reset) attempt.originState = OriginState.Dead;
      if (attempt.detaching) {
        attempt.race.again(attempt.detaching);
        attempt.detaching = undefined;
        this.#timers.cancel('detach');
      }
      if (attempt.outstanding?.inBand) {
        attempt.outstanding = undefined;
        this.#timers.cancel('attach');
      }
      if (attempt.race.isExhausted && !attempt.outstanding) this.#newRound(now, attempt);
      return;
    }
    this.#beginMigration(now, Cause.CarrierLost, undefined, failure.reset ? OriginState.Dead : OriginState.Unknown);
  }

  #newRound(now: number, attempt: Attempt): void {
    attempt.race.end();
    attempt.race = new CandidateRace(
      this.#raceHost,
      this.#config.timers.raceStaggerMs,
      this.#order(attempt.from, attempt.rounds === 0 ? attempt.target : undefined, attempt.originState === OriginState.Dead, false),
    );
    attempt.race.advance(now);
    this.#advance(now);
  }

  // --- time ------------------------------------------------------------------------------------------------------

  handleTimeout(now: number): void {
    this.#now = now;
    for (let timer = this.#timers.takeDue(now); timer !== undefined; timer = this.#timers.takeDue(now)) this.#handleTimer(now, timer);
  }

  #handleTimer(now: number, timer: Timer): void {
    const attempt = this.#attempt;
    switch (timer) {
      case 'race': {
        const race = this.#race;
        if (!race || this.#opening?.used || attempt?.outstanding) return;
        race.advance(now);
        this.#armRace(race);
        return;
      }
      case 'attach': {
        const failure = { code: 'ETIMEDOUT', message: 'the server did not answer in time', reset: false };
        if (this.#opening?.used) this.#openFailed(now, failure);
        else if (attempt?.outstanding) {
          this.#attachFailed(now, failure);
          this.#advance(now);
        } else if (attempt) {
          attempt.race.end();
          attempt.race.note(failure);
          this.#advance(now);
        }
        return;
      }
      case 'detach':
        // Silence: the origin is as good as dead, and the older ticket must do (protocol.md §10.7).
        if (!attempt?.detaching) return;
        attempt.originState = OriginState.Dead;
        attempt.race.again(attempt.detaching);
        attempt.detaching = undefined;
        attempt.race.advance(now);
        this.#advance(now);
        return;
      case 'retry':
        if (attempt) this.#newRound(now, attempt);
        return;
      case 'giveUp':
        this.#giveUp();
        return;
      case 'ack':
        if (this.#streams.receive.ackPending) this.#ackNow = true;
        return;
      case 'detect':
        this.#detect(now);
        return;
      case 'linger':
        this.#close(this.#failure);
        return;
    }
  }

  #giveUp(): void {
    const done = this.#streams.receive.finReceived && this.#streams.send.finished && this.#streams.send.acknowledged >= this.#streams.send.next;
    const because = this.#lostBecause;
    const last = this.#attempt?.lastFailure;
    const verdict = this.#attempt?.verdict;
    this.#close(
      done || this.#destroyed
        ? undefined
        : verdict ?? { code: because?.code ?? 'ECONNRESET', message: `${because?.message ?? 'the server is gone'}; no server took the session over${last ? ` (last: ${last.code} ${last.message})` : ''}` },
    );
  }

  #armDetect(now: number): void {
    this.#timers.set('detect', now + this.#vitals.nextLookMs(this.#config.timers));
  }

  #detect(now: number): void {
    const attachment = this.#attachment;
    if (!attachment || this.#state !== 'attached') return;
    const token = this.#vitals.probe(now, this.#config.timers, this.#streams);
    if (token !== undefined) this.#queue(attachment.carrierId, encodeFrame('ping', { token }));
    const cause = this.#vitals.check(now, this.#streams);
    if (cause !== undefined && this.#withinBudget(now) && !this.#destroyed) {
      this.#beginMigration(now, cause, undefined, OriginState.Unknown);
      return;
    }
    if (this.#vitals.isQuiet(now, SHRINK_AFTER_MS)) this.#streams.shrink();
    this.#armDetect(now);
  }

  /** Hysteresis: detectors may move a session only so often, and each time they wait longer. */
  #withinBudget(now: number): boolean {
    this.#migrationTimes = this.#migrationTimes.filter((at) => now - at < this.#config.timers.migrationBudgetMs);
    const recent = this.#migrationTimes.length;
    const last = this.#migrationTimes[recent - 1];
    if (recent >= this.#config.limits.migrationBudget) return false;
    return last === undefined || now - last >= 250 * 2 ** recent;
  }

  pollTimeout(): number | undefined {
    return this.#timers.earliest;
  }

  // --- out -------------------------------------------------------------------------------------------------------

  pollEvent(): ClientEvent | undefined {
    return this.#events.shift();
  }

  pollTransmit(now: number): Transmit | undefined {
    for (const [carrierId, control] of this.#outbox) {
      if (this.#unwritable.has(carrierId)) continue;
      const isCurrent = this.#attachment?.carrierId === carrierId;
      const isOpening = this.#opening?.used?.carrierId === carrierId;
      if (control.length === 0 && !isCurrent && !isOpening) continue;
      const parts = control.splice(0);
      if (isCurrent && !(this.#attachment as Attachment).suspended) this.#transmitStreams(now, carrierId, parts);
      else if (isOpening && !this.#destroyed) this.#streams.send.transmit(parts, INITIAL_CREDIT_BYTES);
      if (parts.length > 0) return { carrierId, parts };
    }
    return undefined;
  }

  #transmitStreams(now: number, carrierId: number, parts: Uint8Array[]): void {
    const { send, receive } = this.#streams;
    if (this.#pendingReset) return;
    if (receive.ackPending && (this.#ackNow || parts.length > 0 || send.canTransmit)) {
      parts.push(encodeFrame('ack', receive.takeAck()));
      this.#ackNow = false;
      this.#timers.cancel('ack');
    }
    if (send.canTransmit) {
      const before = send.unsentBytes;
      send.transmit(parts, MAX_TRANSMIT_BYTES);
      this.#vitals.outstanding(now, this.#streams);
      if (before !== send.unsentBytes) this.#checkDrain();
    }
    if (this.#destroyed && !this.#closeSent && send.sent === send.next) this.#sendClose(carrierId);
  }

  #sendClose(carrierId: number): void {
    // Both streams ended in order: the server's CLOSE will say when its application has consumed everything.
    if (this.#streams.receive.finReceived && this.#endedInOrder) return;
    this.#closeSent = true;
    const payload = encodePayload('close', { epoch: this.epoch, final: this.#streams.send.next, mac: NO_MAC });
    this.#sendMaced(carrierId, 'close', payload, 'close-client');
  }
  /** The application ended its input itself, before it let go of its socket. */
  #endedInOrder = false;

  #sendReset(): void {
    const reset = this.#pendingReset;
    if (!reset || !this.#attachment || !this.#secret) return;
    const payload = encodePayload('reset', { epoch: this.epoch, code: reset.code, message: reset.message, mac: NO_MAC });
    this.#sendMaced(this.#attachment.carrierId, 'reset', payload, 'reset-client', [], () => {
      if (this.#failure) this.#close(this.#failure); // the peer erred: there is no point in waiting for its answer
    });
  }

  #queue(carrierId: number, frame: Uint8Array): void {
    this.#outbox.get(carrierId)?.push(frame);
  }

  #sendMaced(
    carrierId: number,
    name: FrameName,
    payload: Uint8Array,
    label: MacLabel,
    context: readonly Uint8Array[] = [],
    then?: () => void,
  ): void {
    assert(this.#secret !== undefined, 'a MAC needs the session secret');
    this.#crypto.ask({ op: 'mac', secret: this.#secret, label, data: [...context, macedPart(payload)] }, ({ mac }) => {
      this.#queue(carrierId, framePayload(name, withMac(payload, mac)));
      then?.();
    });
  }

  /** Runs `then` once the frame's MAC was verified; meanwhile the carrier is busy. A bad MAC is the peer's fault. */
  #verified(carrierId: number, label: MacLabel, frame: Frame & { readonly mac: Uint8Array }, context: readonly Uint8Array[], then: () => void): void {
    assert(this.#secret !== undefined, 'a MAC needs the session secret');
    this.#busy.add(carrierId);
    const data = [...context, macedPart(frame.payload)];
    this.#crypto.ask({ op: 'verify', secret: this.#secret, label, data, mac: frame.mac }, ({ ok }) => {
      this.#busy.delete(carrierId);
      if (!this.#outbox.has(carrierId)) return;
      try {
        if (!ok) throw new ProtocolError(WireCode.Unauthenticated, `${frame.frame.toUpperCase()} with a wrong MAC`);
        then();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.handleCarrierError(this.#now, carrierId, error);
      }
    });
  }

  #hangUp(carrierId: number, forget = true): void {
    const last = this.#outbox.get(carrierId);
    if (!last) return;
    if (forget) this.#outbox.delete(carrierId);
    this.#unwritable.delete(carrierId);
    this.#busy.delete(carrierId);
    this.#events.push({ type: 'hangUp', carrierId, last });
  }

  #setState(event: ClientTransition): void {
    this.#state = nextState(CLIENT_TRANSITIONS, this.#state, event);
  }

  /** What is queued (CLOSE_ACK, RESET_ACK) still goes out before the carriers are hung up. */
  #close(failure: Failure | undefined): void {
    if (this.#state === 'closed') return;
    this.#setState('close');
    this.#timers.clear();
    this.#opening?.race.end();
    this.#attempt?.race.end();
    const carriers = [this.#opening?.used?.carrierId, this.#attempt?.outstanding?.ready.carrierId, this.#attachment?.carrierId];
    this.#opening = undefined;
    this.#attempt = undefined;
    for (const carrierId of carriers) if (carrierId !== undefined) this.#hangUp(carrierId);
    this.#crypto.clear();
    this.#events.push({ type: 'closed', failure });
  }

  // --- standby ---------------------------------------------------------------------------------------------------

  /** The STANDBY frame that makes a carrier with this challenge a standby; undefined when the session can't prove itself. */
  standbyProof(challenge: Challenge, then: (frame: Uint8Array | undefined) => void): void {
    const ticket = this.#streams.tickets.held;
    if (!ticket || !this.#secret || this.#state === 'closed') {
      then(undefined);
      return;
    }
    const payload = encodePayload('standby', { service: this.#config.service, head: ticket.head, mac: NO_MAC });
    const data = [new TextEncoder().encode(challenge.serverName), challenge.nonce, macedPart(payload)];
    this.#crypto.ask({ op: 'mac', secret: this.#secret, label: 'standby', data }, ({ mac }) => {
      then(framePayload('standby', withMac(payload, mac)));
    });
  }

  /** For logs: session id in hexadecimal. */
  get id(): string {
    return toHex(this.sessionId);
  }
}
