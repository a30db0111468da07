/**
 * Fences: what keeps the record of each session that all servers of a cluster agree on (protocol.md §10.10). What a record
 * means is decided by the core; a fence only keeps it, and lets nobody write over what he has not read.
 */
import {
  decideFence,
  type FenceAnswer,
  type FenceQuestion,
  type FenceRecord,
} from '../session/fence-rules.ts';

export interface FenceEntry {
  readonly record: FenceRecord;
  /** Another one for each write. */
  readonly revision: unknown;
}

/** A store of records that is linearisable: whoever reads sees what was written before, by whomever. */
export interface Fence {
  /** Undefined when nothing is known under that key. Rejects when the store can't be reached. */
  read(key: string): Promise<FenceEntry | undefined>;
  /**
   * Writes if nobody has written since `revision` was read; undefined: since there was nothing. False when somebody has.
   * The record may be forgotten `lifetimeMs` after the last write. Rejects when the store can't be reached, or has no room.
   */
  compareAndSet(key: string, record: FenceRecord, revision: unknown, lifetimeMs: number): Promise<boolean>;
}

export interface LocalFenceOptions {
  /** Sessions at most; beyond, new ones are refused as if the fence could not be reached. Default 1,000,000, of some 400 bytes each. */
  readonly maxRecords?: number;
}

interface Kept extends FenceEntry {
  readonly revision: number;
  readonly until: number;
}

const DEFAULT_MAX_RECORDS = 1_000_000;

class LocalFence implements Fence {
  /** In the order in which they were written, and so, as lifetimes are alike, of their ends. */
  readonly #records = new Map<string, Kept>();
  readonly #maxRecords: number;
  #revision = 0;

  constructor({ maxRecords = DEFAULT_MAX_RECORDS }: LocalFenceOptions) {
    if (!Number.isInteger(maxRecords) || maxRecords < 1)
      throw new RangeError(`maxRecords must be a whole number from 1 on, not ${maxRecords}`);
    this.#maxRecords = maxRecords;
  }

  get size(): number {
    return this.#records.size;
  }

  read(key: string): Promise<FenceEntry | undefined> {
    return Promise.resolve(this.#get(key));
  }

  compareAndSet(key: string, record: FenceRecord, revision: unknown, lifetimeMs: number): Promise<boolean> {
    const kept = this.#get(key);
    if (kept?.revision !== revision) return Promise.resolve(false);
    this.#forgetExpired();
    if (kept === undefined && this.#records.size >= this.#maxRecords)
      return Promise.reject(new Error(`the fence has all of the ${this.#maxRecords} records it takes`));
    this.#revision += 1;
    this.#records.delete(key);
    this.#records.set(key, { record, revision: this.#revision, until: performance.now() + lifetimeMs });
    return Promise.resolve(true);
  }

  #get(key: string): Kept | undefined {
    const kept = this.#records.get(key);
    return kept && kept.until > performance.now() ? kept : undefined;
  }

  #forgetExpired(): void {
    const now = performance.now();
    for (const [key, { until }] of this.#records) {
      if (until > now) return;
      this.#records.delete(key);
    }
  }
}

/**
 * A fence in memory, for servers of one process that are given the same one. It remembers as long as the process lives: for
 * several machines take one on a store.
 */
export function createLocalFence(options: LocalFenceOptions = {}): Fence & { readonly size: number } {
  return new LocalFence(options);
}

/** Others write the record of one session only where it moves: so often in a row is no coincidence. */
const MAX_CONFLICTS = 8;

/** Reads, decides, and writes, again if somebody else wrote in between. Rejects when the fence does. */
export async function settleQuestion(
  fence: Fence,
  key: string,
  question: FenceQuestion,
  lifetimeMs: number,
): Promise<FenceAnswer> {
  for (let attempt = 0; attempt < MAX_CONFLICTS; attempt += 1) {
    const entry = await fence.read(key);
    const verdict = decideFence(entry?.record, question);
    if (verdict.kind === 'refused') return verdict;
    if (verdict.next === undefined) return { kind: 'granted' };
    if (await fence.compareAndSet(key, verdict.next, entry?.revision, lifetimeMs)) return { kind: 'granted' };
  }
  return { kind: 'unavailable', message: `others wrote the record ${MAX_CONFLICTS} times in between` };
}
