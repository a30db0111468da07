/**
 * The standbys of this process: one to each server (and service) that some session might move to, shared by all that dial
 * alike (protocol.md §5.4). They keep no process alive.
 */
import type { Transport } from '../carriers/carrier.ts';
import type { Candidate } from '../session/client-events.ts';
import { Standby, type HubMember, type TakenStandby } from './standby.ts';

export type { HubMember } from './standby.ts';

const hubs = new WeakMap<Transport, StandbyHub>();

/** Carriers of different transports are not interchangeable, so each transport has a hub. */
export function standbyHubOf(transport: Transport): StandbyHub {
  let hub = hubs.get(transport);
  if (hub === undefined) {
    hub = new StandbyHub(transport);
    hubs.set(transport, hub);
  }
  return hub;
}

export class StandbyHub {
  readonly #transport: Transport;
  readonly #standbys = new Map<string, Standby>();
  readonly #joined = new Map<string, Set<string>>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Standbys that exist or are being set up. */
  get size(): number {
    return this.#standbys.size;
  }

  /** Joins the session to the standbys of these servers and of no others; its epoch may have changed. */
  update(member: HubMember, servers: readonly Candidate[]): void {
    // Where one server is all there is, which is most connections.
    if (servers.length === 0 && !this.#joined.has(member.sessionId)) return;
    const wanted = new Map(servers.map((server) => [keyOf(member, server), server]));
    const joined = this.#joined.get(member.sessionId) ?? new Set();
    for (const key of joined) if (!wanted.has(key)) this.#standbys.get(key)?.remove(member);
    this.#joined.set(member.sessionId, new Set(wanted.keys()));
    for (const [key, server] of wanted) this.#standby(key, server, member).add(member);
  }

  leave(member: HubMember): void {
    this.update(member, []);
    this.#joined.delete(member.sessionId);
  }

  /** Whether `take` would answer a carrier. */
  isReady(member: HubMember, server: Candidate): boolean {
    return this.#standbys.get(keyOf(member, server))?.isReady ?? false;
  }

  /** A ready carrier to that server, for the session to attach over. */
  take(member: HubMember, server: Candidate): TakenStandby | undefined {
    return this.#standbys.get(keyOf(member, server))?.take();
  }

  #standby(key: string, server: Candidate, { dialing }: HubMember): Standby {
    let standby = this.#standbys.get(key);
    if (standby === undefined) {
      standby = new Standby(server, this.#transport, dialing, () => this.#standbys.delete(key));
      this.#standbys.set(key, standby);
    }
    return standby;
  }
}

/** A standby serves one service, and is dialled in one way: past no block list, and from the address that was asked for. */
function keyOf({ service, dialing }: HubMember, { host, port }: Candidate): string {
  return `${service} ${host}:${port} ${dialing.key}`;
}
