/**
 * How a session moves: from the decision to ACCEPT, or back to the server it came from (protocol.md §10.4, §10.6, §10.7).
 * Whoever wants a migration calls `begin`; a carrier's loss is told with `attachmentLost` or `attachFailed`.
 */
import {
  ATTACH_ID_BYTES,
  CAUSE_NAME,
  Cause,
  NO_MAC,
  OriginState,
  ProtocolError,
  SOURCE_NAME,
  Source,
  WireCode,
  encodePayload,
  errorCodeOf,
  framePayload,
  macedPart,
  withMac,
  type Frame,
} from '../wire/index.ts';
import { sameAddress, type ReadyCarrier } from './candidate-race.ts';
import { Attempt, orderCandidates, type Outstanding } from './client-attempt.ts';
import type { ClientCore } from './client-core.ts';
import type { Candidate, CarrierFailure, Failure } from './client-events.ts';
import { assert } from './state-table.ts';

/** What a server finds wrong with the ticket. One that has the session itself needs none: so the others are asked too. */
const VERDICTS: ReadonlySet<number> = new Set([
  WireCode.Unprotected,
  WireCode.TicketInvalid,
  WireCode.TicketExpired,
]);

/** ACCEPTs in one migration that the client may find out of date by the time they come, before it asks elsewhere. */
const MAX_OBJECTIONS = 3;

/** A server that was asked gets at least so many round trips for its first word. */
const PATIENCE_ROUND_TRIPS = 4;

/** Detectors leave a session in peace for so long after a migration, in ms; twice as long for each other recent one. */
const BUDGET_PAUSE_MS = 250;

