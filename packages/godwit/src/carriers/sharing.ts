/**
 * Carriers that share connections (protocol.md §3.6). The first few to a server have connections of their own, where nobody stands in
 * anybody's way; those beyond share one, where hundreds of small streams are one system call, and a new one is no handshake.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Carrier,
  type CarrierClosed,
  type Dial,
  type DialAddress,
  type DialDone,
  type DialOptions,
  type DialStep,
  type ListenHandlers,
  type ListenTarget,
  type Listener,
  type Transport,
} from './carrier.ts';
import { ClientTrunk } from './client-trunk.ts';
import { SocketCarrier } from './tcp.ts';

/** So many carriers of a process to one server have connections of their own; those beyond share one, and so do all that follow while there is one. */
export const OWN_CONNECTIONS = 4;
/**
 * A server that says nothing at all on a shared connection for so long behind the first word of a channel, which it answers at once, is
 * asked over another one, in milliseconds, or as many times what it took to connect as below, if that is longer. If it answers there, it was
 * the path that was gone.
 */
export const ANSWER_TIMEOUT_MS = 500;
const ANSWER_ROUND_TRIPS = 4;
/** For so long carriers have connections of their own where a server refused a channel, in milliseconds. */
export const REFUSED_PAUSE_MS = 1_000;
/** The same where it hung up on a shared connection without a word, in milliseconds: it may know of none. */
export const UNKNOWN_PAUSE_MS = 10_000;

const GONE: CarrierClosed = {
  code: 'ECONNRESET',
  message: 'the connection that is shared has ended',
  reset: false,
  redial: true,
};

/** Dials as `base` does, and shares connections where a process has many to one server. */
export class SharingTransport implements Transport {
  readonly #base: Transport;
  readonly #pools = new Map<string, Pool>();

