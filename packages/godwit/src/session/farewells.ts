/** What former servers are told once a client has confirmed its session here (protocol.md §9.4). */
import { Roster } from './roster.ts';
import { encodePeerFrame, type ServerAddress } from '../wire/index.ts';
import type { ServerTimers } from './limits.ts';
import type { PendingAttach } from './pending-attach.ts';
import { originAddress } from './restore-rules.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { TicketHead } from './ticket.ts';

export type Farewell =
  | { readonly kind: 'confirmed'; readonly peer: ServerAddress; readonly epoch: number }
  | {
      readonly kind: 'release';
      readonly peer: ServerAddress;
      readonly nonce: Uint8Array;
      readonly migrate: Uint8Array;
    };

/** CONFIRMED to a server that handed the session over, RELEASE to one that took no part. */
export function encodeFarewell(sessionId: Uint8Array, farewell: Farewell): Uint8Array {
  if (farewell.kind === 'confirmed')
    return encodePeerFrame('confirmed', { sessionId, epoch: farewell.epoch });
  return encodePeerFrame('release', { sessionId, nonce: farewell.nonce, migrate: farewell.migrate });
}

/** RELEASE goes out after so many times `releaseDelayMs`. */
const RELEASE_TIMES = [1, 12, 80];

/** When RELEASE goes out, in milliseconds from CONFIRM on. */
export function releaseDelays({ releaseDelayMs }: Pick<ServerTimers, 'releaseDelayMs'>): readonly number[] {
  return RELEASE_TIMES.map((times) => times * releaseDelayMs);
}

/** Of sessions that were offered, until their client confirms. */
export class Farewells {
  readonly #config: ServerNodeConfig;
  readonly #waiting: Roster<string, Farewell>;

  constructor(config: ServerNodeConfig) {
    this.#config = config;
    this.#waiting = new Roster(config.hashSeed);
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** The attach was accepted: its origin handed the session over, or will hear of it. */
  offered(attach: PendingAttach, head: TicketHead): void {
    const farewell = attach.farewell ?? this.#releaseOf(attach, head);
    if (farewell) this.#waiting.set(attach.id, farewell);
  }

  /** The client confirmed: what its former server must be told. */
  take(id: string): Farewell | undefined {
    const farewell = this.#waiting.get(id);
    this.#waiting.delete(id);
    return farewell;
  }

  /** A session that was never confirmed ended: nobody is to be told. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  #releaseOf(attach: PendingAttach, head: TicketHead): Farewell | undefined {
    const peer = originAddress(this.#config, attach.migrate.origin, head);
    if (!peer || peer.name === this.#config.name) return undefined;
    return { kind: 'release', peer, nonce: attach.nonce, migrate: attach.migrate.payload };
  }
}
