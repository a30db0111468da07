/** What the demo's processes tell each other over their IPC channels, and how they are told what to do. */
import type { Delivery, TransferResult } from './transfer.ts';

/** Environment variable with the cluster key, in hexadecimal. It never shows on a command line. */
export const KEY_VARIABLE = 'GODWIT_DEMO_KEY';

/** First argument of a server process, as JSON. */
export interface ServerConfig {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Addresses of all servers, this one included. */
  readonly members: readonly string[];
  readonly delivery: Delivery;
  readonly file: string;
  readonly rate: number;
}

export type ServerCommand =
  | { readonly type: 'drain' }
  /** For sessions that start from now on. */
  | { readonly type: 'pace'; readonly rate: number };

export type ServerMessage =
  | { readonly type: 'ready' }
  /** Every session has left, so many by a migration. */
  | { readonly type: 'drained'; readonly moved: number }
  | { readonly type: 'failed'; readonly message: string };

/** First argument of the client process, as JSON. */
export interface ClientConfig {
  readonly servers: readonly string[];
  readonly delivery: Delivery;
  readonly file: string;
  readonly rate: number;
  readonly seed: number;
  /** Bytes between two reports of progress. */
  readonly progressBytes: number;
}

export interface MigrationPhases {
  readonly detect: number;
  readonly connect: number;
  readonly attach: number;
  readonly firstByte: number | undefined;
}

/** A migration as the client saw it. */
export interface Migration {
  readonly cause: string;
  readonly from: string;
  readonly to: string;
  /** Where the restored state came from. */
  readonly source: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly phases: MigrationPhases;
  /** The longest time between two deliveries around the migration, measured by the client application. */
  readonly blackoutMs: number;
}

export type ClientMessage =
  | { readonly type: 'connected'; readonly server: string }
  | { readonly type: 'progress'; readonly down: number; readonly up: number }
  | { readonly type: 'migrating'; readonly cause: string }
  /** The session is at another server now. What it cost follows as `migrated`. */
  | { readonly type: 'attached'; readonly server: string; readonly epoch: number }
  | { readonly type: 'migrated'; readonly migration: Migration }
  | { readonly type: 'done'; readonly result: TransferResult }
  | { readonly type: 'failed'; readonly message: string };
