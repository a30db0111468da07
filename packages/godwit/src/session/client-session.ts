/**
 * The client end of a session, sans I/O (protocol.md §10). The sole initiator of migrations (paper §3.1). Here are what the
 * application and the driver call, and the timers; `client-core.ts` says which parts do the rest.
 *
 * Contract: feed every event through a `handle…` method or one of the application's methods; then call `pollEvent` until
 * it answers undefined, `pollTransmit` (once a tick is enough) until it answers undefined, and `handleTimeout` at
 * `pollTimeout`. Frames of a carrier for which `isBusy` answers true wait. `now` is milliseconds of a monotonic clock.
 */
import {
  NO_MAC,
  OriginState,
  ProtocolError,
  WireCode,
  encodeFrame,
  encodePayload,
  errorCodeOf,
  framePayload,
  macedPart,
  toHex,
  withMac,
  type Cause,
  type Delivery,
  type Frame,
} from '../wire/index.ts';
import { pongTo } from './answers.ts';
import { challengeOf, type Challenge, type ReadyCarrier } from './candidate-race.ts';
import { ClientCore, type ClientSessionConfig, type Timer } from './client-core.ts';
import type { Candidate, CarrierFailure, ClientEvent, Failure, Incoming, Transmit } from './client-events.ts';
import { ClientFrames } from './client-frames.ts';
import { Migration } from './client-migration.ts';
import { Opening } from './client-opening.ts';
import { ClientOutput } from './client-output.ts';
import type { ClientState } from './client-state.ts';
import type { ClientStreams } from './client-streams.ts';
import { Triggers } from './client-triggers.ts';
import type { CryptoResult } from './crypto.ts';

/** A session that has been quiet for so long gives the memory of its buffers back, in ms. */
const SHRINK_AFTER_MS = 1000;
/** A carrier that was silent for so many times `pingIdleMs` is taken for broken, as servers do. */
const SILENT_PINGS = 3;

export class ClientSession {
  readonly sessionId: Uint8Array;
  readonly #core: ClientCore;
  readonly #opening: Opening;
  readonly #migration: Migration;
  readonly #triggers: Triggers;
  readonly #frames: ClientFrames;
  readonly #output: ClientOutput;

  constructor(config: ClientSessionConfig, now: number) {
    this.sessionId = config.sessionId;
    const core = new ClientCore(config, now, (at, carrierId, error) => {
      this.handleCarrierError(at, carrierId, error);
    });
    this.#core = core;
    this.#migration = new Migration(core);
    this.#triggers = new Triggers(core, this.#migration);
    this.#frames = new ClientFrames(core, this.#migration, this.#triggers, now);
    this.#output = new ClientOutput(core);
    this.#opening = new Opening(core, this.#triggers, now);
  }

  // --- what the application sees ---------------------------------------------------------------------------------

  get state(): ClientState {
    return this.#core.state;
  }
  get epoch(): number {
    return this.#core.epoch;
  }
  /** The server the session lives on, or lived on last. */
  get server(): Candidate | undefined {
    return this.#core.attachment?.server ?? this.#core.attempt?.from;
  }
  get serverName(): string {
    return this.server?.name ?? '';
  }
  /** The carrier the session lives on at present. */
  get carrierId(): number | undefined {
    return this.#core.attachment?.carrierId;
  }
  get servers(): readonly Candidate[] {
    return this.#core.servers;
  }
  get delivery(): Delivery {
    return this.#core.streams.delivery;
  }
  get isProtected(): boolean {
    return this.#core.streams.isProtected;
  }
  get isMigrating(): boolean {
    return this.#core.attempt !== undefined;
  }
  /** Input bytes written but not on any carrier yet. */
  get bytesUnsent(): number {
    return this.#core.streams.send.unsentBytes;
  }
  /** @internal For what looks at a session from outside and changes nothing. */
  get streams(): ClientStreams {
    return this.#core.streams;
  }
  /** Input bytes kept for a restore. */
  get bytesRetained(): number {
    return this.#core.streams.send.retainedBytes;
  }
  /** Smoothed round-trip time in ms, or undefined before the first measurement. */
  get roundTripMs(): number | undefined {
    return this.#core.vitals.roundTripMs;
  }
  get wantsWrite(): boolean {
    const wants = this.#core.streams.wantsWrite;
    if (!wants) this.#core.drainWanted = true;
    return wants;
  }

