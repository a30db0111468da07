/** What former servers are told once a client has confirmed its session here (protocol.md §9.4). */
import { encodePeerFrame, type ServerAddress } from '../wire/index.ts';
import { Repeated, type DeadlineOwner } from './deadline-heap.ts';
import type { ServerTimers } from './limits.ts';
import type { PendingAttach } from './pending-attach.ts';
import { originAddress } from './restore-rules.ts';
import { Roster } from './roster.ts';
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

/** RELEASE goes out after so many times `releaseDelayMs`. */
const RELEASE_TIMES = [1, 12, 80];

/** When RELEASE goes out, in milliseconds from CONFIRM on. */
export function releaseDelays({ releaseDelayMs }: Pick<ServerTimers, 'releaseDelayMs'>): readonly number[] {
  return RELEASE_TIMES.map((times) => times * releaseDelayMs);
}

/** The session that has come. */
interface Told {
  readonly id: string;
  readonly sessionId: Uint8Array;
}

/** What farewells need of the node. */
export interface FarewellHost {
  sendPeer(peer: ServerAddress, bytes: Uint8Array): void;
  arm(owner: DeadlineOwner): void;
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

  /** The client confirmed: its former server is told, if it must be. */
  say({ id, sessionId }: Told, now: number, host: FarewellHost): void {
    const farewell = this.#waiting.get(id);
    if (!farewell) return;
    this.#waiting.delete(id);
    const bytes = encodeFarewell(sessionId, farewell);
    const send = (): void => host.sendPeer(farewell.peer, bytes);
    if (farewell.kind === 'confirmed') send();
    else host.arm(new Repeated(now, releaseDelays(this.#config.timers), send));
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

/** CONFIRMED to a server that handed the session over, RELEASE to one that took no part. */
function encodeFarewell(sessionId: Uint8Array, farewell: Farewell): Uint8Array {
  if (farewell.kind === 'confirmed')
    return encodePeerFrame('confirmed', { sessionId, epoch: farewell.epoch });
  return encodePeerFrame('release', { sessionId, nonce: farewell.nonce, migrate: farewell.migrate });
}
