/** What the clients tell of something that happened to their sessions. */
export class IncidentRecord {
  readonly id: number;
  /** Sessions that it happened to. */
  watched = 0;
  /** Those of them with bytes in flight then. */
  flowing = 0;
  /** Those that are with another process now, or attached again. */
  moved = 0;
  /** How long the clients had to wait, for each session that goes on. */
  readonly blackoutsMs: number[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(id: number) {
    this.id = id;
  }

  get isSettled(): boolean {
    return this.blackoutsMs.length >= this.watched;
  }

  addMoved(): void {
    this.moved += 1;
    this.#wake();
  }

  addSettled(blackoutMs: number): void {
    this.blackoutsMs.push(blackoutMs);
    this.#wake();
  }

  /** Resolves to true when the condition holds, to false after the limit. */
  async until(condition: () => boolean, limitMs: number): Promise<boolean> {
    if (condition()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const look = (): void => {
      if (condition()) resolve(true);
    };
    this.#waiting.add(look);
    const timer = setTimeout(() => resolve(false), limitMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }
}
