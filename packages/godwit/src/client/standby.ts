/** One standby carrier: set up ahead of need, authenticated, and watching for TRIGGERs to the sessions that share it. */
import type { Carrier, Dial, Transport } from '../carriers/carrier.ts';
import type { Candidate, Incoming } from '../session/client-events.ts';
import { challengeOf } from '../session/index.ts';
import { Deadline, now } from '../socket/timers.ts';
import {
  FrameDecoder,
  MAX_WATCHED_PER_FRAME,
  ProtocolError,
  Role,
  WireCode,
  encodeFrame,
  encodePreface,
  toHex,
  type Frame,
} from '../wire/index.ts';
import type { StandbyDialing } from './dialing.ts';

/** A server for which more waits is answered no more: it asks, and does not read. */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** Pauses between attempts to set a standby up, in milliseconds; the pause doubles with each failure. */
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 10_000;
/** How long a member may take to prove itself before another is asked, in milliseconds. */
const PROOF_TIMEOUT_MS = 1_000;
/** A standby without members is kept for so long, in milliseconds, for the next short session. */
const LINGER_MS = 1_000;
/** Changes of members are told this late at the most, in milliseconds. */
const WATCH_DELAY_MS = 20;

export interface Challenge {
  readonly serverName: string;
  readonly nonce: Uint8Array;
}

/** A session that shares standbys. */
export interface HubMember {
  readonly id: Uint8Array;
  /** The id in hexadecimal. */
  readonly sessionId: string;
  readonly service: string;
  readonly epoch: number;
  readonly dialing: StandbyDialing;
  standbyProof(challenge: Challenge, then: (frame: Uint8Array | undefined) => void): void;
  handleTrigger(frame: Frame<'trigger'>): void;
}

/** A standby that a session has taken to attach over. */
export interface TakenStandby {
  readonly carrier: Carrier;
  readonly decoder: FrameDecoder<Incoming>;
  readonly challenge: Challenge;
}

type State =
  | { readonly step: 'idle' }
  | { readonly step: 'dialing'; readonly dial: Dial }
  | { readonly step: 'challenged' | 'proving' | 'ready'; readonly link: Link };

/** A carrier in the hands of its standby, until it is taken. */
interface Link {
  readonly carrier: Carrier;
  readonly decoder: FrameDecoder<Incoming>;
  challenge: Challenge | undefined;
}

export class Standby {
  readonly #address: Candidate;
  readonly #transport: Transport;
  readonly #dialing: StandbyDialing;
  readonly #onUnused: () => void;
  readonly #members = new Map<string, HubMember>();
  readonly #changed = new Set<string>();
  readonly #removed = new Map<string, Uint8Array>();
  readonly #deadline = new Deadline(() => this.#onDeadline());
  readonly #watchAt = new Deadline(() => this.#watchDue());
  #state: State = { step: 'idle' };
  #failures = 0;
  #readyAt = 0;

  constructor(address: Candidate, transport: Transport, dialing: StandbyDialing, onUnused: () => void) {
    this.#address = address;
    this.#transport = transport;
    this.#dialing = dialing;
    this.#onUnused = onUnused;
  }

