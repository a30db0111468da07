/** What a server node asks of the world and tells it (protocol.md §10.2). */
import type { ServerAddress, SourceName, CauseName } from '../wire/index.ts';
import type { CryptoEvent } from './crypto.ts';
import type { Failure } from './client-events.ts';
import type { ServerSession } from './server-session.ts';

/** Why the engine wants a snapshot now. */
export type ExportReason =
  /** Bytes or time since the last. */
  | 'cadence'
  /** A limit is near: without a snapshot the session will be unprotected. */
  | 'pressure'
  /** The application ended its output in `commit` mode. */
  | 'end'
  /** The session is about to move: `ServerSession.freezeReady` must be called, at the latest at the deadline. */
  | 'freeze';

/** What a restored session starts from. */
export interface RestartPoint {
  readonly epoch: number;
  readonly k: number;
  readonly input: number;
  readonly output: number;
  readonly state: Uint8Array;
  readonly source: SourceName;
}

export type ServerEvent =
  | CryptoEvent
  /** The peer proved itself: the carrier's decoder may take larger frames. */
  | { readonly type: 'authenticated'; readonly carrierId: number; readonly isStandby?: boolean }
  /** Write `last`, flush all that was written, then close the carrier. */
  | { readonly type: 'hangUp'; readonly carrierId: number; readonly last: readonly Uint8Array[] }
  /** Send these bytes (one or more peer frames) to a peer; answer with `handlePeerLost` when that can't be done. */
  | { readonly type: 'peerSend'; readonly peer: ServerAddress; readonly bytes: Uint8Array }
  /** A session starts here: the application takes it over. `restart` is undefined for a new one. */
  | {
      readonly type: 'session';
      readonly session: ServerSession;
      readonly restart: RestartPoint | undefined;
      readonly cause: CauseName | undefined;
    }
  | { readonly type: 'readable'; readonly session: ServerSession }
  | { readonly type: 'drain'; readonly session: ServerSession }
  | {
      readonly type: 'exportDue';
      readonly session: ServerSession;
      readonly reason: ExportReason;
      readonly deadline: number | undefined;
    }
  /** The session stops feeding and emitting: it is being handed over. */
  | { readonly type: 'frozen'; readonly session: ServerSession }
  /** The hand-over was given up: the session goes on here. */
  | { readonly type: 'thawed'; readonly session: ServerSession }
  | { readonly type: 'attached'; readonly session: ServerSession; readonly carrierId: number }
  | { readonly type: 'detached'; readonly session: ServerSession }
  /** The client confirmed the attach: this server is the session's now. */
  | { readonly type: 'confirmed'; readonly session: ServerSession }
  | { readonly type: 'unprotected'; readonly session: ServerSession; readonly reason: string }
  | { readonly type: 'protected'; readonly session: ServerSession }
  /** The fence can't be reached: what it guards against is possible until `fenced`. */
  | { readonly type: 'unfenced'; readonly session: ServerSession; readonly reason: string }
  | { readonly type: 'fenced'; readonly session: ServerSession }
  /** The client confirmed the session elsewhere: the application's socket closes with ERR_GODWIT_MOVED. */
  | { readonly type: 'moved'; readonly session: ServerSession; readonly to: string }
  /** The session is over; nothing follows for it. */
  | { readonly type: 'closed'; readonly session: ServerSession; readonly failure: Failure | undefined }
  /** A peer or client erred before it had a session: for the log. */
  | { readonly type: 'refused'; readonly carrierId: number; readonly failure: Failure };
