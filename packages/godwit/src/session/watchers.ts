/** Which standby takes TRIGGERs for which session (protocol.md §5.4). */
import { ProtocolError, WireCode, toHex, type FrameValue } from '../wire/index.ts';

export interface Watcher {
  readonly carrierId: number;
  readonly epoch: number;
}

/** What the standbys of one address watch together. */
interface Share {
  count: number;
  standbys: number;
}

/** The sessions that one standby watches, and what they count for. */
interface Watched {
  readonly ids: Set<string>;
  readonly share: Share;
}

export class Watchers {
  readonly #maxPerAddress: number;
  readonly #bySession = new Map<string, Watcher>();
  readonly #byCarrier = new Map<number, Watched>();
  readonly #byNetwork = new Map<string, Share>();

  constructor(maxPerAddress: number) {
    this.#maxPerAddress = maxPerAddress;
  }

  get all(): ReadonlyMap<string, Watcher> {
    return this.#bySession;
  }

  find(id: string): Watcher | undefined {
    return this.#bySession.get(id);
  }

  /** Throws `ProtocolError` (LimitExceeded) when the standbys of that address watch too many sessions; one without an address, alone. */
  update(
    { id: carrierId, network }: { readonly id: number; readonly network: string | undefined },
    watch: FrameValue<'watch'>,
  ): void {
    const watched = this.#byCarrier.get(carrierId) ?? this.#begin(carrierId, network);
    for (const { sessionId } of watch.remove) this.#remove(carrierId, watched, toHex(sessionId));
    for (const { sessionId, epoch } of watch.add) {
      const id = toHex(sessionId);
      if (!watched.ids.has(id)) watched.share.count += 1;
      watched.ids.add(id);
      this.#bySession.set(id, { carrierId, epoch });
    }
    if (watched.share.count > this.#maxPerAddress)
      throw new ProtocolError(
        WireCode.LimitExceeded,
        `the standbys of one address watch more than ${this.#maxPerAddress} sessions (maxWatched)`,
      );
  }

  #begin(carrierId: number, network: string | undefined): Watched {
    const share = (network === undefined ? undefined : this.#byNetwork.get(network)) ?? {
      count: 0,
      standbys: 0,
    };
    share.standbys += 1;
    if (network !== undefined) this.#byNetwork.set(network, share);
    const watched = { ids: new Set<string>(), share };
    this.#byCarrier.set(carrierId, watched);
    return watched;
  }

  #remove(carrierId: number, { ids, share }: Watched, id: string): void {
    if (ids.delete(id)) share.count -= 1;
    if (this.#bySession.get(id)?.carrierId === carrierId) this.#bySession.delete(id);
  }

  dropCarrier({
    id: carrierId,
    network,
  }: {
    readonly id: number;
    readonly network: string | undefined;
  }): void {
    const watched = this.#byCarrier.get(carrierId);
    if (!watched) return;
    this.#byCarrier.delete(carrierId);
    for (const id of [...watched.ids]) this.#remove(carrierId, watched, id);
    watched.share.standbys -= 1;
    if (network !== undefined && watched.share.standbys === 0) this.#byNetwork.delete(network);
  }
}
