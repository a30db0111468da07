/** What a client session asks of the world and tells it (protocol.md §10.1). */
import type { CauseName, Frame, DataPiece, ServerAddress, SourceName } from '../wire/index.ts';
import type { CryptoEvent } from './crypto.ts';

/** An address a session may dial; `name` is empty until a server told it. */
export type Candidate = ServerAddress;

/** How long each phase of a migration took, in milliseconds. */
export interface MigrationPhases {
  /** From the last sign of life to the decision to migrate (0 for planned ones). */
  readonly detect: number;
  /** Carrier set-up: until a CHALLENGE was in hand (0 over a standby). */
  readonly connect: number;
  /** From MIGRATE to ACCEPT: proof, fetching and restoring at the destination. */
  readonly attach: number;
  /** From ACCEPT to the first byte delivered behind it; undefined while none has come. */
  readonly firstByte: number | undefined;
}

export interface MigrationReport {
  readonly cause: CauseName;
  readonly from: string;
  readonly to: string;
  readonly source: SourceName;
  readonly epoch: number;
  /** MIGRATEs sent until one was accepted. */
  readonly attempts: number;
  readonly phases: MigrationPhases;
  /** From the last byte delivered before to the first byte delivered after, in milliseconds. */
  readonly blackoutMs: number | undefined;
}

/** An end with an error; `code` is what `error.code` will be. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  /** What a carrier knows besides; the core only passes it on. */
  readonly cause?: unknown;
}

export type ClientEvent =
  | CryptoEvent
  /** Set a carrier up to this address; answer with `handleConnected` or `handleDialFailed`. */
  | { readonly type: 'dial'; readonly dialId: number; readonly candidate: Candidate }
  | { readonly type: 'cancelDial'; readonly dialId: number }
  /** Write `last`, flush all that was written, then close the carrier. */
  | { readonly type: 'hangUp'; readonly carrierId: number; readonly last: readonly Uint8Array[] }
  /** The session is established (SUPPORT verified). */
  | { readonly type: 'connected'; readonly serverName: string }
  /** `read()` has something. */
  | { readonly type: 'readable' }
  /** `wantsWrite` turned true again. */
  | { readonly type: 'drain' }
  | {
      readonly type: 'migrating';
      readonly cause: CauseName;
      readonly from: string;
      readonly to: string | undefined;
    }
  | { readonly type: 'migrated'; readonly report: MigrationReport }
  /** The first byte came from the new server: the same report, now with `blackoutMs` and `phases.firstByte`. */
  | { readonly type: 'flowing'; readonly report: MigrationReport }
  /** A planned migration failed; the session goes on where it was (invariant I6). */
  | { readonly type: 'migrationFailed'; readonly cause: CauseName; readonly failure: Failure }
  | { readonly type: 'unprotected'; readonly reason: string }
  | { readonly type: 'protected' }
  /** The list of servers changed (SUPPORT). */
  | { readonly type: 'servers'; readonly servers: readonly Candidate[] }
  /** The session is over; nothing follows. With a failure the application gets an error. */
  | { readonly type: 'closed'; readonly failure: Failure | undefined };

/** What `handleFrame` takes. */
export type Incoming = Frame | DataPiece;

/** Bytes to write to a carrier, in order, in one call. */
export interface Transmit {
  readonly carrierId: number;
  readonly parts: readonly Uint8Array[];
}

/** Why a carrier is gone. `reset` when the peer's host said so (RST, refusal or an end of the pipe). */
export interface CarrierFailure extends Failure {
  readonly reset: boolean;
  /** It says nothing of the server: the carrier shared a connection that is no good (§3.6), and another one may well do. */
  readonly redial?: true | undefined;
}
