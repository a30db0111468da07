/** The seam between a socket and the session under it: the same for a session's client end and its server end. */
import type { TLSSocket } from 'node:tls';
import type { Carrier, DialStep } from '../carriers/carrier.ts';
import type { CauseName } from '../wire/index.ts';
import type { Candidate, Failure, MigrationReport } from '../session/client-events.ts';
import type { CarrierOptions } from './carrier-settings.ts';

/** Both ends' addresses, as the operating system gives them. */
export interface Addresses {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly localFamily?: string | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly remoteFamily?: string | undefined;
}

/** What `socket.address()` answers. */
export function socketAddress({
  localAddress: address,
  localFamily: family = 'IPv4',
  localPort: port = 0,
}: Addresses): { address: string; family: string; port: number } | Record<string, never> {
  return address === undefined ? {} : { address, family, port };
}

/** What a socket does to its session. Nothing here calls back into the socket before it returns. */
export interface SessionPort {
  /** Lower-case hexadecimal, 32 digits; undefined where there is no session. */
  readonly sessionId: string | undefined;
  readonly epoch: number;
  readonly isProtected: boolean;
  /** True while the session is being handed over: nothing may be read from it, and writes wait outside. */
  readonly isFrozen: boolean;
  readonly currentServer: Candidate | undefined;
  /** False: write no more before `drained`. A soft limit: what is written nevertheless is kept. */
  readonly wantsWrite: boolean;
  /** The most bytes to write at once, so that a snapshot behind them can reach the client. */
  readonly writeRoom: number;
  /** Copies: the bytes may be reused at once. */
  write(bytes: Uint8Array): void;
  end(): void;
  read(): Uint8Array | 'end' | undefined;
  /** The application took so many bytes out of its stream. */
  consumed(bytes: number): void;
  /** The application saw the end of the stream. */
  finConsumed(): void;
  /** The application is gone. What it has written still arrives. */
  destroy(): void;
  /** As `destroy`, but the peer's application gets ECONNRESET. */
  reset(): void;
  /**
   * Asks for a move; undefined lets the session choose. The outcome comes through the listener. Answers why the session
   * can't be asked to move now, if it can't.
   */
  migrate(to: string | Candidate | undefined): Failure | undefined;
  /** Whether the session that has just moved to the server of that name is where `to`, as `migrate` takes it, wants it. */
  isWanted(to: string | Candidate, name: string): boolean;
  /** Sets what holds for the carriers, this one and those to come. */
  configure(options: CarrierOptions): void;
  /** Of the present carrier, or as set. */
  readonly typeOfService: number;
  /** What TLS knows of the present carrier's peer, or of the last one's; undefined without TLS. */
  readonly tls: TLSSocket | undefined;
}

/** What a session tells its socket. */
export interface PortListener {
  /** A carrier is dialled for a session that is not connected yet. */
  dialStep(step: DialStep): void;
  connected(addresses: Addresses): void;
  readable(): void;
  drained(): void;
  /** The hand-over was given up: go on reading and writing. */
  thawed(): void;
  migrating(cause: CauseName, from: string, to: string | undefined): void;
  migrated(report: MigrationReport): void;
  migrationFailed(failure: Failure): void;
  unprotected(reason: string): void;
  protected(): void;
  servers(servers: readonly Candidate[]): void;
  /** The session is over; nothing follows. */
  closed(error: Error | undefined): void;
}

/** What a socket reports of the carrier it was connected over. */
export function addressesOf(carrier: Carrier | undefined): Addresses {
  if (carrier === undefined) return {};
  const { localAddress, localPort, remoteAddress, remotePort, remoteFamily } = carrier;
  return { localAddress, localPort, localFamily: remoteFamily, remoteAddress, remotePort, remoteFamily };
}
