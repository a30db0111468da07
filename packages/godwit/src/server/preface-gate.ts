/** Where accepted carriers wait until their first bytes tell who they are (protocol.md §3). */
import type { Carrier } from '../carriers/carrier.ts';
import { Channel } from '../carriers/channel.ts';
import { ALPN_PROTOCOL } from '../carriers/tls.ts';
import type { Failure } from '../session/client-events.ts';
import { Crowd, type Place } from '../session/roster.ts';
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
  /** A carrier whose preface has not come after this time is closed, and a TLS handshake that is not done, in milliseconds. Default 5,000; 10 … 600,000. */
  readonly prefaceTimeoutMs: number;
}

/** Where clients that do not speak Godwit are served. */
export interface PlainSettings {
  /** A client that has said nothing for so long is one of them, in milliseconds: it waits for the server to speak first. */
  readonly afterMs: number;
}

export const DEFAULT_GATE_LIMITS: GateLimits = { prefaceTimeoutMs: 5_000 };

/** Who takes a carrier that came through, and starts it for itself. */
export interface GateKeeper {
  /** `behind` came in behind the preface. */
  acceptClient(carrier: Carrier, behind: Uint8Array): void;
  /** A connection in which channels begin as carriers do; `behind` came in behind the preface. */
  acceptTrunk(carrier: Carrier, behind: Uint8Array): void;
  /** `received` begins with the preface, which peers authenticate. */
  acceptPeer(carrier: Carrier, received: Uint8Array): void;
  /** No client of ours, where such are served; `unread` was read to tell. */
  acceptPlain(carrier: Carrier, unread: Uint8Array): void;
  /** The carrier is not of ours, or came to nothing; it is closed behind this call. */
  refused(carrier: Carrier, failure: Failure): void;
  /** A carrier that nobody was given is closed. */
  closed(carrier: Carrier): void;
}

