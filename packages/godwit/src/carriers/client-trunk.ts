/** A connection that carriers of this process share, at the client: for how long it is kept, and when it is no good any more. */
import { Role, encodePreface } from '../wire/index.ts';
import type { Carrier, CarrierClosed } from './carrier.ts';
import type { Channel } from './channel.ts';
import { Trunk } from './trunk.ts';

/** A shared connection without channels is kept for so long, in milliseconds. */
export const TRUNK_IDLE_MS = 5_000;

const OUT_OF_REACH: CarrierClosed = {
  code: 'ETIMEDOUT',
  message: 'the server does not answer on the connection that is shared',
  reset: false,
  redial: true,
};

/** A server that was asked over another connection is not waited for any longer, in milliseconds: then it is no matter of the path. */
const PROBE_TIMEOUT_MS = 5_000;

export interface ClientTrunkHooks {
  /** The server did not take a channel. */
  refused(): void;
  /** It says nothing, for longer than it should: it is busy, or the path is gone. No channel begins any more. */
  suspected(): void;
  /** The connection is over. `isUnknown`: its server hung up and never said anything. */
  closed(isUnknown: boolean): void;
}

export class ClientTrunk {
  readonly #trunk: Trunk;
  readonly #answerTimeoutMs: number;
  /** Channels begun since the server was last heard, and when the first of them was. */
  #unanswered: Channel[] = [];
  #unansweredSince = 0;
  #answerTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #hasRead = false;
  /** No channel begins in it any more; it ends with its last one. */
  #isRetired = false;
  readonly #hooks: ClientTrunkHooks;

  /** A server that says nothing for `answerTimeoutMs` behind the first word of a channel is suspected to be out of reach. */
  constructor(carrier: Carrier, answerTimeoutMs: number, hooks: ClientTrunkHooks) {
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#hooks = hooks;
    this.#trunk = new Trunk(carrier, {
      onRead: () => {
        this.#hasRead = true;
        if (this.#unanswered.length > 0) this.#unanswered = [];
      },
      onRefused: () => hooks.refused(),
      onBulk: () => {
        this.#isRetired = true;
      },
      // Who hangs up without a word may know nothing of trunks, and all the same be a server.
      explain: (closed) => (this.#hasRead ? closed : { ...closed, reset: false, redial: true }),
      onEmpty: () => this.#idle(),
      onClose: ({ reset }) => {
        clearTimeout(this.#answerTimer);
        clearTimeout(this.#idleTimer);
        hooks.closed(reset && !this.#hasRead);
      },
    });
    this.#trunk.start();
    carrier.write([encodePreface(Role.Trunk)]);
    this.#idle();
  }

  /** Another channel may begin in it. */
  get isUsable(): boolean {
    return !this.#trunk.isOver && !this.#isRetired && !this.#trunk.isUsedUp;
  }

  openChannel(): Channel {
    const channel = this.#begin();
    if (this.#unanswered.length === 0) this.#unansweredSince = performance.now();
    this.#unanswered.push(channel);
    this.#answerTimer ??= this.#lookIn(this.#answerTimeoutMs);
    return channel;
  }

  /**
   * Has the server say something, as it does to the first word of every channel, and calls back when it has, or has not for
   * `PROBE_TIMEOUT_MS`.
   */
  probe(done: (isAnswered: boolean) => void): void {
    const channel = this.#begin();
    channel.unref();
    const timer = setTimeout(() => channel.end(), PROBE_TIMEOUT_MS).unref();
    let isAnswered = false;
    channel.start({
      onData: () => {
        isAnswered = true;
        channel.end();
      },
      onDrain: () => undefined,
      onClose: () => {
        clearTimeout(timer);
        done(isAnswered);
      },
    });
    channel.write([encodePreface(Role.Client)]);
  }

  /** The server answers elsewhere: what waits for it here waits in vain. What was there before has ways of its own to tell. */
  giveUpUnanswered(): void {
    for (const channel of this.#unanswered.splice(0)) channel.giveUp(OUT_OF_REACH);
    this.#idle();
  }

  #begin(): Channel {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    return this.#trunk.openChannel();
  }

  #lookIn(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), delayMs).unref();
  }

  #look(): void {
    this.#answerTimer = undefined;
    if (!this.#isAwaited) return;
    const left = this.#unansweredSince + this.#answerTimeoutMs - performance.now();
    if (left > 0) {
      this.#answerTimer = this.#lookIn(left);
      return;
    }
    // This process may have been busy, and the answer may be there.
    setImmediate(() => {
      if (!this.#isAwaited || this.#trunk.isOver) return;
      this.#isRetired = true;
      this.#hooks.suspected();
      this.#idle();
    });
  }

  /** Somebody waits for the server's first word. */
  get #isAwaited(): boolean {
    return this.#unanswered.some((channel) => !channel.isClosed);
  }

  #idle(): void {
    if (this.#trunk.size > 0 || this.#trunk.isOver) return;
    if (this.#isRetired) {
      this.#trunk.end();
      return;
    }
    this.#idleTimer ??= setTimeout(() => {
      this.#idleTimer = undefined;
      if (this.#trunk.size === 0) this.#trunk.end();
    }, TRUNK_IDLE_MS).unref();
  }
}
