/**
 * What the sessions of one client process learn together of one server (protocol.md §10.3): when any of them last heard of
 * it, and how long a round trip takes. With many sessions each would ask for itself otherwise, and asking would cost more
 * than their bytes do.
 */
import type { Candidate } from './client-events.ts';

/** Servers remembered; the one that was met first goes first. Memory: about 200 bytes each. */
const MAX_SERVERS = 1024;

export interface ServerPulse {
  /** When any session that lives there last heard of it. */
  heardAt: number;
  /** Smoothed round trip, and the time of its last sample; undefined before the first. */
  roundTrip: { smoothedMs: number; readonly measuredAt: number } | undefined;
}

/** For sessions that are dialled alike: others may take another path. */
export class ServerPulses {
  readonly #pulses = new Map<string, ServerPulse>();

  /** One that nobody shares. */
  static alone(): ServerPulse {
    return { heardAt: -Infinity, roundTrip: undefined };
  }

  of({ name, host, port }: Candidate): ServerPulse {
    const key = `${name} ${host}:${port}`;
    let pulse = this.#pulses.get(key);
    if (pulse !== undefined) return pulse;
    for (const oldest of this.#pulses.keys()) {
      if (this.#pulses.size < MAX_SERVERS) break;
      this.#pulses.delete(oldest);
    }
    pulse = ServerPulses.alone();
    this.#pulses.set(key, pulse);
    return pulse;
  }
}