interface Waiting {
  readonly carrier: Carrier;
  /** Among those that are silent, or speak; undefined when it waits no longer. */
  place: Place<Waiting> | undefined;
  /** It has begun to say something, where plain clients are served. */
  isSpeaking: boolean;
  until: number;
  received: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export class PrefaceGate {
  readonly #limits: GateLimits;
  readonly #plain: PlainSettings | undefined;
  readonly #keeper: GateKeeper;
  /** Carriers that have said nothing yet, in order of arrival, and so in order of their deadlines. */
  readonly #silent = new Crowd<Waiting>();
  /** Those that have begun to say something, in the order in which they did; only where plain clients are served. */
  readonly #speaking = new Crowd<Waiting>();
  readonly #deadline = new Deadline(() => this.#expire());

  constructor(limits: GateLimits, plain: PlainSettings | undefined, keeper: GateKeeper) {
    this.#limits = limits;
    this.#plain = plain;
    this.#keeper = keeper;
  }

  accept(carrier: Carrier): void {
    // Over TLS clients of Godwit, and servers, name it in ALPN: who does not is a stranger, whatever he goes on to say.
    if (carrier.tls !== undefined && !this.#isNamed(carrier)) {
      this.#acceptUnnamed(carrier);
      return;
    }
    const waitMs = this.#mayBePlain(carrier)
      ? Math.min(this.#plain?.afterMs ?? Infinity, this.#limits.prefaceTimeoutMs)
      : this.#limits.prefaceTimeoutMs;
    const waiting: Waiting = {
      carrier,
      place: undefined,
      isSpeaking: false,
      until: now() + waitMs,
      received: NOTHING,
    };
    waiting.place = this.#silent.add(waiting);
    this.#wakeBy(waiting.until);
    carrier.start({
      onData: (chunk) => {
        if (waiting.place !== undefined) this.#receive(waiting, chunk);
      },
      onDrain: () => undefined,
      // It may have said all it has to say, and wait for an answer.
      onEnd: () => {
        if (waiting.place === undefined || !this.#mayBePlain(carrier)) return false;
        forget(waiting);
        this.#keeper.acceptPlain(carrier, waiting.received);
        return true;
      },
      onClose: () => {
        forget(waiting);
        this.#keeper.closed(carrier);
      },
    });
  }

  close(): void {
    for (const waiting of [...this.#silent, ...this.#speaking]) {
      forget(waiting);
      waiting.carrier.destroy();
    }
    this.#deadline.set(undefined);
  }

  #isNamed(carrier: Carrier): boolean {
    return carrier.tls?.alpnProtocol === ALPN_PROTOCOL;
  }

  #acceptUnnamed(carrier: Carrier): void {
    if (this.#plain !== undefined) {
      this.#keeper.acceptPlain(carrier, NOTHING);
      return;
    }
    carrier.start({
      onData: () => undefined,
      onDrain: () => undefined,
      onClose: () => this.#keeper.closed(carrier),
    });
    const message = `the client does not name ${ALPN_PROTOCOL} in ALPN: it does not speak Godwit`;
    this.#refuse(carrier, { code: 'ERR_GODWIT_PROTOCOL', message });
  }

  #mayBePlain(carrier: Carrier): boolean {
    // Whose channel it is speaks Godwit.
    return this.#plain !== undefined && !this.#isNamed(carrier) && !(carrier instanceof Channel);
  }

  #receive(waiting: Waiting, chunk: Uint8Array): void {
    const { carrier } = waiting;
    const received = waiting.received.byteLength === 0 ? chunk : concatBytes([waiting.received, chunk]);
    if (mayBePreface(received) && received.byteLength < PREFACE_BYTES) {
      // A part of a chunk must not keep all of it.
      waiting.received = carrier.lendsChunks ? new Uint8Array(received) : received;
      this.#hasBegun(waiting);
      return;
    }
    forget(waiting);
    if (!mayBePreface(received) && this.#mayBePlain(carrier)) {
      this.#keeper.acceptPlain(carrier, received);
      return;
    }
    let role: Role;
    try {
      ({ role } = decodePreface(received.subarray(0, PREFACE_BYTES)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // Who speaks another version of Godwit is told so in this one; a stranger would not understand.
      if (error.wireCode === WireCode.Version) {
        const { wireCode: code, message } = error;
        carrier.write([encodeFrame('refuse', { epoch: 0, code, tryElsewhere: true, message })]);
      }
      this.#refuse(carrier, { code: error.code, message: error.message });
      return;
    }
    if (role !== Role.Client && carrier instanceof Channel) {
      const message = `a channel begins with a client's preface, and not with role ${role}`;
      this.#refuse(carrier, { code: 'ERR_GODWIT_PROTOCOL', message });
      return;
    }
    if (role === Role.Client) this.#keeper.acceptClient(carrier, received.subarray(PREFACE_BYTES));
    else if (role === Role.Trunk) this.#keeper.acceptTrunk(carrier, received.subarray(PREFACE_BYTES));
    else this.#keeper.acceptPeer(carrier, received);
  }

  /** It speaks, and as a client of ours would: it has the time for a whole preface. */
  #hasBegun(waiting: Waiting): void {
    if (!this.#mayBePlain(waiting.carrier) || waiting.isSpeaking) return;
    waiting.isSpeaking = true;
    waiting.place?.leave();
    waiting.until = now() + this.#limits.prefaceTimeoutMs;
    waiting.place = this.#speaking.add(waiting);
  }

  #wakeBy(time: number): void {
    const { dueAt } = this.#deadline;
    if (dueAt === undefined || time < dueAt) this.#deadline.set(time);
  }

  #expire(): void {
    const time = now();
    for (const queue of [this.#silent, this.#speaking]) {
      for (const waiting of queue) {
        if (waiting.until > time) {
          this.#wakeBy(waiting.until);
          break;
        }
        forget(waiting);
        this.#giveUp(waiting);
      }
    }
  }

  #giveUp(waiting: Waiting): void {
    if (this.#mayBePlain(waiting.carrier)) {
      this.#keeper.acceptPlain(waiting.carrier, waiting.received);
      return;
    }
    const message = `no preface within ${this.#limits.prefaceTimeoutMs} ms`;
    this.#refuse(waiting.carrier, { code: 'ERR_GODWIT_TIMEOUT', message });
  }

  #refuse(carrier: Carrier, failure: Failure): void {
    this.#keeper.refused(carrier, failure);
    carrier.end();
  }
}

/** It waits no longer; may be called again. */
function forget(waiting: Waiting): void {
  waiting.place?.leave();
  waiting.place = undefined;
}
