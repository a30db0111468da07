/** Connections in which clients share carriers (protocol.md §3.6), at the server. */
import type { Carrier } from '../carriers/carrier.ts';
import { Channel } from '../carriers/channel.ts';
import { Trunk } from '../carriers/trunk.ts';
import type { Failure } from '../session/client-events.ts';
import { Deadline, now } from '../socket/timers.ts';

/** A server keeps a shared connection without channels for so long, in milliseconds: its client ends it before. */
export const EMPTY_TRUNK_TIMEOUT_MS = 15_000;
/**
 * Channels of one connection that may have come to nothing, or not to anything yet, at the most: further ones are refused, since a channel
 * costs its client 20 bytes, and the server a carrier.
 */
export const FRUITLESS_CHANNELS_MAX = 1_024;
/** So many channels that came to nothing are forgotten in a second. */
export const FRUITLESS_CHANNELS_PER_SECOND = 256;

/** What a connection is hung up on for, and who came is told of. */
const HANGS_UP: ReadonlySet<string> = new Set(['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_LIMIT_EXCEEDED']);

export interface TrunksHost {
  /** Channels are taken: the server listens. */
  isListening(): boolean;
  /** A carrier like any other comes in. False: it may not. */
  onChannel(channel: Channel): boolean;
  refused(carrier: Carrier, failure: Failure): void;
  /** The connection has shown that somebody is behind it, or is closed. */
  settled(carrier: Carrier): void;
}

/** What is known of one connection. */
interface Shared {
  readonly trunk: Trunk;
  /** One of its channels has settled what it was for. */
  isProven: boolean;
  /** Channels that have not. */
  unsettled: number;
  /** Channels that came to nothing, and those that may, as of then. */
  fruitless: number;
  countedAt: number;
  readonly deadline: Deadline;
}

export class Trunks {
  readonly #proofTimeoutMs: number;
  readonly #host: TrunksHost;
  readonly #all = new Set<Shared>();
  #isEnding = false;

  /** A connection of which no channel comes to anything within `proofTimeoutMs` is closed. */
  constructor(proofTimeoutMs: number, host: TrunksHost) {
    this.#proofTimeoutMs = proofTimeoutMs;
    this.#host = host;
  }

  get size(): number {
    return this.#all.size;
  }

  /** A connection whose preface says that it is shared; `behind` came in behind that. */
  accept(carrier: Carrier, behind: Uint8Array): void {
    // A server may listen again.
    this.#isEnding = false;
    const shared: Shared = {
      trunk: new Trunk(carrier, {
        onChannel: (channel) => this.#onChannel(shared, channel),
        onEmpty: () => this.#emptied(shared),
        onClose: ({ code, message }) => {
          if (HANGS_UP.has(code)) this.#host.refused(carrier, { code, message });
          this.#all.delete(shared);
          shared.deadline.set(undefined);
        },
        // Until then it takes up its place.
        onGone: () => this.#host.settled(carrier),
      }),
      isProven: false,
      unsettled: 0,
      fruitless: 0,
      countedAt: now(),
      deadline: new Deadline(() => this.#expire(shared)),
    };
    this.#all.add(shared);
    shared.deadline.set(now() + this.#proofTimeoutMs);
    shared.trunk.start(behind);
  }

  /** What the carrier was for is settled: if it is a channel, its connection is no stranger's. */
  settled(carrier: Carrier): void {
    if (!(carrier instanceof Channel) || carrier.guest === undefined) return;
    const shared = carrier.guest as Shared;
    carrier.guest = undefined;
    shared.unsettled -= 1;
    // A carrier that is closed without having come to anything is told of in the same way.
    if (carrier.isClosed || shared.trunk.isOver) return;
    shared.fruitless -= 1;
    if (shared.isProven) return;
    shared.isProven = true;
    if (shared.trunk.size > 0) shared.deadline.set(undefined);
    else this.#emptied(shared);
    this.#host.settled(shared.trunk.carrier);
  }

  /** The server takes nothing any more; what is left are last acknowledgements, which end by themselves. */
  end(): void {
    this.#isEnding = true;
    for (const shared of [...this.#all]) if (shared.trunk.size === 0) shared.trunk.end();
  }
  /** All are gone at once, as after `kill -9`. */
  kill(): void {
    for (const { trunk } of [...this.#all]) trunk.destroy();
  }

  #onChannel(shared: Shared, channel: Channel): boolean {
    if (!this.#host.isListening() || !this.#mayBegin(shared)) return false;
    channel.guest = shared;
    shared.unsettled += 1;
    if (this.#host.onChannel(channel)) {
      if (shared.isProven) shared.deadline.set(undefined);
      return true;
    }
    // It stays among those that came to nothing.
    channel.guest = undefined;
    shared.unsettled -= 1;
    return false;
  }

  #mayBegin(shared: Shared): boolean {
    const time = now();
    const forgotten = ((time - shared.countedAt) / 1000) * FRUITLESS_CHANNELS_PER_SECOND;
    shared.fruitless = Math.max(shared.unsettled, shared.fruitless - forgotten);
    shared.countedAt = time;
    if (shared.fruitless >= FRUITLESS_CHANNELS_MAX) return false;
    shared.fruitless += 1;
    return true;
  }

  #emptied(shared: Shared): void {
    if (this.#isEnding) shared.trunk.end();
    else if (shared.isProven) shared.deadline.set(now() + EMPTY_TRUNK_TIMEOUT_MS);
  }

  #expire(shared: Shared): void {
    const { trunk, isProven, unsettled } = shared;
    if (isProven) {
      if (trunk.size === 0) trunk.end();
      return;
    }
    // Each of them has as much time for itself.
    if (unsettled > 0) {
      shared.deadline.set(now() + this.#proofTimeoutMs);
      return;
    }
    const message = `no channel of the connection came to anything within ${this.#proofTimeoutMs} ms`;
    this.#host.refused(trunk.carrier, { code: 'ERR_GODWIT_TIMEOUT', message });
    trunk.end();
  }
}
