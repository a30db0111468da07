/** How a session comes to be: a race of carriers, OPEN on the first that is ready, SUPPORT (protocol.md §10.1, §10.4). */
import {
  INITIAL_CREDIT_BYTES,
  MAX_OPEN_EPOCH,
  NONCE_BYTES,
  ProtocolError,
  WireCode,
  comparePoints,
  concatBytes,
  encodePayload,
  framePayload,
  type Delivery,
  type Frame,
} from '../wire/index.ts';
import { CandidateRace, type ReadyCarrier } from './candidate-race.ts';
import { OpeningState, type ClientCore } from './client-core.ts';
import type { CarrierFailure } from './client-events.ts';
import type { Triggers } from './client-triggers.ts';
import { assert } from './state-table.ts';

/** The ACK that answers SUPPORT waits at most this long for something else to go along with. */
const SUPPORT_ACK_DELAY_MS = 1;

export class Opening {
  readonly #core: ClientCore;
  readonly #triggers: Triggers;

  constructor(core: ClientCore, triggers: Triggers, now: number) {
    this.#core = core;
    this.#triggers = triggers;
    const race = new CandidateRace(core, {
      staggerMs: core.config.timers.raceStaggerMs,
      order: core.servers,
    });
    core.opening = new OpeningState(race);
    race.advance(now);
    core.armRace(race);
  }

  /** Does whatever can be done next: sends OPEN on a carrier that is ready, or gives up. */
  advance(now: number): void {
    const opening = this.#core.opening;
    if (!opening || opening.used) return;
    const ready = this.#core.askedEpoch < MAX_OPEN_EPOCH ? opening.race.take(true) : undefined;
    if (ready) this.#sendOpen(now, ready);
    else if (opening.race.isExhausted || this.#core.askedEpoch >= MAX_OPEN_EPOCH)
      this.#core.close(
        opening.race.lastFailure ??
          opening.failure ?? { code: 'ECONNREFUSED', message: 'no server answered' },
      );
    else this.#core.armRace(opening.race);
  }

  #sendOpen(now: number, ready: ReadyCarrier): void {
    const opening = this.#core.opening;
    assert(opening !== undefined, 'OPEN outside of opening');
    opening.used = ready;
    opening.nonce = this.#core.config.random(NONCE_BYTES);
    // What a server sent that did not prove itself is void: its ticket is not the one this OPEN will be answered with.
    this.#core.streams.tickets.clear();
    this.#core.askedEpoch += 1;
    opening.epoch = this.#core.askedEpoch;
    opening.payload = encodePayload('open', {
      sessionId: this.#core.config.sessionId,
      epoch: opening.epoch,
      service: this.#core.config.service,
      keyShare: this.#core.config.keyShare,
      nonce: opening.nonce,
      credit: this.#core.streams.receive.credit,
      retainLimitBytes: this.#core.config.limits.retainLimitBytes,
      maxBodyBytes: this.#core.config.limits.maxBodyBytes,
      features: 0,
    });
    this.#core.queue(ready.carrierId, framePayload('open', opening.payload));
    this.#core.streams.send.rewind(0, INITIAL_CREDIT_BYTES);
    this.#core.timers.cancel('race');
    this.#core.timers.set('attach', now + this.#core.config.timers.attachTimeoutMs);
  }

  /** The answer to OPEN: both ends agree on the secret, which then proves the frame itself. */
  handleSupport(carrierId: number, frame: Frame<'support'>): void {
    const opening = this.#core.opening;
    assert(opening?.used !== undefined, 'SUPPORT without OPEN');
    if (frame.keyShare.byteLength !== 32 || frame.nonce.byteLength !== NONCE_BYTES)
      throw new ProtocolError(WireCode.Protocol, 'SUPPORT without a key share');
    if (frame.epoch !== opening.epoch)
      throw new ProtocolError(
        WireCode.Protocol,
        `SUPPORT of epoch ${frame.epoch} for an OPEN of ${opening.epoch}`,
      );
    const ticket = this.#core.streams.tickets.held;
    const isTicket0 =
      ticket !== undefined &&
      comparePoints(ticket, { epoch: opening.epoch, k: 0 }) === 0 &&
      ticket.input === 0 &&
      ticket.output === 0;
    if (!isTicket0) throw new ProtocolError(WireCode.Protocol, 'SUPPORT without ticket 0');
    const salt = concatBytes([opening.nonce, frame.nonce, opening.used.exporter ?? new Uint8Array(0)]);
    this.#core.busy.add(carrierId);
    this.#core.crypto.ask(
      {
        op: 'agree',
        ourShare: this.#core.config.keyShare,
        peerShare: frame.keyShare,
        salt,
        sessionId: this.#core.config.sessionId,
      },
      ({ secret }) => {
        this.#core.busy.delete(carrierId);
        if (this.#core.opening?.used?.carrierId !== carrierId) return;
        if (!secret) {
          this.#core.carrierErred(
            this.#core.now,
            carrierId,
            new ProtocolError(WireCode.Unauthenticated, 'the server sent no valid key share', true),
          );
          return;
        }
        this.#core.secret = secret;
        this.#core.verified(carrierId, 'support', frame, [opening.payload], () => {
          this.#opened(this.#core.now, frame);
        });
      },
    );
  }

  #opened(now: number, frame: Frame<'support'>): void {
    const used = this.#core.opening?.used;
    assert(used !== undefined && this.#core.secret !== undefined, 'opened twice');
    const { race, epoch } = this.#core.opening as OpeningState;
    this.#core.opening = undefined;
    race.end();
    this.#core.setState('support');
    this.#core.timers.cancel('attach');
    const server = { ...used.candidate, name: used.challenge?.serverName ?? used.candidate.name };
    this.#core.attachment = {
      carrierId: used.carrierId,
      epoch,
      server,
      challenge: used.challenge,
      suspended: false,
    };
    this.#core.streams.setDelivery(frame.delivery as Delivery);
    this.#core.streams.send.grant(frame.credit);
    this.#core.takeServers(frame.servers);
    this.#triggers.takeKey(frame);
    // Tells the server that its answer came: from then on no other OPEN, and no other secret, takes the session's place.
    this.#core.owesAck = true;
    this.#core.timers.set('ack', now + SUPPORT_ACK_DELAY_MS);
    this.#core.attached(now, server);
    this.#core.events.push({ type: 'connected', serverName: server.name });
    if (this.#core.pendingReset) this.#core.sendReset();
  }

  /** The OPEN that is out came to nothing. */
  failed(now: number, failure: CarrierFailure, tryElsewhere = true): void {
    const opening = this.#core.opening;
    assert(opening?.used !== undefined, 'no OPEN is out');
    const { carrierId, candidate } = opening.used;
    this.#core.hangUp(carrierId);
    opening.used = undefined;
    opening.failure = failure;
    this.#core.timers.cancel('attach');
    if (!tryElsewhere) {
      this.#core.close(failure);
      return;
    }
    opening.race.note(failure);
    opening.race.redial(candidate, failure);
    opening.race.advance(now);
    this.advance(now);
  }
}
