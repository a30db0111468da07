/** Where accepted carriers wait until their first bytes tell who they are (protocol.md §3). */
import type { Carrier } from '../carriers/carrier.ts';
import type { Failure } from '../session/client-events.ts';
import { Deadline, now } from '../socket/timers.ts';
import {
  PREFACE_BYTES,
  ProtocolError,
  Role,
  WireCode,
  concatBytes,
  decodePreface,
  encodeFrame,
  mayBePreface,
} from '../wire/index.ts';

/** What holds for carriers that have not said yet who they are. */
export interface GateLimits {
  /** A carrier whose preface has not come after this time is closed, in milliseconds. Default 5,000. */
  readonly prefaceTimeoutMs: number;
  /** Carriers waiting at the gate; more are closed at once. Default 1,024. Memory: about 1 KiB each. */
  readonly maxHalfOpen: number;
}

export const DEFAULT_GATE_LIMITS: GateLimits = { prefaceTimeoutMs: 5_000, maxHalfOpen: 1_024 };

/** Who takes a carrier that came through, and starts it for itself. */
export interface GateKeeper {
  /** `behind` came in behind the preface. */
  acceptClient(carrier: Carrier, behind: Uint8Array): void;
  /** `received` begins with the preface, which peers authenticate. */
  acceptPeer(carrier: Carrier, received: Uint8Array): void;
  /** The carrier is not of ours, or came to nothing; it is closed behind this call. */
  refused(carrier: Carrier, failure: Failure): void;
}

interface Waiting {
  readonly carrier: Carrier;
  readonly until: number;
  received: Uint8Array;
}

export class PrefaceGate {
  readonly #limits: GateLimits;
  readonly #keeper: GateKeeper;
  /** In order of arrival, and so in order of their deadlines. */
  readonly #waiting = new Set<Waiting>();
  readonly #deadline = new Deadline(() => this.#expire());

  constructor(limits: GateLimits, keeper: GateKeeper) {
    this.#limits = limits;
    this.#keeper = keeper;
  }

  get size(): number {
    return this.#waiting.size;
  }

  accept(carrier: Carrier): void {
    if (this.#waiting.size >= this.#limits.maxHalfOpen) {
      const message = `${this.#waiting.size} carriers have not said who they are`;
      this.#keeper.refused(carrier, { code: 'ERR_GODWIT_LIMIT_EXCEEDED', message });
      carrier.destroy();
      return;
    }
    const until = now() + this.#limits.prefaceTimeoutMs;
    const waiting: Waiting = { carrier, until, received: new Uint8Array(0) };
    this.#waiting.add(waiting);
    if (this.#deadline.dueAt === undefined) this.#deadline.set(until);
    carrier.start({
      onData: (chunk) => {
        if (this.#waiting.has(waiting)) this.#receive(waiting, chunk);
      },
      onDrain: () => undefined,
      onClose: () => {
        this.#waiting.delete(waiting);
      },
    });
  }

  close(): void {
    for (const { carrier } of this.#waiting) carrier.destroy();
    this.#waiting.clear();
    this.#deadline.set(undefined);
  }

  #receive(waiting: Waiting, chunk: Uint8Array): void {
    const received = waiting.received.byteLength === 0 ? chunk : concatBytes([waiting.received, chunk]);
    waiting.received = received;
    if (mayBePreface(received) && received.byteLength < PREFACE_BYTES) return;
    this.#waiting.delete(waiting);
    let role: Role;
    try {
      ({ role } = decodePreface(received.subarray(0, PREFACE_BYTES)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // Who speaks another version of Godwit is told so in this one; a stranger would not understand.
      if (error.wireCode === WireCode.Version) {
        const { wireCode: code, message } = error;
        waiting.carrier.write([encodeFrame('refuse', { epoch: 0, code, tryElsewhere: true, message })]);
      }
      this.#refuse(waiting, { code: error.code, message: error.message });
      return;
    }
    if (role === Role.Client) this.#keeper.acceptClient(waiting.carrier, received.subarray(PREFACE_BYTES));
    else this.#keeper.acceptPeer(waiting.carrier, received);
  }

  #expire(): void {
    const time = now();
    for (const waiting of this.#waiting) {
      if (waiting.until > time) {
        this.#deadline.set(waiting.until);
        return;
      }
      this.#waiting.delete(waiting);
      const message = `no preface within ${this.#limits.prefaceTimeoutMs} ms`;
      this.#refuse(waiting, { code: 'ERR_GODWIT_TIMEOUT', message });
    }
  }

  #refuse({ carrier }: Waiting, failure: Failure): void {
    this.#keeper.refused(carrier, failure);
    carrier.end();
  }
}