  /** Adds a session, or tells the server of its new epoch. */
  add(member: HubMember): void {
    this.#members.set(member.sessionId, member);
    this.#removed.delete(member.sessionId);
    this.#changed.add(member.sessionId);
    if (this.#state.step === 'ready') this.#scheduleWatch();
    else if (this.#state.step === 'idle' && this.#deadline.dueAt === undefined) this.#dial();
  }

  remove(member: HubMember): void {
    if (!this.#members.delete(member.sessionId)) return;
    this.#changed.delete(member.sessionId);
    this.#removed.set(member.sessionId, member.id);
    if (this.#state.step === 'ready') this.#scheduleWatch();
    if (this.#members.size === 0) this.#deadline.set(now() + LINGER_MS);
  }

  get isReady(): boolean {
    return this.#state.step === 'ready';
  }

  /** Gives the carrier away, if it is ready; a new one is set up for the members that stay. */
  take(): TakenStandby | undefined {
    if (this.#state.step !== 'ready') return undefined;
    const { link } = this.#state;
    const { carrier, decoder, challenge } = link;
    if (challenge === undefined) return undefined;
    this.#becomeIdle(RETRY_MIN_MS);
    return { carrier, decoder, challenge };
  }

  #onDeadline(): void {
    if (this.#members.size === 0) this.#close();
    else if (this.#state.step === 'proving') this.#fail();
    else if (this.#state.step === 'idle') this.#dial();
  }

  #close(): void {
    const state = this.#state;
    this.#state = { step: 'idle' };
    this.#deadline.set(undefined);
    this.#watchAt.set(undefined);
    if (state.step === 'dialing') state.dial.cancel();
    else if (state.step !== 'idle') state.link.carrier.end();
    this.#onUnused();
  }

  #dial(): void {
    const dial = this.#transport.dial(this.#address, this.#dialing.options, (_error, carrier) => {
      if (carrier === undefined) this.#fail();
      else this.#start(carrier);
    });
    this.#state = { step: 'dialing', dial };
  }

  #start(carrier: Carrier): void {
    const decoder = FrameDecoder.forCarrier('server');
    const link: Link = { carrier, decoder, challenge: undefined };
    this.#state = { step: 'challenged', link };
    carrier.unref();
    carrier.write([encodePreface(Role.Client)]);
    carrier.start({
      onData: (chunk) => {
        decoder.push(chunk);
        this.#receive(link);
        if (carrier.lendsChunks) decoder.keep();
      },
      onDrain: () => undefined,
      onClose: () => {
        if (this.#owns(link)) this.#fail();
      },
    });
  }

  #owns(link: Link): boolean {
    return 'link' in this.#state && this.#state.link === link;
  }

  #receive(link: Link): void {
    try {
      while (this.#owns(link)) {
        const frame = link.decoder.next();
        if (frame === undefined) return;
        this.#handleFrame(link, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail();
    }
  }

  #handleFrame(link: Link, frame: Incoming): void {
    switch (frame.frame) {
      case 'challenge':
        if (link.challenge) throw new ProtocolError(WireCode.Protocol, 'a second CHALLENGE');
        link.challenge = challengeOf(frame);
        this.#state = { step: 'proving', link };
        this.#prove(link, link.challenge, [...this.#members.values()]);
        return;
      case 'trigger':
        this.#members.get(toHex(frame.sessionId))?.handleTrigger(frame);
        return;
      case 'ping':
        if (link.carrier.bytesQueued > MAX_UNSENT_BYTES)
          throw new ProtocolError(WireCode.LimitExceeded, 'PING, but its answers are not taken');
        link.carrier.write([encodeFrame('pong', { token: frame.token })]);
        return;
      case 'refuse':
        this.#fail();
        return;
      default:
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} on a standby`);
    }
  }

  /** Any one member's proof will do: it shows that this process has a session of the cluster. */
  #prove(link: Link, challenge: Challenge, [member, ...others]: readonly HubMember[]): void {
    if (member === undefined) {
      this.#fail();
      return;
    }
    this.#deadline.set(now() + PROOF_TIMEOUT_MS);
    member.standbyProof(challenge, (frame) => {
      if (!this.#owns(link) || this.#state.step !== 'proving') return;
      if (frame === undefined) this.#prove(link, challenge, others);
      else this.#becomeReady(link, frame);
    });
  }

  #becomeReady(link: Link, proof: Uint8Array): void {
    link.carrier.write([proof]);
    this.#state = { step: 'ready', link };
    this.#deadline.set(this.#members.size === 0 ? now() + LINGER_MS : undefined);
    this.#readyAt = now();
    this.#removed.clear();
    for (const id of this.#members.keys()) this.#changed.add(id);
    // Not at once: while many sessions move, the carrier is taken before that.
    this.#scheduleWatch();
  }

  #fail(): void {
    // The server may refuse the proof; only one that was there for a while did not.
    if (this.#state.step === 'ready' && now() - this.#readyAt > RETRY_MAX_MS) this.#failures = 0;
    const pause = Math.min(RETRY_MIN_MS * 2 ** Math.min(this.#failures, 16), RETRY_MAX_MS);
    this.#failures += 1;
    const state = this.#state;
    this.#becomeIdle(pause);
    if ('link' in state) state.link.carrier.end();
  }

  #becomeIdle(retryAfterMs: number): void {
    this.#state = { step: 'idle' };
    this.#deadline.set(now() + (this.#members.size === 0 ? LINGER_MS : retryAfterMs));
  }

  /** Changes of a while leave in one WATCH: when a server drains, all sessions change their standbys within seconds. */
  #scheduleWatch(): void {
    if (this.#watchAt.dueAt === undefined) this.#watchAt.set(now() + WATCH_DELAY_MS);
  }

  #watchDue(): void {
    if (this.#state.step === 'ready') this.#sendWatch(this.#state.link.carrier);
  }

  #sendWatch(carrier: Carrier): void {
    const add = [...this.#changed].flatMap((id) => {
      const member = this.#members.get(id);
      return member === undefined ? [] : [{ sessionId: member.id, epoch: member.epoch }];
    });
    const remove = [...this.#removed.values()].map((sessionId) => ({ sessionId }));
    this.#changed.clear();
    this.#removed.clear();
    while (add.length > 0 || remove.length > 0) {
      const frame = {
        add: add.splice(0, MAX_WATCHED_PER_FRAME),
        remove: remove.splice(0, MAX_WATCHED_PER_FRAME),
      };
      carrier.write([encodeFrame('watch', frame)]);
    }
  }
}