  constructor(base: Transport) {
    this.#base = base;
  }

  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    // Who says how to dial wants a connection that is dialled so.
    if (isParticular(options)) return this.#base.dial(address, options, done);
    // Not everybody may dial a Unix socket, nor then share what somebody else has dialled.
    const key = `${address.host} ${address.port}${options.unixSockets === true ? ' unix' : ''}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const made: Pool = new Pool(this.#base, address, () => {
        if (this.#pools.get(key) === made) this.#pools.delete(key);
      });
      pool = made;
      this.#pools.set(key, pool);
    }
    return pool.dial(options, done);
  }

  listen(target: ListenTarget, handlers: ListenHandlers): Listener {
    return this.#base.listen(target, handlers);
  }
}

function isParticular(options: DialOptions): boolean {
  const { localAddress, localPort, family, hints, lookup, blockList, signal } = options;
  const { autoSelectFamily, autoSelectFamilyAttemptTimeout } = options;
  return (
    (localAddress ?? localPort ?? lookup ?? blockList ?? signal) !== undefined ||
    (autoSelectFamily ?? autoSelectFamilyAttemptTimeout) !== undefined ||
    Boolean(family) ||
    Boolean(hints)
  );
}

/** Calls in the asynchronous context of the process itself: a shared connection outlives whoever dialled it first. */
const apart = AsyncLocalStorage.snapshot();

/** Somebody who waits for a channel. */
interface Dialler {
  readonly done: DialDone;
  /** Until the dial is cancelled. */
  isWanted: boolean;
}

/** Somebody who waits for the shared connection. */
interface Waiter extends Dialler {
  readonly onStep: DialOptions['onStep'];
  /** Calls in its own asynchronous context. */
  readonly inContext: (call: () => void) => void;
}

/** The shared connection while it is set up, and who waits for it. */
interface Dialing {
  readonly dial: Dial;
  readonly waiters: Set<Waiter>;
}

/** The carriers of this process to one server. */
class Pool {
  readonly #base: Transport;
  readonly #address: DialAddress;
  readonly #onUnused: () => void;
  /** Carriers with connections of their own, those included that are being set up. */
  #own = 0;
  /** Until then none is shared. */
  #aloneUntil = 0;
  /** The connection that new channels begin in; there may be older ones. */
  #trunk: ClientTrunk | undefined;
  /** All that are not over. */
  #trunks = 0;
  #dialing: Dialing | undefined;
  /** Those on which the server said nothing for longer than it should. */
  readonly #suspects = new Set<ClientTrunk>();
  /** It is being asked over another one. */
  #isProbing = false;

  constructor(base: Transport, address: DialAddress, onUnused: () => void) {
    this.#base = base;
    this.#address = address;
    this.#onUnused = onUnused;
  }

  dial(options: DialOptions, done: DialDone): Dial {
    if (performance.now() < this.#aloneUntil) return this.#dialOwn(options, done);
    const trunk = this.#trunk;
    // Where there is a shared connection, it is there at once; a new one takes a round trip, and over TLS a handshake.
    if (trunk?.isUsable === true) return beginSoon(trunk, { done, isWanted: true });
    if (this.#dialing === undefined && this.#own < OWN_CONNECTIONS) return this.#dialOwn(options, done);
    const dialing = (this.#dialing ??= this.#dialTrunk(options));
    const { onStep } = options;
    const waiter: Waiter = { done, onStep, isWanted: true, inContext: AsyncLocalStorage.snapshot() };
    dialing.waiters.add(waiter);
    return { cancel: () => this.#cancel(dialing, waiter) };
  }

  #dialOwn(options: DialOptions, done: DialDone): Dial {
    this.#own += 1;
    let isCounted = true;
    const leave = (): void => {
      if (!isCounted) return;
      isCounted = false;
      this.#own -= 1;
      this.#dropIfUnused();
    };
    let isDone = false;
    const dial = this.#base.dial(this.#address, options, (error, carrier) => {
      isDone = true;
      if (carrier instanceof SocketCarrier) carrier.whenClosed = leave;
      else leave();
      done(error, carrier);
    });
    return {
      cancel: () => {
        if (isDone) return;
        dial.cancel();
        leave();
      },
    };
  }

  #dialTrunk(options: DialOptions): Dialing {
    const waiters = new Set<Waiter>();
    const begunAt = performance.now();
    const onStep = (step: DialStep): void => {
      for (const waiter of waiters) waiter.inContext(() => waiter.onStep?.(step));
    };
    const dial = apart(() =>
      this.#base.dial(this.#address, { ...options, onStep }, (error, carrier) => {
        this.#dialing = undefined;
        if (carrier !== undefined) this.#trunk = this.#begin(carrier, options, performance.now() - begunAt);
        else this.#isProbing = false;
        const trunk = this.#trunk;
        for (const waiter of waiters)
          waiter.inContext(() => {
            if (carrier === undefined || trunk === undefined)
              process.nextTick(() => waiter.isWanted && waiter.done(error, undefined));
            else beginSoon(trunk, waiter);
          });
        this.#dropIfUnused();
      }),
    );
    return { dial, waiters };
  }

  #cancel(dialing: Dialing, waiter: Waiter): void {
    waiter.isWanted = false;
    dialing.waiters.delete(waiter);
    // Others may wait for what the server says on it.
    if (this.#dialing !== dialing || dialing.waiters.size > 0 || this.#suspects.size > 0) return;
    this.#dialing = undefined;
    dialing.dial.cancel();
    this.#dropIfUnused();
  }

  #begin(carrier: Carrier, options: DialOptions, connectMs: number): ClientTrunk {
    const answerTimeoutMs = Math.max(ANSWER_TIMEOUT_MS, connectMs * ANSWER_ROUND_TRIPS);
    const trunk: ClientTrunk = new ClientTrunk(carrier, answerTimeoutMs, {
      refused: () => this.#goAlone(REFUSED_PAUSE_MS),
      suspected: () => this.#suspect(trunk, options),
      closed: (isUnknown) => {
        this.#trunks -= 1;
        this.#suspects.delete(trunk);
        if (this.#trunk === trunk) this.#trunk = undefined;
        if (isUnknown) this.#goAlone(UNKNOWN_PAUSE_MS);
        this.#dropIfUnused();
      },
    });
    this.#trunks += 1;
    if (this.#isProbing)
      trunk.probe((isAnswered) => {
        this.#isProbing = false;
        if (isAnswered) this.#answered();
      });
    return trunk;
  }

  /** The server is asked over another connection, which whoever comes next will want anyway; over one at a time. */
  #suspect(trunk: ClientTrunk, options: DialOptions): void {
    this.#suspects.add(trunk);
    if (this.#trunk === trunk) this.#trunk = undefined;
    if (this.#isProbing) return;
    this.#isProbing = true;
    this.#dialing ??= this.#dialTrunk(options);
  }

  /** The server lives, and there is a way to it. */
  #answered(): void {
    for (const suspect of this.#suspects) suspect.giveUpUnanswered();
    this.#suspects.clear();
  }

  #goAlone(pauseMs: number): void {
    this.#aloneUntil = Math.max(this.#aloneUntil, performance.now() + pauseMs);
    setTimeout(() => this.#dropIfUnused(), pauseMs + 1).unref();
  }

  #dropIfUnused(): void {
    const isInUse = this.#own > 0 || this.#trunks > 0 || this.#dialing !== undefined;
    if (!isInUse && performance.now() >= this.#aloneUntil) this.#onUnused();
  }
}

/** A channel at the end of this turn: whoever dials expects no answer from within the call. */
function beginSoon(trunk: ClientTrunk, dialler: Dialler): Dial {
  process.nextTick(() => {
    if (!dialler.isWanted) return;
    if (trunk.isUsable) dialler.done(undefined, trunk.openChannel());
    else dialler.done(GONE, undefined);
  });
  return {
    cancel: () => {
      dialler.isWanted = false;
    },
  };
}
