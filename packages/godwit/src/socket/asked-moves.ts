/** The moves that an application has asked its socket for, until their outcome is known. */
import { GodwitError, errorFromFailure } from '../errors.ts';
import type { Failure, MigrationReport } from '../session/client-events.ts';
import { notConnected } from './net-habits.ts';
import type { ServerInput } from './connect-options.ts';
import type { SessionPort } from './port.ts';

interface Waiting {
  /** Whether a move to the server of that name is the one that was asked for. */
  isWanted(name: string): boolean;
  resolve(report: MigrationReport): void;
  reject(error: Error): void;
}

export class AskedMoves {
  #waiting: Waiting[] = [];
  /** Where the move that is under way was asked to go. */
  #target = '';

  ask(port: SessionPort | undefined, to: ServerInput | undefined): Promise<MigrationReport> {
    if (port === undefined) return Promise.reject(notConnected());
    const target = JSON.stringify(to ?? null);
    const wanted = to === undefined || typeof to === 'string' ? to : { name: '', ...to };
    // Who asks for the move that is under way gets its outcome; who asks for another one is told so, alone.
    if (this.#waiting.length === 0 || target !== this.#target) {
      const failure = port.migrate(wanted);
      if (failure !== undefined) return Promise.reject(migrationFailed(failure));
      this.#target = target;
    }
    return new Promise((resolve, reject) => {
      const isWanted = (name: string): boolean => wanted === undefined || port.isWanted(wanted, name);
      this.#waiting.push({ isWanted, resolve, reject });
    });
  }

  moved(report: MigrationReport): void {
    for (const waiting of this.#takeAll()) {
      if (waiting.isWanted(report.to)) waiting.resolve(report);
      else waiting.reject(movedElsewhere(report));
    }
  }

  failed(failure: Failure): void {
    for (const waiting of this.#takeAll()) waiting.reject(migrationFailed(failure));
  }

  /** The session is over. */
  abandon(error: Error | null): void {
    for (const waiting of this.#takeAll()) waiting.reject(error ?? notConnected());
  }

  #takeAll(): readonly Waiting[] {
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }
}

function movedElsewhere({ to }: MigrationReport): GodwitError {
  return new GodwitError('ERR_GODWIT_MOVED', `the session moved to ${to}, and not where it was asked to go`);
}

function migrationFailed(failure: Failure): GodwitError {
  const message = `the session stays where it is: ${failure.message}`;
  return new GodwitError('ERR_GODWIT_MIGRATION_FAILED', message, { cause: errorFromFailure(failure) });
}
