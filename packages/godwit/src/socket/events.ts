/** The events of sockets, with their arguments. */
import type { CauseName } from '../wire/index.ts';
import type { Candidate, MigrationReport } from '../session/client-events.ts';

/** Events of `Socket`: those of net.Socket, and the ones about moving. */
export interface SocketEvents {
  /** The socket is over; `hadError` when an 'error' came before. */
  readonly close: [hadError: boolean];
  /** The session is established; client end only. */
  readonly connect: [];
  readonly data: [chunk: Buffer];
  readonly drain: [];
  readonly end: [];
  /** A `GodwitError`, or an error of the stream. */
  readonly error: [error: Error];
  readonly finish: [];
  readonly readable: [];
  readonly ready: [];
  /** Nothing was read or written for as long as `setTimeout` says. */
  readonly timeout: [];
  /** The session is looking for another server, or for its own again; `to` is undefined while none is chosen. */
  readonly migrating: [
    event: { readonly cause: CauseName; readonly from: string; readonly to: string | undefined },
  ];
  /** The session has moved; nothing was lost. Client end only. */
  readonly migrated: [report: MigrationReport];
  /** From now on the death of the server would end the session: a limit forced bytes to be freed. */
  readonly unprotected: [reason: string];
  /** The session can be restored again. */
  readonly protected: [];
  /** The fence can't be reached: until 'fenced', two servers may believe that they have the session. Server end only. */
  readonly unfenced: [reason: string];
  /** The fence was reached again, and the session lives here. Server end only. */
  readonly fenced: [];
  /** The servers that may take the session over have changed. Client end only. */
  readonly servers: [servers: readonly Candidate[]];
}

/** A listener of any event; what it takes is not known. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyListener = (...args: any[]) => void;
