/**
 * The fence as a session at a server sees it (protocol.md §10.10): asked before the session goes live here, before each of
 * its tickets is released, and while its client is away; told when it ends. It is asked as cryptography is: by a request
 * that comes out, whose answer goes in.
 */
import { ProtocolError, WireCode, toHex, type Point } from '../wire/index.ts';
import type { FenceAnswer, FenceFloor, FenceQuestion } from './fence-rules.ts';
import type { SessionCore } from './session-core.ts';

export interface FenceConfig {
  /** Without the fence, `strict` goes no further, and `flag` goes on and says so. */
  readonly mode: 'strict' | 'flag';
  readonly floor: FenceFloor;
}

const OWNER_BYTES = 8;
/** How often the end of a session is told to a fence that can't be reached. */
const END_ATTEMPTS = 5;
/** A session without a client asks whether it was left behind, each time after twice as long, at most so much, in ms. */
const MAX_WATCH_MS = 30_000;

/** Throws what a client is told that the fence keeps out; does nothing where it may come in. */
export function throwIfKeptOut(answer: FenceAnswer, { mode }: FenceConfig): void {
  if (answer.kind === 'refused')
    throw new ProtocolError(answer.code, REASONS[answer.code], answer.code === WireCode.StaleEpoch);
  if (answer.kind === 'unavailable' && mode === 'strict')
    throw new ProtocolError(WireCode.FenceUnavailable, `no answer of the fence: ${answer.message}`, true);
}

const REASONS = {
  [WireCode.StaleEpoch]: 'the fence knows a server of a newer epoch',
  [WireCode.StalePoint]: 'the fence knows a newer point',
  [WireCode.SessionEnded]: 'the fence knows that the session ended',
};

export class SessionFence {
  readonly #core: SessionCore;
  readonly #config: FenceConfig;
  readonly #owner: string;
  #heldEpoch = 0;
  /** What this copy began from. What its application does before the client confirms makes it no newer. */
  readonly #began: Point;
  #isReached: boolean | undefined;
  /** Tickets that the fence was asked about. At most one travels: of an older one nobody waits for the answer any more. */
  #releases = 0;
  /** The newest of them, which `strict` holds back until the fence answers. */
  #heldBack: (() => void) | undefined;
  #watchMs = 0;
  #endAttempts = 0;

  constructor(core: SessionCore, config: FenceConfig) {
    this.#core = core;
    this.#config = config;
    this.#began = core.snapshots.newest;
    this.#owner = toHex(core.host.config.random(OWNER_BYTES));
  }

  get config(): FenceConfig {
    return this.#config;
  }
  /** Its record says that the session lives here, and it could be reached when it was last asked. */
  get isHeld(): boolean {
    return this.#heldEpoch > 0 && this.#isReached === true;
  }

  /** May this copy go on under that epoch? Nothing is written. */
  check(epoch: number, then: (answer: FenceAnswer) => void): void {
    this.#ask('check', epoch, this.#core.snapshots.newest, then);
  }

  /** A new session, of which nobody has heard yet: `tell` follows when its application begins. */
  open(then: (answer: FenceAnswer) => void): void {
    const { epoch } = this.#core;
    this.#ask('advance', epoch, this.#core.snapshots.newest, (answer) => {
      if (answer.kind !== 'refused') this.#heldEpoch = epoch;
      this.#isReached = answer.kind === 'granted';
      then(answer);
    });
  }

  /** The session goes live here, under its present epoch. A copy that was left behind is gone when `then` is called. */
  goLive(then: (answer: FenceAnswer) => void): void {
    const { epoch, everConfirmed, snapshots } = this.#core;
    this.#ask('advance', epoch, everConfirmed ? snapshots.newest : this.#began, (answer) => {
      this.#take(answer, epoch);
      then(answer);
    });
  }

  /** A ticket of that point is about to be released, and none that was asked about before. */
  release(point: Point, then: () => void): void {
    const { epoch } = this.#core;
    this.#releases += 1;
    const release = this.#releases;
    this.#heldBack = undefined;
    this.#ask('advance', epoch, point, (answer) => {
      this.#take(answer, epoch);
      if (answer.kind === 'refused' || this.#core.state === 'ended') return;
      if (release !== this.#releases) return;
      if (answer.kind === 'granted' || this.#config.mode === 'flag') {
        then();
        if (this.#core.carrierId === undefined) this.watch();
        return;
      }
      this.#heldBack = (): void => this.release(point, then);
      this.#retryAfter(this.#core.host.config.timers.fenceTimeoutMs);
    });
  }

  /** The client is away: perhaps with another server by now. */
  watch(): void {
    if (this.#heldBack !== undefined) return;
    this.#watchMs = this.#core.host.config.timers.fenceTimeoutMs;
    this.#retryAfter(this.#watchMs);
  }

  handleTimeout(): void {
    const heldBack = this.#heldBack;
    this.#heldBack = undefined;
    if (heldBack !== undefined) heldBack();
    else if (this.#core.carrierId === undefined)
      this.check(this.#core.highestEpoch, (answer) => {
        if (this.#core.state === 'ended' || this.#core.carrierId !== undefined) return;
        this.#take(answer, this.#heldEpoch);
        this.#watchMs = Math.min(2 * this.#watchMs, MAX_WATCH_MS);
        if (answer.kind !== 'refused') this.#retryAfter(this.#watchMs);
      });
  }

  /** Ended, deliberately. `later` calls back after a while. */
  end(later: (again: () => void) => void): void {
    const { epoch, snapshots } = this.#core;
    this.#endAttempts += 1;
    this.#ask('end', Math.max(epoch, this.#heldEpoch), snapshots.newest, (answer) => {
      if (answer.kind === 'unavailable' && this.#endAttempts < END_ATTEMPTS) later(() => this.end(later));
    });
  }

  /** The application, which began only now, is told what was found before. */
  tell(): void {
    if (this.#isReached !== false) return;
    const reason = 'the fence can not be reached';
    this.#core.host.emit({ type: 'unfenced', session: this.#core.session, reason });
  }

  #ask(kind: FenceQuestion['kind'], epoch: number, point: Point, then: (answer: FenceAnswer) => void): void {
    const { sessionId, secret, snapshots, host } = this.#core;
    const question: FenceQuestion = {
      kind,
      sessionId,
      secret,
      epoch,
      heldEpoch: this.#heldEpoch,
      owner: this.#owner,
      server: host.config.name,
      point: { epoch: point.epoch, k: point.k },
      acknowledged: { epoch: snapshots.covered.epoch, k: snapshots.covered.k },
      floor: this.#config.floor,
    };
    host.crypto.ask({ op: 'fence', question }, then);
  }

  #take(answer: FenceAnswer, epoch: number): void {
    const { session, state, host } = this.#core;
    if (state === 'ended') return;
    if (answer.kind === 'refused') {
      // This copy was left behind, and emits nothing more.
      if (answer.code === WireCode.SessionEnded)
        session.abandon({ code: 'ERR_GODWIT_SESSION_ENDED', message: 'the session ended elsewhere' });
      else session.release(answer.server);
      return;
    }
    this.#heldEpoch = Math.max(this.#heldEpoch, epoch);
    const wasReached = this.#isReached;
    this.#isReached = answer.kind === 'granted';
    if (answer.kind === 'unavailable' && wasReached !== false) this.tell();
    if (answer.kind === 'granted' && wasReached === false) host.emit({ type: 'fenced', session });
  }

  #retryAfter(delayMs: number): void {
    this.#core.timers.set('fence', this.#core.now + delayMs);
    this.#core.touch();
  }
}