export class Migration {
  readonly #core: ClientCore;
  /** When the session began to migrate, as far back as the budget looks. */
  #times: number[] = [];
  #starts = 0;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** Leaves the present server, or finds another after its carrier was lost. */
  begin(now: number, cause: Cause, target: Candidate | undefined, originState: OriginState): void {
    const attachment = this.#core.attachment;
    assert(attachment !== undefined, 'a migration needs a session');
    const mustSucceed = this.#core.state === 'recovering';
    if (!mustSucceed) this.#core.setState('migrate');
    const from = attachment.server;
    const unplanned = cause === Cause.CarrierLost || cause === Cause.Stall;
    this.#starts += 1;
    this.#core.attempt = new Attempt({
      cause,
      from,
      fromEpoch: attachment.epoch,
      target,
      now,
      detectMs: unplanned ? now - this.#core.vitals.lastAliveAt : 0,
      mustSucceed,
      originState,
      host: this.#core,
      staggerMs: this.#core.config.timers.raceStaggerMs,
      order: this.#order(
        from,
        target,
        originState === OriginState.Dead,
        !mustSucceed && cause !== Cause.Stall,
      ),
    });
    this.#times.push(now);
    this.#core.events.push({
      type: 'migrating',
      cause: CAUSE_NAME[cause],
      from: from.name,
      to: target?.name,
    });
    this.#core.attempt.race.advance(now);
    this.advance(now);
  }

  #order(from: Candidate, target: Candidate | undefined, originDead: boolean, planned: boolean): Candidate[] {
    const order = orderCandidates({
      servers: this.#core.servers,
      from,
      target,
      originDead,
      hasStandby: this.#core.config.hasStandby ?? hasNone,
      start: (this.#core.config.sessionId[0] as number) + this.#starts,
    });
    // A planned migration without a target means "elsewhere"; only a stall may end on a fresh carrier to the same server.
    return planned && order.length > 1 ? order.filter((candidate) => !sameAddress(candidate, from)) : order;
  }

  /**
   * Hysteresis: detectors may move a session only so often, and each time they wait longer. A stall may always end, after
   * the longest of these pauses: where nothing is heard there is nothing to lose by moving.
   */
  withinBudget(now: number, cause: Cause): boolean {
    const { migrationBudget } = this.#core.config.limits;
    this.#times = this.#times.filter((at) => now - at < this.#core.config.timers.migrationBudgetMs);
    const recent = this.#times.length;
    const last = this.#times[recent - 1];
    if (recent >= migrationBudget && cause !== Cause.Stall) return false;
    return last === undefined || now - last >= BUDGET_PAUSE_MS * 2 ** Math.min(recent, migrationBudget);
  }

  /** Does whatever can be done next: use a carrier that is ready, or give up, or try again later. */
  advance(now: number): void {
    const attempt = this.#core.attempt;
    if (!attempt || attempt.outstanding || attempt.detaching) return;
    const ready = attempt.race.take(false);
    if (ready) {
      this.#sendMigrate(now, attempt, ready, false);
      return;
    }
    this.#core.armRace(attempt.race);
    if (!attempt.race.isExhausted) {
      // A carrier that connects but never answers the preface must not hold the session up.
      this.#core.timers.start('attach', now + this.#core.config.timers.attachTimeoutMs);
      return;
    }
    this.#core.timers.cancel('attach');
    if (!attempt.mustSucceed) this.#giveBack(now, attempt);
    else if (!this.#core.timers.has('retry')) {
      const { retryMinMs, retryMaxMs, giveUpSingleServerMs } = this.#core.config.timers;
      // A single server gets little time to come back: the pauses between two looks must not use it up.
      const longest =
        this.#core.servers.length < 2 ? Math.min(retryMaxMs, giveUpSingleServerMs / 10) : retryMaxMs;
      const pause = Math.min(longest, retryMinMs * 2 ** Math.min(attempt.rounds, 16));
      attempt.rounds += 1;
      this.#core.timers.set('retry', now + pause);
    }
  }

  #sendMigrate(now: number, attempt: Attempt, ready: ReadyCarrier, inBand: boolean): void {
    const challenge = ready.challenge;
    assert(challenge !== undefined && this.#core.secret !== undefined, 'MIGRATE needs a challenge');
    this.#core.askedEpoch += 1;
    const attachId = this.#core.config.random(ATTACH_ID_BYTES);
    const ticket = this.#core.streams.tickets.held;
    const outstanding = attempt.expect({
      ready,
      epoch: this.#core.askedEpoch,
      attachId,
      inBand,
      ticket,
      sentAt: now,
    });
    if (attempt.originState === OriginState.Unknown && challenge.serverName !== attempt.from.name)
      attempt.mayHaveFrozen = true;
    const payload = encodePayload('migrate', {
      service: this.#core.config.service,
      ...this.#core.streams.position(),
      epoch: this.#core.askedEpoch,
      attachId,
      origin: attempt.from.name,
      originEpoch: attempt.fromEpoch,
      originState: attempt.originState,
      cause: attempt.cause,
      budgetMs: Math.floor(Math.min(this.#core.config.timers.attachTimeoutMs, this.#leftMs(now))),
      mac: NO_MAC,
    });
    this.#core.timers.cancel('race');
    this.#core.timers.set('attach', now + this.#patienceMs(now, attempt));
    const data = [new TextEncoder().encode(challenge.serverName), challenge.nonce, macedPart(payload)];
    this.#core.crypto.ask({ op: 'mac', secret: this.#core.secret, label: 'migrate', data }, ({ mac }) => {
      if (this.#core.attempt?.outstanding !== outstanding) return;
      this.#core.queue(ready.carrierId, framePayload('migrate', withMac(payload, mac)));
    });
  }

  /** Before the client gives up; without end where it has a carrier. */
  #leftMs(now: number): number {
    return Math.max(1, (this.#core.timers.at('giveUp') ?? Infinity) - now);
  }

  /**
   * How long to wait for a first word of a server that was asked. Where nothing is delivered meanwhile, others are asked
   * the sooner; if none of them answers, it was not for their being dead, and all get more time. Budgets nest: one that is
   * silent may not take more than half of what is left before the client gives up.
   */
  #patienceMs(now: number, attempt: Attempt): number {
    const { attachTimeoutMs, attachSilenceMs } = this.#core.config.timers;
    const roundTripsMs = PATIENCE_ROUND_TRIPS * (this.#core.vitals.roundTripMs ?? 0);
    const share = Math.min(attachTimeoutMs, Math.max(this.#leftMs(now) / 2, roundTripsMs));
    const isFirst = attempt.isUrgent && attempt.rounds === 0 && attempt.outstanding?.inBand !== true;
    return isFirst ? Math.min(share, Math.max(attachSilenceMs, roundTripsMs)) : share;
  }

  /** Frames on the carrier of an outstanding attach. Answers false for those that belong to the session itself. */
  handleAttachFrame(now: number, carrierId: number, frame: Frame): boolean {
    const attempt = this.#core.attempt as Attempt;
    const outstanding = attempt.outstanding as Outstanding;
    outstanding.heard = true;
    switch (frame.frame) {
      case 'progress':
        if (frame.epoch === outstanding.epoch && outstanding.extensionsLeft > 0) {
          outstanding.extensionsLeft -= 1;
          this.#core.timers.set('attach', now + this.#core.config.timers.attachTimeoutMs);
        }
        return true;
      case 'needBody':
        if (frame.epoch !== outstanding.epoch) return true;
        if (this.#core.streams.tickets.held !== outstanding.ticket) {
          this.#object(now, attempt, outstanding, 'a newer ticket came than the one whose body is wanted');
          return true;
        }
        this.#core.timers.set('attach', now + this.#core.config.timers.attachTimeoutMs);
        for (const body of this.#core.streams.bodyFrames(outstanding.epoch))
          this.#core.queue(carrierId, body);
        return true;
      case 'refuse':
        if (frame.epoch !== outstanding.epoch && frame.epoch !== 0) return true;
        this.#refused(now, attempt, outstanding, frame);
        return true;
      case 'accept':
        if (frame.epoch !== outstanding.epoch) return true;
        this.#core.verified(carrierId, 'accept', frame, [outstanding.attachId], () => {
          if (this.#core.attempt?.outstanding === outstanding)
            this.#accepted(this.#core.now, attempt, outstanding, frame);
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
      this.#core.hangUp(outstanding.ready.carrierId);
      this.#originUnreachable(now, attempt, outstanding.ready.candidate);
      return;
    }
    if (frame.code === WireCode.StalePoint && this.#core.streams.tickets.held !== outstanding.ticket) {
      this.#object(now, attempt, outstanding, 'a newer ticket came than the one that was refused');
      return;
    }
    if (VERDICTS.has(frame.code)) attempt.verdict = failure;
    // With epoch 0 it may answer a STANDBY that went before: that says nothing of the session.
    if (!frame.tryElsewhere && attempt.mustSucceed && frame.epoch === outstanding.epoch) {
      this.#core.close(this.#core.destroyed && frame.code === WireCode.SessionEnded ? undefined : failure);
      return;
    }
    this.attachFailed(now, failure);
    this.advance(now);
  }

  /**
   * The destination can't reach the origin. If we can, it hands the session to us; if not, our ticket must do. An origin
   * that stalls would not answer us either.
   */
  #originUnreachable(now: number, attempt: Attempt, candidate: Candidate): void {
    if (!this.#core.attachment || attempt.isUrgent || !this.#core.secret) {
      attempt.originState = OriginState.Dead;
      attempt.race.again(candidate);
      attempt.race.advance(now);
      this.advance(now);
      return;
    }
    attempt.detaching = candidate;
    this.#core.attachment.suspended = true;
    this.#core.askedEpoch += 1;
    this.#core.timers.cancel('attach');
    this.#core.timers.set('detach', now + this.#core.config.timers.detachTimeoutMs);
    this.#core.sendMaced(
      this.#core.attachment.carrierId,
      'detach',
      encodePayload('detach', { epoch: this.#core.askedEpoch, mac: NO_MAC }),
      'detach',
    );
  }

  /** DETACHED came: the origin has let go of the session, and the candidate that could not reach it is asked again. */
  handleDetached(now: number, epoch: number): void {
    const attempt = this.#core.attempt;
    if (!attempt?.detaching || epoch !== this.#core.askedEpoch) return;
    this.#core.timers.cancel('detach');
    attempt.originState = OriginState.Detached;
    attempt.race.again(attempt.detaching);
    attempt.detaching = undefined;
    attempt.race.advance(now);
    this.advance(now);
  }

  /** What was asked is out of date by now: the same server is asked again, with the position as it is. */
  #object(now: number, attempt: Attempt, outstanding: Outstanding, objection: string): void {
    this.attachFailed(now, { code: 'ERR_GODWIT_STALE_POINT', message: objection });
    attempt.objections += 1;
    if (attempt.objections <= MAX_OBJECTIONS) {
      attempt.race.again(outstanding.ready.candidate);
      attempt.race.advance(now);
    }
    this.advance(now);
  }

  #accepted(now: number, attempt: Attempt, outstanding: Outstanding, accept: Frame<'accept'>): void {
    const resumed = accept.source === Source.Resume;
    const objection = this.#core.streams.objection(accept, resumed);
    if (objection !== undefined) {
      this.#object(now, attempt, outstanding, objection);
      return;
    }
    const old = this.#core.attachment;
    if (old && old.carrierId !== outstanding.ready.carrierId) this.#core.hangUp(old.carrierId);
    this.#core.setState('accept');
    this.#core.attempt = undefined;
    this.#core.lostBecause = undefined;
    attempt.race.end();
    this.#core.streams.adopt(accept, resumed);
    const server = { ...outstanding.ready.candidate, name: outstanding.ready.challenge?.serverName ?? '' };
    this.#core.attachment = {
      carrierId: outstanding.ready.carrierId,
      epoch: accept.epoch,
      server,
      challenge: outstanding.ready.challenge,
      suspended: false,
    };
    for (const timer of ['attach', 'race', 'retry', 'giveUp', 'detach'] as const)
      this.#core.timers.cancel(timer);
    const confirm = encodePayload('confirm', { epoch: accept.epoch, mac: NO_MAC });
    this.#core.sendMaced(outstanding.ready.carrierId, 'confirm', confirm, 'confirm', [accept.payload]);
    this.#core.ackNow = true;
    this.#core.closeSent = false;
    this.#core.attached(now, server);
    const report = {
      cause: attempt.causeName,
      from: attempt.from.name,
      to: server.name,
      source: SOURCE_NAME[accept.source as Source] ?? 'ticket',
      epoch: accept.epoch,
      attempts: attempt.attempts,
      phases: {
        detect: attempt.detectMs,
        connect: outstanding.sentAt - attempt.startedAt,
        attach: now - outstanding.sentAt,
        firstByte: undefined,
      },
      blackoutMs: undefined,
    };
    if (!outstanding.inBand) {
      this.#core.report = report;
      this.#core.reportAcceptedAt = now;
      this.#core.events.push({ type: 'migrated', report });
    }
    if (this.#core.pendingReset) this.#core.sendReset();
  }

  /** The MIGRATE that is out came to nothing. */
  attachFailed(now: number, failure: Failure): void {
    const attempt = this.#core.attempt;
    const outstanding = attempt?.outstanding;
    if (!attempt || !outstanding) return;
    attempt.outstanding = undefined;
    attempt.lastFailure = failure;
    attempt.race.note(failure);
    this.#core.timers.cancel('attach');
    if (outstanding.inBand) {
      // Even the origin does not take the session back: its carrier is of no more use.
      this.#core.hangUp(outstanding.ready.carrierId);
      this.attachmentLost(now, { ...failure, reset: false });
      return;
    }
    this.#core.hangUp(outstanding.ready.carrierId);
    attempt.race.advance(now);
  }

  /** A planned migration failed: the session stays at its origin, which may have been frozen meanwhile (invariant I6). */
  #giveBack(now: number, attempt: Attempt): void {
    attempt.race.end();
    this.#core.attempt = undefined;
    this.#core.timers.cancel('race');
    this.#core.timers.cancel('attach');
    this.#core.timers.cancel('retry');
    this.#core.setState('giveBack');
    const failure = attempt.lastFailure ??
      attempt.race.lastFailure ?? {
        code: 'ERR_GODWIT_NO_SERVER',
        message: 'no other server could be reached',
      };
    this.#core.events.push({ type: 'migrationFailed', cause: attempt.causeName, failure });
    this.#core.armDetect(now);
    if (attempt.mayHaveFrozen || this.#core.attachment?.suspended) this.thaw(now);
  }

  /** In-band MIGRATE: only an authenticated attach with a higher epoch thaws a frozen origin. */
  thaw(now: number): void {
    const attachment = this.#core.attachment;
    if (!attachment?.challenge) return;
    this.#core.setState('migrate');
    attachment.suspended = true;
    const attempt = new Attempt({
      cause: Cause.Application,
      from: attachment.server,
      fromEpoch: attachment.epoch,
      target: attachment.server,
      now,
      detectMs: 0,
      mustSucceed: false,
      originState: OriginState.Unknown,
      host: this.#core,
      staggerMs: this.#core.config.timers.raceStaggerMs,
      order: [],
    });
    this.#core.attempt = attempt;
    this.#sendMigrate(
      now,
      attempt,
      {
        carrierId: attachment.carrierId,
        candidate: attachment.server,
        challenge: attachment.challenge,
        mustProve: false,
      },
      true,
    );
  }

  /** The carrier the session lived on is gone: from here on it must be attached somewhere. */
  attachmentLost(now: number, failure: CarrierFailure): void {
    const attachment = this.#core.attachment;
    if (!attachment) return;
    this.#core.lostBecause = failure;
    this.#core.timers.cancel('ack');
    this.#core.timers.cancel('detect');
    this.#core.outbox.delete(attachment.carrierId);
    if (this.#core.closeSent && this.#core.streams.send.acknowledged >= this.#core.streams.send.next) {
      this.#core.close(undefined);
      return;
    }
    const single = this.#core.servers.length < 2;
    this.#core.timers.start(
      'giveUp',
      now +
        (single ? this.#core.config.timers.giveUpSingleServerMs : this.#core.config.timers.giveUpTimeoutMs),
    );
    const attempt = this.#core.attempt;
    this.#core.setState('carrierLost');
    if (attempt) {
      attempt.mustSucceed = true;
      if (failure.reset) attempt.originState = OriginState.Dead;
      if (attempt.detaching) {
        attempt.race.again(attempt.detaching);
        attempt.detaching = undefined;
        this.#core.timers.cancel('detach');
      }
      if (attempt.outstanding?.inBand) {
        attempt.outstanding = undefined;
        this.#core.timers.cancel('attach');
      }
      this.#widen(now, attempt);
      return;
    }
    this.begin(now, Cause.CarrierLost, undefined, failure.reset ? OriginState.Dead : OriginState.Unknown);
  }

  /** A planned migration has to succeed now: any server will do, and nobody may take his time. */
  #widen(now: number, attempt: Attempt): void {
    if (attempt.outstanding) {
      if (!attempt.outstanding.heard) this.#core.timers.set('attach', now + this.#patienceMs(now, attempt));
    } else if (attempt.race.isExhausted) {
      this.newRound(now, attempt);
      return;
    }
    attempt.race.add(this.#order(attempt.from, undefined, attempt.originState === OriginState.Dead, false));
    attempt.race.advance(now);
  }

  /** Asks all candidates once more. */
  newRound(now: number, attempt: Attempt): void {
    attempt.raceAgain(this.#order(attempt.from, undefined, attempt.originState === OriginState.Dead, false));
    attempt.race.advance(now);
    this.advance(now);
  }
}

function hasNone(): boolean {
  return false;
}
