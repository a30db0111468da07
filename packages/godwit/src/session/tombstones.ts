/** Sessions that are no longer here, and why: moved, or ended for good (protocol.md §10.8). */

export interface Tombstone {
  readonly kind: 'moved' | 'ended';
  /** The session's: one of the same id with another secret is another session. */
  readonly secret: Uint8Array;
  readonly epoch: number;
  readonly until: number;
  /** Its client had answered: it knows what it opened, and opens it no more. */
  readonly established: boolean;
}

export class Tombstones {
  readonly #max: number;
  readonly #stones = new Map<string, Tombstone>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#stones.size;
  }

  set(id: string, stone: Tombstone): void {
    this.#stones.delete(id);
    this.#stones.set(id, stone);
    if (this.#stones.size <= this.#max) return;
    const oldest = this.#stones.keys().next();
    if (!oldest.done) this.#stones.delete(oldest.value);
  }

  get(id: string, now: number): Tombstone | undefined {
    const stone = this.#stones.get(id);
    if (stone && stone.until <= now) {
      this.#stones.delete(id);
      return undefined;
    }
    return stone;
  }

  delete(id: string): void {
    this.#stones.delete(id);
  }
}
