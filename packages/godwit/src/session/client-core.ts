/**
 * What the parts of a client session share: its state, its carriers' control frames, and the frames that carry a MAC
 * (protocol.md §10.1). The parts are `Opening`, `Migration`, `Triggers`, `ClientFrames` and `ClientOutput`;
 * `ClientSession` puts them together. Nothing outside of these classes sees a `ClientCore`.
 */
import {
  NO_MAC,
  ProtocolError,
  WireCode,
  encodePayload,
  framePayload,
  macedPart,
  withMac,
  type Frame,
  type FrameName,
} from '../wire/index.ts';
import {
  sameAddress,
  type CandidateRace,
  type Challenge,
  type RaceHost,
  type ReadyCarrier,
} from './candidate-race.ts';
import { CarrierSet } from './carrier-set.ts';
import type { Attempt } from './client-attempt.ts';
import type { Candidate, CarrierFailure, ClientEvent, Failure, MigrationReport } from './client-events.ts';
import { CLIENT_TRANSITIONS, type ClientState, type ClientTransition } from './client-state.ts';
import { ClientStreams } from './client-streams.ts';
import { CryptoBook, type MacLabel } from './crypto.ts';
import { Deadlines } from './deadlines.ts';
import type { Detector } from './detectors.ts';
import type { Crc32 } from './digest-window.ts';
import type { ClientLimits, ClientTimers } from './limits.ts';
import type { ServerPulses } from './server-pulses.ts';
import { assert, nextState } from './state-table.ts';
import { VitalSignsMonitor } from './vital-signs.ts';

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
  /** Whether a standby to that server is ready: it orders the candidates. Undefined: none ever is. */
  readonly hasStandby?: ((server: Candidate) => boolean) | undefined;
  /** Shared with the other sessions of the process that are dialled alike; undefined: nobody shares. */
  readonly pulses?: ServerPulses | undefined;
}

export type Timer =
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
export interface Attachment {
  readonly carrierId: number;
  readonly epoch: number;
  readonly server: Candidate;
  challenge: Challenge | undefined;
  /** An in-band MIGRATE is out: no more data until it is answered. */
  suspended: boolean;
}

const NOTHING = new Uint8Array(0);

/** The race of an opening session, and the carrier OPEN went out on. */
export class OpeningState {
  readonly race: CandidateRace;
  used: ReadyCarrier | undefined;
  /** That of the OPEN that is out: each one has its own, so no two servers ever share one. */
  epoch = 0;
  payload: Uint8Array = NOTHING;
  nonce: Uint8Array = NOTHING;
  failure: Failure | undefined;

  constructor(race: CandidateRace) {
    this.race = race;
  }
}

export class ClientCore implements RaceHost {
  readonly config: ClientSessionConfig;
  readonly events: ClientEvent[] = [];
  readonly crypto: CryptoBook;
  readonly timers = new Deadlines<Timer>();
  readonly streams: ClientStreams;
  readonly vitals: VitalSignsMonitor;
  /** Control frames waiting for each carrier. */
  readonly outbox = new Map<number, Uint8Array[]>();
  readonly unwritable = new CarrierSet();
  readonly busy = new CarrierSet();
  servers: Candidate[];
  state: ClientState = 'opening';
  /** The newest epoch this client asked a server for. */
  askedEpoch = 0;
  secret: Uint8Array | undefined;
  attachment: Attachment | undefined;
  attempt: Attempt | undefined;
  opening: OpeningState | undefined;
  /** The migration whose first output is still to come, for `flowing`. */
  report: { -readonly [N in keyof MigrationReport]: MigrationReport[N] } | undefined;
  reportAcceptedAt = 0;
  ackNow = false;
  /** SUPPORT has to be answered with an ACK, though nothing else came. */
  owesAck = false;
  drainWanted = false;
  destroyed = false;
  /** The application ended its input itself, before it let go of its socket. */
  endedInOrder = false;
  closeSent = false;
  pendingReset: { code: WireCode; message: string } | undefined;
  /** What a peer did wrong on the session's own carrier: the session ends with it. */
  failure: Failure | undefined;
  /** Why the session has no carrier, until it is attached again. */
  lostBecause: CarrierFailure | undefined;
  /** Time of the call that delivered a crypto result; continuations read it. */
  now = 0;
  /** The peer erred on that carrier; `ClientSession` decides what it costs. */
  readonly carrierErred: (now: number, carrierId: number, error: ProtocolError) => void;
  #dialCounter = 0;

  constructor(
    config: ClientSessionConfig,
    now: number,
    carrierErred: (now: number, carrierId: number, error: ProtocolError) => void,
  ) {
    assert(config.servers.length > 0, 'a session needs at least one server');
    this.config = config;
    this.carrierErred = carrierErred;
    this.servers = config.servers.slice(0, config.limits.maxServers);
    this.crypto = new CryptoBook((event) => this.events.push(event));
    this.streams = new ClientStreams(config.limits, config.crc32);
    this.vitals = new VitalSignsMonitor(config.detectors, now);
  }

  // --- What a race asks for -------------------------------------------------------------------------------------

  nextDialId(): number {
    this.#dialCounter += 1;
    return this.#dialCounter;
  }

  dial(dialId: number, candidate: Candidate): void {
    this.events.push({ type: 'dial', dialId, candidate });
  }

