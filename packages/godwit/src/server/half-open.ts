/** Peers that have settled nothing yet, counted in all and by address (protocol.md §12.3). */
import { networkOf } from '../carriers/address.ts';
import type { Carrier } from '../carriers/carrier.ts';

export interface HalfOpenLimits {
  /**
   * Peers in a TLS handshake, and carriers on which nothing is settled yet: not even the preface, or no SUPPORT for OPEN, no
   * valid CONFIRM for MIGRATE, no proof for STANDBY; and those that were refused, until they are closed. More are closed at
   * once. Default 4,096; 1 … 1,000,000. Memory: about 6 KiB each,
   * and up to 450 KiB of what it sends while an application (`authorize`) or a fence thinks about it.
   */
  readonly maxHalfOpen: number;
  /**
   * The same from one address: of IPv6, from one network of 64 bits. Default 1,024; 1 … 1,000,000. Clients behind one NAT, or
   * in one process, share it. Peers over a Unix socket have no address: who they may be is for the permissions of its file.
   */
  readonly maxHalfOpenPerAddress: number;
}

export const DEFAULT_HALF_OPEN_LIMITS: HalfOpenLimits = { maxHalfOpen: 4_096, maxHalfOpenPerAddress: 1_024 };

export const HALF_OPEN_RANGES = {
  maxHalfOpen: [1, 1_000_000],
  maxHalfOpenPerAddress: [1, 1_000_000],
} as const;

export class HalfOpen {
  readonly #limits: HalfOpenLimits;
  readonly #byNetwork = new Map<string, number>();
  #size = 0;

  constructor(limits: HalfOpenLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** Why a peer at this address may not come in now; undefined when it may. */
  objectionTo(address: string | undefined): string | undefined {
    const { maxHalfOpen, maxHalfOpenPerAddress } = this.#limits;
    if (this.#size >= maxHalfOpen) return `${this.#size} carriers have settled nothing yet (maxHalfOpen)`;
    const network = address === undefined ? '' : networkOf(address);
    if (network === '' || (this.#byNetwork.get(network) ?? 0) < maxHalfOpenPerAddress) return undefined;
    return `${maxHalfOpenPerAddress} carriers from ${network} have settled nothing yet (maxHalfOpenPerAddress)`;
  }

  /** A peer begins; the answer is called when it is done, and may be called again. */
  enter(address: string | undefined): () => void {
    const network = address === undefined ? '' : networkOf(address);
    this.#add(network);
    let isIn = true;
    return () => {
      if (isIn) this.#remove(network);
      isIn = false;
    };
  }

  /** A carrier begins. */
  enterCarrier(carrier: Carrier): void {
    const network = carrier.remoteAddress === undefined ? '' : networkOf(carrier.remoteAddress);
    carrier.halfOpenFrom = network;
    this.#add(network);
  }

  /** What the carrier was for is settled, or it is closed. */
  leave(carrier: Carrier): void {
    const network = carrier.halfOpenFrom;
    if (network === undefined) return;
    carrier.halfOpenFrom = undefined;
    this.#remove(network);
  }

  #add(network: string): void {
    this.#size += 1;
    this.#byNetwork.set(network, (this.#byNetwork.get(network) ?? 0) + 1);
  }

  #remove(network: string): void {
    this.#size -= 1;
    const left = (this.#byNetwork.get(network) ?? 1) - 1;
    if (left === 0) this.#byNetwork.delete(network);
    else this.#byNetwork.set(network, left);
  }
}
