/** Which blocks a target's inputs have reached, and roughly how often. */
import type { Runtime } from '../instrument/runtime.ts';

/** How often a block ran, in classes: 1, 2, 3, 4–7, 8–15, 16–31, 32–127, more. */
function classOf(count: number): number {
  if (count < 4) return count - 1;
  if (count < 8) return 3;
  if (count < 16) return 4;
  if (count < 32) return 5;
  return count < 128 ? 6 : 7;
}

/** A block and a class. */
export type Feature = number;

export class Coverage {
  readonly #runtime: Runtime;
  /** For each block, a bit for each class that was seen. */
  readonly #seen = new Map<number, number>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Blocks reached so far. */
  get blocks(): number {
    return this.#seen.size;
  }

  reached(block: number): boolean {
    return this.#seen.has(block);
  }

  /** Takes what the present input has reached; answers whether anything of it is new. */
  take(): boolean {
    const { touched, touchedCount, counts } = this.#runtime;
    let isNew = false;
    for (let i = 0; i < touchedCount; i += 1) {
      const block = touched[i] as number;
      const bit = 1 << classOf(counts[block] as number);
      const seen = this.#seen.get(block) ?? 0;
      if ((seen & bit) !== 0) continue;
      this.#seen.set(block, seen | bit);
      isNew = true;
    }
    return isNew;
  }

  /** The blocks that the present input has reached. */
  present(): number[] {
    return [...this.#runtime.touched.subarray(0, this.#runtime.touchedCount)];
  }
}
