/** The places that a server has for sessions and plain connections, or for standbys, in all and for each address (protocol.md §12.3). */
import { ProtocolError, WireCode } from '../wire/index.ts';
import type { ServerLimits } from './limits.ts';

/** Who takes a place; `place` is the list's own. */
export interface Occupant {
  /** The address that the place counts for, '' where addresses do not count; undefined without a place. */
  place: string | undefined;
}

interface PlaceLimits {
  readonly max: number;
  /** 0: none. */
  readonly maxPerAddress: number;
  /** What the places are for, and the setting that says how many one address may have. */
  readonly what: string;
  readonly setting: keyof ServerLimits;
}

export class Places {
  readonly #limits: PlaceLimits;
  readonly #byNetwork = new Map<string, number>();
  #size = 0;
  /** None is left, whatever the limits say: the server has too much to do. */
  isClosed = false;

  private constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  static ofSessions(limits: Pick<ServerLimits, 'maxSessions' | 'maxSessionsPerAddress'>): Places {
    const { maxSessions: max, maxSessionsPerAddress: maxPerAddress } = limits;
    return new Places({ max, maxPerAddress, what: 'sessions', setting: 'maxSessionsPerAddress' });
  }

  static ofStandbys(limits: Pick<ServerLimits, 'maxStandbys' | 'maxStandbysPerAddress'>): Places {
    const { maxStandbys: max, maxStandbysPerAddress: maxPerAddress } = limits;
    return new Places({ max, maxPerAddress, what: 'standbys', setting: 'maxStandbysPerAddress' });
  }

  /** Places that are taken. */
  get size(): number {
    return this.#size;
  }

  /**
   * Throws `ProtocolError` (Busy) when there is none for somebody from `network`, apart from the `promised` ones that are about
   * to be taken.
   */
  check(network: string | undefined, promised = 0): void {
    const { max, maxPerAddress, what, setting } = this.#limits;
    if (this.isClosed || this.#size + promised >= max)
      throw new ProtocolError(WireCode.Busy, `this server has all the ${what} it takes`, true);
    if (network === undefined || maxPerAddress === 0) return;
    const taken = this.#byNetwork.get(network) ?? 0;
    if (taken >= maxPerAddress)
      throw new ProtocolError(
        WireCode.Busy,
        `${network} has all the ${what} that one address may have (${setting})`,
        true,
      );
  }

  /** Takes one, checked or not: who has one already is never turned away, and counts for where he comes from now. */
  take(occupant: Occupant, network = ''): void {
    if (occupant.place === network) return;
    this.leave(occupant);
    occupant.place = network;
    this.#size += 1;
    if (network !== '') this.#byNetwork.set(network, (this.#byNetwork.get(network) ?? 0) + 1);
  }

  leave(occupant: Occupant): void {
    const { place } = occupant;
    if (place === undefined) return;
    occupant.place = undefined;
    this.#size -= 1;
    if (place === '') return;
    const left = (this.#byNetwork.get(place) ?? 1) - 1;
    if (left === 0) this.#byNetwork.delete(place);
    else this.#byNetwork.set(place, left);
  }
}
