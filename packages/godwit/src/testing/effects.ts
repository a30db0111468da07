/** Side effects in other systems, recorded as a store does that recognises a repeated request by its key. */
import { isDeepStrictEqual } from 'node:util';

/** What `effects.record` answers. */
export interface Recorded<T> {
  /** False when the key was there already: the effect was executed again, and the store did nothing. */
  readonly isNew: boolean;
  /** What the store holds under the key: the value that came first. */
  readonly value: T;
}

/**
 * Where a handler under test puts its side effects instead of the database, the mailer or the payment service. It does what
 * those have to do to make side effects exactly once: it takes each idempotency key once.
 */
export interface Effects {
  /**
   * Does the effect once a key; `key` is `socket.idempotencyKey()` or what the handler derives from it. What an execution
   * does after its server was killed is not recorded: it never happened.
   */
  record<T>(key: string, value?: T): Recorded<T | undefined>;
}

/** An idempotency key whose values differ. */
export interface Conflict {
  readonly key: string;
  readonly first: unknown;
  readonly later: unknown;
}

/** The store of one run: it outlives the servers. */
export class EffectStore {
  readonly #values = new Map<string, unknown>();
  #repeats = 0;
  #conflict: Conflict | undefined;

  /** What was done, by key, in order. The session's id, which is another in every run, reads `session`. */
  get values(): ReadonlyMap<string, unknown> {
    return this.#values;
  }
  /** How often a key came again. */
  get repeats(): number {
    return this.#repeats;
  }
  /** The first key that came with two values. */
  get conflict(): Conflict | undefined {
    return this.#conflict;
  }

  /** The store as one execution sees it. */
  forExecution(sessionId: string, isAlive: () => boolean): Effects {
    return {
      record: (key, value) => {
        const name = key.replaceAll(sessionId, 'session');
        if (!isAlive()) return { isNew: false, value: this.#values.get(name) as typeof value };
        if (!this.#values.has(name)) {
          this.#values.set(name, value);
          return { isNew: true, value };
        }
        this.#repeats += 1;
        const first = this.#values.get(name) as typeof value;
        if (!isDeepStrictEqual(first, value)) this.#conflict ??= { key: name, first, later: value };
        return { isNew: false, value: first };
      },
    };
  }
}
