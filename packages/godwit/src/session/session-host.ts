/** What a session at a server needs of its node, and what it starts from (protocol.md §10.2). */
import type { CryptoBook } from './crypto.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerEvent } from './server-events.ts';
import type { ServerSession } from './server-session.ts';
import type { ServerStreams, SnapshotPoint } from './server-streams.ts';
import type { CoveredPoint } from './snapshot-sender.ts';
import type { SnapshotSlots } from './snapshot-slots.ts';

/** What a session needs of its node. */
export interface SessionHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  readonly snapshotSlots: SnapshotSlots;
  /** Time of the call that is being served. */
  readonly now: number;
  /** The application calls: its time counts from here on. */
  enter(now: number): void;
  emit(event: ServerEvent): void;
  /** The session has something to transmit, or its timers changed. */
  touch(session: ServerSession): void;
  setBusy(carrierId: number, busy: boolean): void;
  /** False while the carrier takes no more. */
  isWritable(carrierId: number): boolean;
  /** Ends the carrier after `last`. */
  hangUp(carrierId: number, last: readonly Uint8Array[]): void;
  /** The client confirmed the attach: the former server is told, the client gets SUPPORT. */
  confirmed(session: ServerSession): void;
  /** The client came back to a frozen session: no hand-over goes on. */
  resumed(session: ServerSession): void;
  /** The application answered a freeze. */
  freezeReady(session: ServerSession): void;
  /** The session is over here; `movedTo` when it lives on elsewhere. */
  ended(session: ServerSession, movedTo: string | undefined): void;
}

export interface SessionInit {
  readonly sessionId: Uint8Array;
  readonly secret: Uint8Array;
  readonly epoch: number;
  readonly streams: ServerStreams;
  readonly point: SnapshotPoint;
  readonly covered: CoveredPoint;
  readonly state: 'active' | 'offered';
  readonly retainLimitBytes: number;
  readonly maxBodyBytes: number;
  /** The application has finished with it already: only its last bytes are left to deliver. */
  readonly terminal: boolean;
  /** What the client has let go of without a ticket that covers it; undefined while it is protected. */
  readonly lost: { readonly input: number; readonly output: number } | undefined;
  readonly service: string;
}
