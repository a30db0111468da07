/**
 * Side effects in another system: a SQLite database that all servers share. It recognises a repeated request by its
 * idempotency key, and refuses whoever comes with an epoch below the highest it has seen for the session, as
 * docs/guarantees.md advises.
 */
import { createHash, randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

/** What is to be done once. */
export interface Effect {
  readonly key: string;
  readonly session: string;
  /** The client's number of the request. */
  readonly request: number;
  /** The fencing token. */
  readonly epoch: number;
  readonly server: string;
}

export type Applied =
  /** Done, now or before: the receipt is that of the first time. */
  | { readonly outcome: 'done'; readonly receipt: Uint8Array; readonly repeated: boolean }
  /** Somebody with a higher epoch was here: this server was left behind. */
  | { readonly outcome: 'fenced' }
  /** Not done: another writer holds the database, or the disk is full. */
  | { readonly outcome: 'busy' | 'full' };

/** What the store says of a session, for whoever knows what should be there. */
export interface SessionEffects {
  readonly session: string;
  readonly effects: number;
  /** Effects beyond the first of their request. */
  readonly doubled: number;
  /** SHA-256 of the receipts in the order of their requests, in hexadecimal. */
  readonly receipts: string;
}

export const RECEIPT_BYTES = 16;

/** How long a writer waits for another, all of it blocked. Others hold the database for less, unless they are stopped. */
const BUSY_LIMIT_MS = 5;

const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;

export class EffectStore {
  readonly #database: DatabaseSync;
  readonly #readEpoch: StatementSync;
  readonly #writeEpoch: StatementSync;
  readonly #read: StatementSync;
  readonly #write: StatementSync;

  /** The database must have been made with `createStore`. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path, { timeout: BUSY_LIMIT_MS });
    // A killed process may lose nothing that it has committed; the machine itself does not die in here.
    this.#database.exec('PRAGMA synchronous = OFF');
    this.#readEpoch = this.#database.prepare('SELECT epoch FROM fences WHERE session = ?');
    this.#writeEpoch = this.#database.prepare('INSERT OR REPLACE INTO fences VALUES (?, ?)');
    this.#read = this.#database.prepare('SELECT receipt FROM effects WHERE key = ?');
    this.#write = this.#database.prepare('INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?)');
  }

  /** Throws only what means a bug. */
  apply(effect: Effect): Applied {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      const applied = this.#apply(effect);
      this.#database.exec('COMMIT');
      return applied;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      // The low byte is the primary code.
      const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
      if (code === SQLITE_BUSY) return { outcome: 'busy' };
      if (code === SQLITE_FULL) return { outcome: 'full' };
      throw error;
    }
  }

  #apply({ key, session, request, epoch, server }: Effect): Applied {
    const seen = this.#readEpoch.get(session) as { epoch: number } | undefined;
    if (seen !== undefined && seen.epoch > epoch) return { outcome: 'fenced' };
    if (seen?.epoch !== epoch) this.#writeEpoch.run(session, epoch);
    const known = this.#read.get(key) as { receipt: Uint8Array } | undefined;
    if (known !== undefined) return { outcome: 'done', receipt: known.receipt, repeated: true };
    const receipt = randomBytes(RECEIPT_BYTES);
    this.#write.run(key, session, request, epoch, server, receipt);
    return { outcome: 'done', receipt, repeated: false };
  }

  /** True while some process is in the middle of a write. */
  get isHeld(): boolean {
    try {
      this.#database.exec('BEGIN IMMEDIATE; ROLLBACK');
      return false;
    } catch {
      return true;
    }
  }

  /** Of every session that has any effects. */
  audit(): Map<string, SessionEffects> {
    const rows = this.#database
      .prepare('SELECT session, request, receipt FROM effects ORDER BY session, request')
      .iterate() as Iterable<{ session: string; request: number; receipt: Uint8Array }>;
    const sessions = new Map<string, SessionEffects>();
    let current: { session: string; effects: number; doubled: number; last: number } | undefined;
    let hash = createHash('sha256');
    const finish = (): void => {
      if (current === undefined) return;
      const { session, effects, doubled } = current;
      sessions.set(session, { session, effects, doubled, receipts: hash.digest('hex') });
    };
    for (const { session, request, receipt } of rows) {
      if (current?.session !== session) {
        finish();
        current = { session, effects: 0, doubled: 0, last: -1 };
        hash = createHash('sha256');
      }
      current.effects += 1;
      if (request === current.last) current.doubled += 1;
      current.last = request;
      hash.update(receipt);
    }
    finish();
    return sessions;
  }

  close(): void {
    this.#database.close();
  }
}

export function createStore(path: string): EffectStore {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE effects (key TEXT PRIMARY KEY, session TEXT NOT NULL, request INTEGER NOT NULL,
      epoch INTEGER NOT NULL, server TEXT NOT NULL, receipt BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE fences (session TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
  `);
  database.close();
  return new EffectStore(path);
}
