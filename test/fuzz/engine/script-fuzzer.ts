/** Feeds one target with scripts: its corpus first, then mutations of what reached new code. */
import { runtime } from '../instrument/runtime.ts';
import type { Seeded } from '../../world/seeded.ts';
import { Coverage } from './coverage.ts';
import { minimize } from './minimize.ts';
import { mutate } from './mutate.ts';
import type { Script } from './script.ts';
import type { Property, ScriptTarget } from './target.ts';

/** Most blocks that may run for one input: some hundred times what a usual one takes. */
export const MAX_BLOCKS_PER_INPUT = 20_000_000;

/** Most inputs kept in memory: beyond, an old one makes way. */
const MAX_POOL = 4000;

interface Failure {
  readonly property: Property;
  readonly message: string;
  readonly script: Script;
}

export class ScriptFuzzer {
  readonly #target: ScriptTarget;
  readonly #random: Seeded;
  readonly #coverage = new Coverage(runtime);
  readonly #pool: Script[] = [];
  #blocksAtStart = 0;
  runs = 0;

  constructor(target: ScriptTarget, random: Seeded) {
    this.#target = target;
    this.#random = random;
  }

  /** Blocks that nothing in the corpus reaches. */
  get newBlocks(): number {
    return this.#coverage.blocks - this.#blocksAtStart;
  }
  get coverage(): Coverage {
    return this.#coverage;
  }
  /** Inputs that reached something new when they came. */
  get pool(): readonly Script[] {
    return this.#pool;
  }

  /** Runs one of the inputs that are known; answers what it violates. */
  replay(script: Script): Failure | undefined {
    const failure = this.#run(script);
    if (failure) return failure;
    if (this.#coverage.take()) this.#keep(script);
    this.#blocksAtStart = this.#coverage.blocks;
    return undefined;
  }

  /** Fuzzes until that time of the monotonic clock; answers the first failure, made small. */
  fuzz(untilMs: number): Failure | undefined {
    const { operations } = this.#target;
    while (performance.now() < untilMs) {
      const script = mutate(this.#parent(), this.#random.pick(this.#pool), operations, this.#random);
      const failure = this.#run(script);
      if (failure) return this.#smallest(failure);
      if (this.#coverage.take()) this.#keep(script);
    }
    return undefined;
  }

  /** The few known inputs that together reach every block that all of them reach: smallest first. */
  cover(): Script[] {
    const reached = new Set<number>();
    const cover: Script[] = [];
    for (const script of [...this.#pool].sort((a, b) => sizeOf(a) - sizeOf(b))) {
      this.#run(script);
      const blocks = this.#coverage.present();
      if (blocks.every((block) => reached.has(block))) continue;
      for (const block of blocks) reached.add(block);
      cover.push(script);
    }
    return cover;
  }

  /** Newer ones more often: there is more to find around them. */
  #parent(): Script {
    const { length } = this.#pool;
    if (length === 0) return [];
    const age = this.#random.chance(0.5)
      ? this.#random.below(Math.min(length, 50))
      : this.#random.below(length);
    return this.#pool[length - 1 - age] as Script;
  }

  #keep(script: Script): void {
    if (this.#pool.length >= MAX_POOL) this.#pool.splice(this.#random.below(MAX_POOL / 2), 1);
    this.#pool.push(script);
  }

  #run(script: Script): Failure | undefined {
    this.runs += 1;
    runtime.begin(MAX_BLOCKS_PER_INPUT);
    try {
      this.#target.run(script);
      return undefined;
    } catch (error) {
      return { property: propertyOf(error), message: messageOf(error), script };
    } finally {
      runtime.end();
    }
  }

  #smallest(failure: Failure): Failure {
    let smallest = failure;
    minimize(failure.script, (script) => {
      const again = this.#run(script);
      if (again?.property !== failure.property) return false;
      smallest = again;
      return true;
    });
    return smallest;
  }
}

function sizeOf(script: Script): number {
  return script.reduce((sum, { bytes }) => sum + 8 + bytes.byteLength, 0);
}

export function propertyOf(error: unknown): Property {
  const { name, property } = error as { name?: string; property?: Property };
  if (name === 'EndlessLoop') return 'no hang';
  return property ?? 'no crash';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
