/** What the processes of a chaos run are told, and what they tell. */
import type { Delivery } from '../../packages/cli/src/demo/transfer.ts';
import type { Verdict } from '../../packages/cli/src/demo/comparer.ts';

/** `crowd` is many sessions that do little each, of the service of `requests`. */
export const WORKLOADS = ['down', 'up', 'requests', 'crowd'] as const;
export type Workload = (typeof WORKLOADS)[number];

export const DELIVERIES: readonly Delivery[] = ['replay', 'commit'];

/** What servers offer, each on a port of its own: a service has one mode of delivery. */
export interface Service {
  readonly name: string;
  readonly port: number;
  readonly kind: 'down' | 'up' | 'requests';
  readonly delivery: Delivery;
}

const FIRST_PORT = 7001;

/** The network is ours alone, so the ports are free. */
export const SERVICES: readonly Service[] = (['down', 'up', 'requests'] as const).flatMap((kind, row) =>
  DELIVERIES.map((delivery, column) => {
    const port = FIRST_PORT + row * DELIVERIES.length + column;
    return { name: `${kind}-${delivery}`, port, kind, delivery };
  }),
);

export interface Host {
  readonly name: string;
  readonly host: string;
}

/** What all processes of a run share. */
export interface Common {
  readonly servers: readonly Host[];
  /** The file that transfers carry, and an empty one for the other direction. */
  readonly file: string;
  readonly nothing: string;
  /** When the run began, by the clock of `log.ts`. */
  readonly startedMs: number;
}

/** First argument of a server process, as JSON; the cluster's key comes in the environment. */
export interface ServerConfig extends Common, Host {
  readonly database: string;
}

export type ServerCommand = { readonly type: 'drain' };

export type ServerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'drained'; readonly moved: number }
  /** What the store answered, besides what it usually does. */
  | { readonly type: 'applied'; readonly outcome: 'repeated' | 'fenced' | 'busy' | 'full' }
  | { readonly type: 'failed'; readonly message: string };

/** First argument of a client process, as JSON. */
export interface ClientConfig extends Common {
  readonly name: string;
  readonly seed: number;
  readonly slots: readonly Slot[];
}

/** A place for one session after the other. */
export interface Slot {
  readonly workload: Workload;
  readonly delivery: Delivery;
}

export type ClientCommand =
  /** Which sessions have bytes in flight, and with which server? */
  | { readonly type: 'census' }
  /** Something is about to happen to these servers, or to the client's own network. */
  | { readonly type: 'watch'; readonly incident: number; readonly servers?: readonly string[] }
  /** The sessions of that incident shall move away. */
  | { readonly type: 'move'; readonly incident: number }
  /** What happened is over; a session that goes on where it was has survived it too. */
  | { readonly type: 'healed'; readonly incident: number }
  /** No new sessions; end those that there are. */
  | { readonly type: 'finish' };

export type ClientMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'census'; readonly flowing: Readonly<Record<string, number>> }
  | {
      readonly type: 'watched';
      readonly incident: number;
      /** Sessions that it happens to, and those of them with bytes in flight. */
      readonly watched: number;
      readonly flowing: number;
    }
  /** A session that was watched is with another process now, or attached again. */
  | { readonly type: 'moved'; readonly incident: number }
  /** A session that was watched goes on, or has ended; so long its client had to wait. */
  | { readonly type: 'settled'; readonly incident: number; readonly blackoutMs: number }
  /** A session could not be opened; its client tries again. */
  | { readonly type: 'notOpened'; readonly code: string }
  | { readonly type: 'ended'; readonly outcome: SessionOutcome }
  /** All sessions have ended after `finish`. */
  | { readonly type: 'finished' }
  | { readonly type: 'failed'; readonly message: string };

/** How a session went. */
export interface SessionOutcome extends Slot {
  readonly session: string;
  readonly migrations: number;
  readonly verdict: Verdict;
  /** Both ends hashed what they sent and received, and do not agree. */
  readonly mismatched: boolean;
  /** Of requests. */
  readonly requests?: RequestOutcome;
  /** Why the session did not end in good order. */
  readonly problem?: string;
}

export interface RequestOutcome {
  readonly answered: number;
  /** SHA-256 of the receipts in order, in hexadecimal. */
  readonly receipts: string;
}
