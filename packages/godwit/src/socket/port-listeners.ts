/** What a session's port tells a socket, as long as the socket is the one it was made for. */
import type { EventEmitter } from 'node:events';
import type { DialStep } from '../carriers/carrier.ts';
import type { Candidate, Failure, MigrationReport } from '../session/client-events.ts';
import type { CauseName } from '../wire/index.ts';
import type { Outbound } from './outbound.ts';
import type { Addresses, PortListener } from './port.ts';

/** What sockets do when they hear of their session, but for what they only pass on as events. */
export interface Hearing<S> {
  /** Whether the socket is still in the use that this belongs to: it may be connected again. */
  isUsed(socket: S, outbound: Outbound): boolean;
  dialStep(socket: S, step: DialStep): void;
  connected(socket: S, addresses: Addresses): void;
  readable(socket: S): void;
  drained(socket: S): void;
  thawed(socket: S): void;
  migrated(socket: S, report: MigrationReport): void;
  migrationFailed(socket: S, failure: Failure): void;
  closed(socket: S, error: Error | undefined): void;
}

/** One object a socket, since a closure for each call takes 2 KB; deaf once its use of the socket is over. */
export class SocketListener<S extends EventEmitter> implements PortListener {
  readonly #socket: S;
  readonly #outbound: Outbound;
  readonly #hearing: Hearing<S>;

  constructor(socket: S, outbound: Outbound, hearing: Hearing<S>) {
    this.#socket = socket;
    this.#outbound = outbound;
    this.#hearing = hearing;
  }

  get #isOurs(): boolean {
    return this.#hearing.isUsed(this.#socket, this.#outbound);
  }

  dialStep(step: DialStep): void {
    if (this.#isOurs) this.#hearing.dialStep(this.#socket, step);
  }
  connected(addresses: Addresses): void {
    if (this.#isOurs) this.#hearing.connected(this.#socket, addresses);
  }
  readable(): void {
    if (this.#isOurs) this.#hearing.readable(this.#socket);
  }
  drained(): void {
    if (this.#isOurs) this.#hearing.drained(this.#socket);
  }
  thawed(): void {
    if (this.#isOurs) this.#hearing.thawed(this.#socket);
  }
  migrating(cause: CauseName, from: string, to: string | undefined): void {
    if (this.#isOurs) this.#socket.emit('migrating', { cause, from, to });
  }
  migrated(report: MigrationReport): void {
    if (this.#isOurs) this.#hearing.migrated(this.#socket, report);
  }
  migrationFailed(failure: Failure): void {
    if (this.#isOurs) this.#hearing.migrationFailed(this.#socket, failure);
  }
  unprotected(reason: string): void {
    if (this.#isOurs) this.#socket.emit('unprotected', reason);
  }
  protected(): void {
    if (this.#isOurs) this.#socket.emit('protected');
  }
  servers(servers: readonly Candidate[]): void {
    if (this.#isOurs) this.#socket.emit('servers', servers);
  }
  closed(error: Error | undefined): void {
    if (this.#isOurs) this.#hearing.closed(this.#socket, error);
  }
}
