/** Standbys at a server: the sessions they watch, and whether their clients are still there (protocol.md §5.4). */
import { encodeFrame } from '../wire/index.ts';
import { pongTo } from './answers.ts';
import type { Incoming } from './client-events.ts';
import { Places } from './places.ts';
import { misplaced, type ServerCarrier, type ServerCarriers } from './server-carrier.ts';
import type { ServerNodeConfig } from './server-config.ts';
import { Watchers } from './watchers.ts';

/** A silent standby is asked so often before it is given up, at equal distances. */
const QUESTIONS = 2;

export interface StandbyHost {
  readonly config: ServerNodeConfig;
  readonly carriers: ServerCarriers;
  readonly now: number;
  hangUp(carrierId: number): void;
}

export class StandbyCarriers {
  readonly watchers: Watchers;
  readonly #host: StandbyHost;
  readonly #places: Places;

  constructor(host: StandbyHost) {
    this.#host = host;
    this.#places = Places.ofStandbys(host.config.limits);
    this.watchers = new Watchers(host.config.limits.maxWatched);
  }

  /** Throws `ProtocolError` (Busy) when there is no place for another one from there. */
  check({ network }: ServerCarrier): void {
    this.#places.check(network);
  }

  /** The client has proved itself on it. */
  begin(carrier: ServerCarrier): void {
    this.#places.take(carrier, carrier.network);
    this.#host.carriers.setRole(carrier, 'standby');
    this.#heard(carrier);
  }

  /** MIGRATE came: it has as long to become a session's carrier as a fresh one. */
  leave(carrier: ServerCarrier): void {
    this.forget(carrier);
    this.#host.carriers.setDeadline(carrier, this.#host.now + this.#host.config.timers.authenticateTimeoutMs);
  }

  /** It is no standby any more, if it was one. */
  forget(carrier: ServerCarrier): void {
    this.#places.leave(carrier);
    this.watchers.dropCarrier(carrier);
  }

  handleFrame(carrier: ServerCarrier, frame: Incoming): void {
    this.#heard(carrier);
    if (frame.frame === 'watch') this.watchers.update(carrier, frame);
    else if (frame.frame === 'ping')
      this.#host.carriers.queue(carrier.id, pongTo(frame, carrier.isWritable ? 0 : carrier.control.length));
    else if (frame.frame !== 'pong') throw misplaced(frame, 'on a standby');
  }

  #heard(carrier: ServerCarrier): void {
    carrier.questions = 0;
    this.#wait(carrier);
  }

  #wait(carrier: ServerCarrier): void {
    const waitMs = this.#host.config.timers.standbyIdleTimeoutMs / (QUESTIONS + 1);
    this.#host.carriers.setDeadline(carrier, this.#host.now + waitMs);
  }

  /** Nothing was heard: a client that lives answers PING, so only a dead one is hung up. */
  handleSilence(carrier: ServerCarrier): void {
    if (carrier.questions === QUESTIONS) {
      this.#host.hangUp(carrier.id);
      return;
    }
    carrier.questions += 1;
    this.#host.carriers.queue(carrier.id, encodeFrame('ping', { token: carrier.questions }));
    this.#wait(carrier);
  }
}