  /** Takes input; the bytes are copied. */
  write(now: number, bytes: Uint8Array): void {
    if (this.#core.state === 'closed' || this.#core.destroyed) return;
    this.#core.streams.send.append(bytes);
    this.#core.wake(now, true);
  }

  /** No more input: FIN. */
  end(now: number): void {
    if (this.#core.state === 'closed' || this.#core.streams.send.finished) return;
    this.#core.streams.send.finish();
    this.#core.wake(now, true);
  }

  /** The next output, `'end'` once after the FIN, or undefined. Works after `closed` too. */
  read(): Uint8Array | 'end' | undefined {
    return this.#core.streams.receive.read();
  }

  /** The application took so many bytes out of its stream: the server may send as many more. */
  consumed(now: number, bytes: number): void {
    if (this.#core.destroyed || this.#core.state === 'closed') return;
    this.#core.streams.receive.consume(bytes);
    this.#acknowledge(now);
  }

  /** The server may have waited for what was just granted. */
  #acknowledge(now: number): void {
    const { receive } = this.#core.streams;
    if (receive.ackDue) this.#core.ackNow = true;
    else if (receive.ackPending) this.#core.timers.start('ack', now + this.#core.config.timers.ackDelayMs);
  }

  /** The application is gone: what it wrote still goes out, then the session ends. */
  destroy(now: number): void {
    if (this.#core.state === 'closed' || this.#core.destroyed) return;
    this.#core.destroyed = true;
    this.#core.endedInOrder = this.#core.streams.send.finished;
    this.#core.streams.send.finish();
    this.#core.streams.discard();
    this.#acknowledge(now);
    if (this.#core.state === 'opening' && !this.#core.opening?.used) {
      this.#core.close(undefined);
      return;
    }
    this.#core.timers.set('linger', now + this.#core.config.timers.lingerMs);
  }

  /** Ends the session at once; the server's application gets ECONNRESET. */
  reset(now: number, code: WireCode = WireCode.Reset, message = 'reset by the client'): void {
    if (this.#core.state === 'closed' || this.#core.pendingReset) return;
    this.#core.destroyed = true;
    this.#core.streams.discard();
    this.#core.pendingReset = { code, message };
    this.#core.timers.set('linger', now + this.#core.config.timers.lingerMs);
    if (this.#core.state === 'opening' && !this.#core.opening?.used) this.#core.close(undefined);
    else this.#core.sendReset();
  }

  /** Asks for a migration; without `to` the session picks a server other than the present one. Ignored unless attached. */
  migrate(now: number, options: { to?: Candidate | undefined; cause: Cause }): boolean {
    if (this.#core.state !== 'attached' || this.#core.destroyed) return false;
    this.#migration.begin(now, options.cause, options.to, OriginState.Unknown);
    return true;
  }

  // --- carriers --------------------------------------------------------------------------------------------------

  /** A carrier is set up: with the challenge of a standby, and with the exporter of TLS, where there is one. */
  handleConnected(
    now: number,
    dialId: number,
    carrierId: number,
    challenge?: Challenge,
    exporter?: Uint8Array,
  ): void {
    const race = this.#core.race;
    const ready = race?.handleConnected(dialId, carrierId, challenge, exporter);
    if (!ready) {
      this.#core.events.push({ type: 'hangUp', carrierId, last: [] });
      return;
    }
    this.#core.outbox.set(carrierId, []);
    if (ready.mustProve) this.#core.queue(carrierId, encodeFrame('ping', { token: 0 }));
    this.#advance(now);
  }

  handleDialFailed(now: number, dialId: number, failure: Failure & Partial<CarrierFailure>): void {
    if (!this.#core.race?.handleFailed(now, dialId, failure)) return;
    this.#advance(now);
  }

  handleCarrierLost(now: number, carrierId: number, failure: CarrierFailure): void {
    if (!this.#core.outbox.delete(carrierId)) return;
    this.#core.unwritable.delete(carrierId);
    this.#core.busy.delete(carrierId);
    if (this.#core.opening?.used?.carrierId === carrierId) {
      this.#opening.failed(now, failure);
      return;
    }
    if (
      this.#core.attempt?.outstanding?.ready.carrierId === carrierId &&
      !this.#core.attempt.outstanding.inBand
    ) {
      this.#migration.attachFailed(now, failure);
    } else this.#core.race?.handleLost(now, carrierId, failure);
    if (this.#core.attachment?.carrierId === carrierId) this.#migration.attachmentLost(now, failure);
    this.#advance(now);
  }

  setWritable(carrierId: number, writable: boolean): void {
    if (writable) this.#core.unwritable.delete(carrierId);
    else this.#core.unwritable.add(carrierId);
  }

  isBusy(carrierId: number): boolean {
    return this.#core.busy.has(carrierId);
  }

  handleCrypto(now: number, id: number, result: CryptoResult): void {
    this.#core.now = now;
    this.#core.crypto.answer(id, result);
  }

  handleFrame(now: number, carrierId: number, frame: Incoming): void {
    if (!this.#core.outbox.has(carrierId)) return; // invariant I2: a carrier that was left behind
    this.#core.now = now;
    try {
      this.#dispatch(now, carrierId, frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.handleCarrierError(now, carrierId, error);
    }
  }

  /** The peer erred on this carrier: its fault ends the session it attaches, or the attempt, and nothing else. */
  handleCarrierError(now: number, carrierId: number, error: ProtocolError): void {
    if (!this.#core.outbox.has(carrierId)) return;
    const failure = { code: error.code, message: error.message, reset: false };
    if (this.#core.attachment?.carrierId === carrierId) {
      this.#core.failure = failure;
      this.reset(now, error.wireCode, error.message);
      return;
    }
    this.#core.hangUp(carrierId, false);
    this.handleCarrierLost(now, carrierId, failure);
  }

  /** Does whatever can be done next: use a carrier that is ready, or give up, or try again later. */
  #advance(now: number): void {
    if (this.#core.opening) this.#opening.advance(now);
    else this.#migration.advance(now);
  }

  // --- frames ----------------------------------------------------------------------------------------------------

  #dispatch(now: number, carrierId: number, frame: Incoming): void {
    const isCurrent = this.#core.attachment?.carrierId === carrierId;
    if (isCurrent) this.#core.vitals.alive(now);
    if (frame.frame === 'data') {
      if (!isCurrent) throw new ProtocolError(WireCode.Protocol, 'DATA on a carrier that is not attached');
      this.#frames.handleData(now, frame.bytes);
      return;
    }
    if (frame.frame === 'challenge') {
      this.#handleChallenge(now, carrierId, frame);
      return;
    }
    const waiting = this.#core.race?.find(carrierId);
    if (waiting) {
      this.#handleEarlyFrame(now, waiting, frame);
      return;
    }
    if (this.#core.opening?.used?.carrierId === carrierId) {
      if (frame.frame === 'support') this.#opening.handleSupport(carrierId, frame);
      else if (frame.frame === 'snapshot') this.#core.streams.tickets.accept(frame);
      else if (frame.frame === 'refuse')
        this.#opening.failed(
          now,
          { code: errorCodeOf(frame.code), message: frame.message, reset: false },
          frame.tryElsewhere,
        );
      else throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before SUPPORT`);
      return;
    }
    if (
      this.#core.attempt?.outstanding?.ready.carrierId === carrierId &&
      this.#migration.handleAttachFrame(now, carrierId, frame)
    )
      return;
    if (!isCurrent)
      throw new ProtocolError(
        WireCode.Protocol,
        `${frame.frame.toUpperCase()} on a carrier that is not attached`,
      );
    this.#frames.handle(now, carrierId, frame);
  }

  /** On a carrier that is ready, and not used: what it may carry as a standby. */
  #handleEarlyFrame(now: number, ready: ReadyCarrier, frame: Frame): void {
    if (frame.frame === 'ping')
      this.#core.queue(ready.carrierId, pongTo(frame, this.#core.unsentFrames(ready.carrierId)));
    else if (frame.frame !== 'pong')
      throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before MIGRATE`);
    else if (ready.mustProve) {
      ready.mustProve = false;
      this.#advance(now);
    }
  }

  #handleChallenge(now: number, carrierId: number, frame: Frame<'challenge'>): void {
    const challenge = challengeOf(frame);
    const ready =
      this.#core.opening?.used?.carrierId === carrierId
        ? this.#core.opening.used
        : this.#core.race?.find(carrierId);
    const { attachment } = this.#core;
    const challenged = ready ?? (attachment?.carrierId === carrierId ? attachment : undefined);
    if (!challenged || challenged.challenge) throw new ProtocolError(WireCode.Protocol, 'a second CHALLENGE');
    challenged.challenge = challenge;
    this.#advance(now);
  }

  /** A TRIGGER for this session, in-band or over a standby (paper §3.1, protocol.md §5.10). */
  handleTrigger(now: number, frame: Frame<'trigger'>): void {
    this.#triggers.handle(now, frame);
  }

  // --- time ------------------------------------------------------------------------------------------------------

  handleTimeout(now: number): void {
    this.#core.now = now;
    for (
      let timer = this.#core.timers.takeDue(now);
      timer !== undefined;
      timer = this.#core.timers.takeDue(now)
    )
      this.#handleTimer(now, timer);
  }

  #handleTimer(now: number, timer: Timer): void {
    const attempt = this.#core.attempt;
    switch (timer) {
      case 'race': {
        const race = this.#core.race;
        if (!race || this.#core.opening?.used || attempt?.outstanding) return;
        race.advance(now);
        this.#core.armRace(race);
        return;
      }
      case 'attach': {
        const failure = { code: 'ETIMEDOUT', message: 'the server did not answer in time', reset: false };
        if (this.#core.opening?.used) this.#opening.failed(now, failure);
        else if (attempt?.outstanding) {
          this.#migration.attachFailed(now, failure);
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
        if (attempt) this.#migration.newRound(now, attempt);
        return;
      case 'giveUp':
        this.#giveUp();
        return;
      case 'ack':
        if (this.#core.isAckPending) this.#core.ackNow = true;
        return;
      case 'detect':
        this.#detect(now);
        return;
      case 'linger':
        this.#core.close(this.#core.failure);
        return;
    }
  }

  #giveUp(): void {
    const done =
      this.#core.streams.isOutputComplete &&
      this.#core.streams.send.finished &&
      this.#core.streams.send.acknowledged >= this.#core.streams.send.next;
    const because = this.#core.lostBecause;
    const last = this.#core.attempt?.lastFailure;
    const verdict = this.#core.attempt?.verdict;
    this.#core.close(
      done || this.#core.destroyed
        ? undefined
        : (verdict ?? {
            code: because?.code ?? 'ECONNRESET',
            message: `${because?.message ?? 'the server is gone'}; no server took the session over${last ? ` (last: ${last.code} ${last.message})` : ''}`,
          }),
    );
  }

  #detect(now: number): void {
    const attachment = this.#core.attachment;
    if (!attachment || this.#core.state !== 'attached') return;
    if (this.#core.vitals.isSilent(now, SILENT_PINGS * this.#core.config.timers.pingIdleMs)) {
      this.#core.hangUp(attachment.carrierId, false);
      const message = `nothing came from ${attachment.server.name}, not even an answer to PING`;
      this.handleCarrierLost(now, attachment.carrierId, { code: 'ETIMEDOUT', message, reset: false });
      return;
    }
    const token = this.#core.vitals.probe(now, this.#core.config.timers, this.#core.streams);
    if (token !== undefined) this.#core.queue(attachment.carrierId, encodeFrame('ping', { token }));
    const cause = this.#core.vitals.check(now, this.#core.streams);
    if (cause !== undefined && this.#migration.withinBudget(now, cause) && !this.#core.destroyed) {
      this.#migration.begin(now, cause, undefined, OriginState.Unknown);
      return;
    }
    if (this.#core.vitals.isQuiet(now, SHRINK_AFTER_MS)) this.#core.streams.shrink();
    this.#core.armDetect(now);
  }

  pollTimeout(): number | undefined {
    return this.#core.timers.earliest;
  }

  // --- out -------------------------------------------------------------------------------------------------------

  pollEvent(): ClientEvent | undefined {
    return this.#core.events.shift();
  }

  pollTransmit(now: number): Transmit | undefined {
    return this.#output.poll(now);
  }

  // --- standby ---------------------------------------------------------------------------------------------------

  /** The STANDBY frame that makes a carrier with this challenge a standby; undefined when the session can't prove itself. */
  standbyProof(challenge: Challenge, then: (frame: Uint8Array | undefined) => void): void {
    const ticket = this.#core.streams.tickets.held;
    if (!ticket || !this.#core.secret || this.#core.state === 'closed') {
      then(undefined);
      return;
    }
    const payload = encodePayload('standby', {
      service: this.#core.config.service,
      head: ticket.head,
      mac: NO_MAC,
    });
    const data = [new TextEncoder().encode(challenge.serverName), challenge.nonce, macedPart(payload)];
    this.#core.crypto.ask({ op: 'mac', secret: this.#core.secret, label: 'standby', data }, ({ mac }) => {
      then(framePayload('standby', withMac(payload, mac)));
    });
  }

  /** For logs: session id in hexadecimal. */
  get id(): string {
    return toHex(this.sessionId);
  }
}
