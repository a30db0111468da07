/**
 * Carrier set-up to several candidates, staggered (protocol.md §10.4). Only the set-up is raced: what is sent on a carrier
 * that is ready, and when, is the session's decision, so MIGRATE goes to one server at a time.
 */
import { PROTOCOL_VERSION, ProtocolError, WireCode, type Frame } from '../wire/index.ts';
import type { Candidate, CarrierFailure, Failure } from './client-events.ts';

/** A carrier that is set up. `challenge` comes with a standby, or a round trip later. */
export interface ReadyCarrier {
  readonly carrierId: number;
  readonly candidate: Candidate;
  challenge: Challenge | undefined;
  /** TLS exporter of the carrier, where it has one. */
  readonly exporter?: Uint8Array | undefined;
  /** Its challenge may be old news, from before the path died: a PONG has to come first. */
  mustProve: boolean;
}

export interface Challenge {
  readonly serverName: string;
  readonly nonce: Uint8Array;
}

/** Throws `ProtocolError` (Version) when the server goes on in another version than this code speaks. */
export function challengeOf(frame: Frame<'challenge'>): Challenge {
  if (frame.version !== PROTOCOL_VERSION)
    throw new ProtocolError(WireCode.Version, `the server goes on in version ${frame.version}`);
  return { serverName: frame.serverName, nonce: frame.nonce };
}

export interface RaceOptions {
  readonly staggerMs: number;
  readonly order: readonly Candidate[];
  /** What broke may be the path of this client, and its standbys with it. */
  readonly standbysMustProve?: boolean;
}

export interface RaceHost {
  nextDialId(): number;
  dial(dialId: number, candidate: Candidate): void;
  cancelDial(dialId: number): void;
  hangUp(carrierId: number): void;
}

export function sameAddress(a: { host: string; port: number }, b: { host: string; port: number }): boolean {
  return a.host === b.host && a.port === b.port;
}

export class CandidateRace {
  readonly #host: RaceHost;
  readonly #staggerMs: number;
  readonly #standbysMustProve: boolean;
  #waiting: Candidate[];
  readonly #dials = new Map<number, Candidate>();
  readonly #ready: ReadyCarrier[] = [];
  #nextAt: number | undefined;
  #lastFailure: Failure | undefined;
  /** Those that were dialled a second time; none as a rule, and then no list. */
  #redialled: Candidate[] | undefined;

  constructor(host: RaceHost, options: RaceOptions) {
    this.#host = host;
    this.#staggerMs = options.staggerMs;
    this.#standbysMustProve = options.standbysMustProve ?? false;
    this.#waiting = [...options.order];
  }

  /** When to dial the next candidate, unless a carrier is being used by then. */
  get nextAt(): number | undefined {
    return this.#waiting.length > 0 ? this.#nextAt : undefined;
  }

  /** No candidate is left, under way or ready. */
  get isExhausted(): boolean {
    return this.#waiting.length === 0 && this.#dials.size === 0 && this.#ready.length === 0;
  }

  get lastFailure(): Failure | undefined {
    return this.#lastFailure;
  }

  /** Dials one more candidate, if there is one. */
  advance(now: number): void {
    const candidate = this.#waiting.shift();
    this.#nextAt = now + this.#staggerMs;
    if (!candidate) return;
    const dialId = this.#host.nextDialId();
    this.#dials.set(dialId, candidate);
    this.#host.dial(dialId, candidate);
  }

  /** Undefined when the dial was given up meanwhile: the caller hangs up. */
  handleConnected(
    dialId: number,
    carrierId: number,
    challenge: Challenge | undefined,
    exporter?: Uint8Array,
  ): ReadyCarrier | undefined {
    const candidate = this.#dials.get(dialId);
    if (!candidate) return undefined;
    this.#dials.delete(dialId);
    const mustProve = this.#standbysMustProve && challenge !== undefined;
    const ready: ReadyCarrier = { carrierId, candidate, challenge, exporter, mustProve };
    this.#ready.push(ready);
    return ready;
  }

  /** Answers false when the dial was given up meanwhile. */
  handleFailed(now: number, dialId: number, failure: Failure & Partial<CarrierFailure>): boolean {
    const candidate = this.#dials.get(dialId);
    if (candidate === undefined) return false;
    this.#dials.delete(dialId);
    this.#lastFailure = failure;
    this.redial(candidate, failure);
    this.advance(now);
    return true;
  }

  find(carrierId: number): ReadyCarrier | undefined {
    return this.#ready.find((ready) => ready.carrierId === carrierId);
  }

  handleLost(now: number, carrierId: number, failure: CarrierFailure): void {
    const at = this.#ready.findIndex((ready) => ready.carrierId === carrierId);
    const ready = this.#ready[at];
    if (ready === undefined) return;
    this.#ready.splice(at, 1);
    this.#lastFailure = failure;
    this.redial(ready.candidate, failure);
    this.advance(now);
  }

  /** A refusal also is a failure to remember. */
  note(failure: Failure): void {
    this.#lastFailure = failure;
  }

  /** Takes the first carrier that is ready: alive, and with its challenge, or any when `early`. */
  take(early: boolean): ReadyCarrier | undefined {
    const at = this.#ready.findIndex((ready) => early || (ready.challenge !== undefined && !ready.mustProve));
    if (at < 0) return undefined;
    return this.#ready.splice(at, 1)[0];
  }

  /** Puts a candidate in front again, once, where only the connection was no good. */
  redial(candidate: Candidate, { redial }: Partial<CarrierFailure>): void {
    if (redial !== true || this.#redialled?.includes(candidate) === true) return;
    (this.#redialled ??= []).push(candidate);
    this.again(candidate);
  }

  /** Puts a candidate in front again, e.g. after its server asked for another kind of attach. */
  again(candidate: Candidate): void {
    this.#waiting.unshift(candidate);
  }

  /** More candidates, behind those that wait. */
  add(candidates: readonly Candidate[]): void {
    const known = [
      ...this.#waiting,
      ...this.#dials.values(),
      ...this.#ready.map(({ candidate }) => candidate),
    ];
    this.#waiting.push(
      ...candidates.filter((candidate) => !known.some((other) => sameAddress(other, candidate))),
    );
  }

  /** Gives up all dials and closes all carriers that are not in use. */
  end(): void {
    for (const dialId of this.#dials.keys()) this.#host.cancelDial(dialId);
    this.#dials.clear();
    for (const ready of this.#ready) this.#host.hangUp(ready.carrierId);
    this.#ready.length = 0;
    this.#waiting = [];
  }
}
