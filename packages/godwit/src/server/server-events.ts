/** What a server tells: its events, and its counts. */
import type { Relief } from '../session/index.ts';
import type { OverloadChange } from './overload.ts';
import type { ServerSocket } from './server-socket.ts';

/** What 'drop' says of a connection that `maxConnections` turned away. */
export interface DropArgument {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly localFamily?: string | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly remoteFamily?: string | undefined;
}

/** What 'refused' says of a peer that came to nothing before it had a session. For logs. */
export interface Refusal {
  /** ERR_GODWIT_PROTOCOL for whoever does not speak Godwit, and the other codes of `ERROR_CODES`. */
  readonly code: string;
  readonly message: string;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
}

/** Events of `Server`: those of net.Server, and 'refused'. */
export interface ServerEvents {
  /** It was closed, and its last session has ended. */
  readonly close: [];
  /** A session starts here: a new one, or one that is restored (`socket.restored`); or a plain connection (`socket.migratory`). */
  readonly connection: [socket: ServerSocket];
  /** `maxConnections` turned a new session away. */
  readonly drop: [dropped?: DropArgument];
  /** It could not listen. */
  readonly error: [error: Error];
  readonly listening: [];
  /** It has too much to do, or no longer: what it does about it, and how it stands. */
  readonly overload: [change: OverloadChange];
  /** Somebody connected who is no client, or none of this server's. */
  readonly refused: [refusal: Refusal];
}

/** Counts of a server, as of now. */
export interface ServerStats {
  /** Sessions whose sockets are open. */
  readonly sessions: number;
  /** Open connections of clients that do not speak Godwit (`plain`). */
  readonly plain: number;
  /** Carriers that have said who they are: of sessions, standbys, and sessions to be. */
  readonly carriers: number;
  /** Connections in which carriers share a pipe, however many. */
  readonly trunks: number;
  /** Peers that have settled nothing yet: what `limits.maxHalfOpen` counts. */
  readonly halfOpen: number;
  /** Ended or moved sessions that are remembered. */
  readonly tombstones: number;
  /** Since the start: sessions that began here, those restored among them, and those that moved away. */
  readonly accepted: number;
  /** Of these, those that came from another server or another run. */
  readonly restored: number;
  /** Sessions that have moved to another server. */
  readonly movedAway: number;
  /** Of these, those that were sent away because the server had too much to do. */
  readonly shed: number;
  /** What is being done about too much to do. */
  readonly relief: Relief;
  /** What all sessions and plain connections hold, in bytes: what `limits.maxMemoryBytes` limits. */
  readonly memoryBytes: number;
  /** Times that 'refused' was emitted. */
  readonly refused: number;
}
