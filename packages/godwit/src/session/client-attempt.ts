/** One migration, from the decision to the ACCEPT (protocol.md §10.4): its candidates, and the MIGRATE that is out. */
import { CAUSE_NAME, Cause, OriginState } from '../wire/index.ts';
import { CandidateRace, sameAddress, type ReadyCarrier, type RaceHost } from './candidate-race.ts';
import type { Candidate, Failure } from './client-events.ts';
import type { HeldTicket } from './ticket-holder.ts';

/** A MIGRATE that waits for ACCEPT or REFUSE. */
export interface Outstanding {
  readonly ready: ReadyCarrier;
  readonly epoch: number;
  readonly attachId: Uint8Array;
  /** Sent on the session's own carrier, to take it back. */
  readonly inBand: boolean;
  /** The one it presents; a newer one may come meanwhile. */
  readonly ticket: HeldTicket | undefined;
  readonly sentAt: number;
  /** Its server said something. */
  heard: boolean;
  /** PROGRESS frames that still extend its deadline. */
  extensionsLeft: number;
}

const MAX_EXTENSIONS = 3;

export class Attempt {
  readonly cause: Cause;
  readonly from: Candidate;
  /** Epoch of the OPEN or attach that is left. */
  readonly fromEpoch: number;
  readonly target: Candidate | undefined;
  readonly startedAt: number;
  readonly detectMs: number;
  /** No carrier is left: the session must be attached somewhere. */
  mustSucceed: boolean;
  originState: OriginState;
  race: CandidateRace;
  readonly #host: RaceHost;
  readonly #staggerMs: number;
  outstanding: Outstanding | undefined;
  /** REFUSE OriginUnreachable came; the answer to DETACH decides how to go on with this candidate. */
  detaching: Candidate | undefined;
  /** A destination may have frozen the origin: it must be told to go on. */
  mayHaveFrozen = false;
  attempts = 0;
  rounds = 0;
  lastFailure: Failure | undefined;
  /** A server said that the session can't be restored: what the application is told when nobody takes it after all. */
  verdict: Failure | undefined;
  /** ACCEPTs that were out of date when they came. */
  objections = 0;

  constructor(options: {
    cause: Cause;
    from: Candidate;
    fromEpoch: number;
    target: Candidate | undefined;
    now: number;
    detectMs: number;
    mustSucceed: boolean;
    originState: OriginState;
    host: RaceHost;
    staggerMs: number;
    order: readonly Candidate[];
  }) {
    this.#host = options.host;
    this.#staggerMs = options.staggerMs;
    this.cause = options.cause;
    this.from = options.from;
    this.fromEpoch = options.fromEpoch;
    this.target = options.target;
    this.startedAt = options.now;
    this.detectMs = options.detectMs;
    this.mustSucceed = options.mustSucceed;
    this.originState = options.originState;
    this.race = new CandidateRace(options.host, {
      staggerMs: options.staggerMs,
      order: options.order,
      standbysMustProve: this.#pathMayBeDead,
    });
  }

  /** Nothing is delivered while it lasts. */
  get isUrgent(): boolean {
    return this.mustSucceed || this.cause === Cause.Stall;
  }

  /** Nobody said that the server is gone: it, or whatever lies between, is silent. */
  get #pathMayBeDead(): boolean {
    return this.isUrgent && this.originState !== OriginState.Dead;
  }

  /** Asks candidates anew, in this order. */
  raceAgain(order: readonly Candidate[]): void {
    this.race.end();
    this.race = new CandidateRace(this.#host, {
      staggerMs: this.#staggerMs,
      order,
      standbysMustProve: this.#pathMayBeDead,
    });
  }

  get causeName(): (typeof CAUSE_NAME)[number] {
    return CAUSE_NAME[this.cause];
  }

  expect(migrate: Omit<Outstanding, 'heard' | 'extensionsLeft'>): Outstanding {
    this.attempts += 1;
    this.outstanding = { ...migrate, heard: false, extensionsLeft: MAX_EXTENSIONS };
    return this.outstanding;
  }
}

/**
 * The order in which candidates are tried: an explicit target alone; else servers with a standby ready first, the server
 * the session leaves last when it is known to be gone, and second when only the path to it may be.
 */
export function orderCandidates(options: {
  servers: readonly Candidate[];
  from: Candidate;
  target: Candidate | undefined;
  originDead: boolean;
  hasStandby: (candidate: Candidate) => boolean;
  start: number;
}): Candidate[] {
  if (options.target) return [options.target];
  const others = options.servers.filter((server) => !sameAddress(server, options.from));
  const shift = others.length > 0 ? options.start % others.length : 0;
  const rotated = [...others.slice(shift), ...others.slice(0, shift)];
  const order = [
    ...rotated.filter((server) => options.hasStandby(server)),
    ...rotated.filter((server) => !options.hasStandby(server)),
  ];
  const place = options.originDead ? order.length : Math.min(1, order.length);
  order.splice(place, 0, options.from);
  return order;
}
