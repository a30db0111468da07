/** What a peer is: another way to give a client bytes from a server that may die. */
import type { Delivery, Reader } from '../programs/blackout-calls.ts';
import type { Work } from './work.ts';

export type PeerName = 'http' | 'ws' | 'wsOffsets' | 'socketio' | 'socketioOffsets';

export interface PeerServerConfig {
  readonly peer: PeerName;
  readonly work: Work;
  /** 0: one that is free. */
  readonly port: number;
  /** The socket of a Redis server, for the peer that needs one. */
  readonly redis?: string;
}

export interface PeerClientConfig {
  readonly peer: PeerName;
  readonly work: Work;
  /** The servers, in the order in which to try them. */
  readonly ports: readonly number[];
}

/** Serves, and answers the port. */
export type ServePeer = (config: PeerServerConfig) => Promise<number>;

/** A client that reads what its server sends, and goes to another server when that dies. */
export interface PeerReader extends Reader {
  /** Sends bytes and waits for as many to come back. */
  readonly ask: (bytes: Buffer, answered: () => void) => void;
}

export type ReadPeer = (config: PeerClientConfig, delivery: Delivery) => Promise<PeerReader>;

/** Something that happens again and again, one at a time awaited. */
export class Arrival {
  #next = Promise.withResolvers<undefined>();

  /** It happened. */
  readonly happen = (): void => this.#next.resolve(undefined);

  /** Comes when it happens after this call. */
  async again(): Promise<undefined> {
    this.#next = Promise.withResolvers<undefined>();
    return this.#next.promise;
  }

  /** Comes when it happens, or has happened since the last `again`. */
  get happened(): Promise<undefined> {
    return this.#next.promise;
  }
}