  cancelDial(dialId: number): void {
    this.events.push({ type: 'cancelDial', dialId });
  }

  /** The epoch the session lives in; before it is open, the one it asked for. */
  get epoch(): number {
    return this.attachment?.epoch ?? this.askedEpoch;
  }

  /** The race that is on: of the opening, or of the migration. */
  get race(): CandidateRace | undefined {
    return this.opening?.race ?? this.attempt?.race;
  }

  /** There is something to acknowledge. */
  get isAckPending(): boolean {
    return this.owesAck || this.streams.receive.ackPending;
  }

  /** Control frames that wait for a carrier which takes no more at present. */
  unsentFrames(carrierId: number): number {
    return this.unwritable.has(carrierId) ? (this.outbox.get(carrierId)?.length ?? 0) : 0;
  }

  queue(carrierId: number, frame: Uint8Array): void {
    this.outbox.get(carrierId)?.push(frame);
  }

  sendMaced(
    carrierId: number,
    name: FrameName,
    payload: Uint8Array,
    label: MacLabel,
    context: readonly Uint8Array[] = [],
    then?: () => void,
  ): void {
    assert(this.secret !== undefined, 'a MAC needs the session secret');
    this.crypto.ask(
      { op: 'mac', secret: this.secret, label, data: [...context, macedPart(payload)] },
      ({ mac }) => {
        this.queue(carrierId, framePayload(name, withMac(payload, mac)));
        then?.();
      },
    );
  }

  /** Runs `then` once the frame's MAC was verified; meanwhile the carrier is busy. A bad MAC is the peer's fault. */
  verified(
    carrierId: number,
    label: MacLabel,
    frame: Frame & { readonly mac: Uint8Array },
    context: readonly Uint8Array[],
    then: () => void,
  ): void {
    assert(this.secret !== undefined, 'a MAC needs the session secret');
    this.busy.add(carrierId);
    const data = [...context, macedPart(frame.payload)];
    this.crypto.ask({ op: 'verify', secret: this.secret, label, data, mac: frame.mac }, ({ ok }) => {
      this.busy.delete(carrierId);
      if (!this.outbox.has(carrierId)) return;
      try {
        if (!ok)
          throw new ProtocolError(WireCode.Unauthenticated, `${frame.frame.toUpperCase()} with a wrong MAC`);
        then();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.carrierErred(this.now, carrierId, error);
      }
    });
  }

  /** What is queued for the carrier still goes out. Without `forget` the carrier's loss is yet to be handled. */
  hangUp(carrierId: number, forget = true): void {
    const last = this.outbox.get(carrierId);
    if (!last) return;
    if (forget) this.outbox.delete(carrierId);
    this.unwritable.delete(carrierId);
    this.busy.delete(carrierId);
    this.events.push({ type: 'hangUp', carrierId, last });
  }

  setState(event: ClientTransition): void {
    this.state = nextState(CLIENT_TRANSITIONS, this.state, event);
  }

  /** What is queued (CLOSE_ACK, RESET_ACK) still goes out before the carriers are hung up. */
  close(failure: Failure | undefined): void {
    if (this.state === 'closed') return;
    this.setState('close');
    this.timers.clear();
    this.opening?.race.end();
    this.attempt?.race.end();
    const carriers = [
      this.opening?.used?.carrierId,
      this.attempt?.outstanding?.ready.carrierId,
      this.attachment?.carrierId,
    ];
    this.opening = undefined;
    this.attempt = undefined;
    for (const carrierId of carriers) if (carrierId !== undefined) this.hangUp(carrierId);
    this.crypto.clear();
    this.events.push({ type: 'closed', failure });
  }

  sendReset(): void {
    const reset = this.pendingReset;
    if (!reset || !this.attachment || !this.secret) return;
    const payload = encodePayload('reset', {
      epoch: this.epoch,
      code: reset.code,
      message: reset.message,
      mac: NO_MAC,
    });
    this.sendMaced(this.attachment.carrierId, 'reset', payload, 'reset-client', [], () => {
      if (this.failure) this.close(this.failure); // the peer erred: there is no point in waiting for its answer
    });
  }

  takeServers(servers: readonly Candidate[]): void {
    const known = [...servers];
    for (const configured of this.config.servers)
      if (!known.some((server) => sameAddress(server, configured))) known.push(configured);
    this.servers = known.slice(0, this.config.limits.maxServers);
    this.events.push({ type: 'servers', servers: this.servers });
  }

  armRace(race: CandidateRace): void {
    if (race.nextAt !== undefined) this.timers.set('race', race.nextAt);
    else this.timers.cancel('race');
  }

  /** The carrier is the session's from now on. */
  attached(now: number, server: Candidate): void {
    this.vitals.attached(now, this.config.pulses?.of(server));
    this.armDetect(now);
  }

  armDetect(now: number): void {
    this.timers.set('detect', now + this.vitals.nextLookMs(now, this.config.timers));
  }

  /** Data moves again, input when the session speaks: the detectors look sooner than they would at a quiet session. */
  wake(now: number, speaks: boolean): void {
    if (this.vitals.active(now, speaks) && this.attachment) this.armDetect(now);
  }

  checkDrain(): void {
    if (this.drainWanted && this.streams.wantsWrite) {
      this.drainWanted = false;
      this.events.push({ type: 'drain' });
    }
  }
}
