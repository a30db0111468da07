/** One target being fuzzed: what is known of it is run first, then as much as time allows. */
import { runtime } from '../instrument/runtime.ts';
import { Seeded } from '../../world/seeded.ts';
import { readCounterexamples, readScripts, removeInput, writeInput } from './corpus.ts';
import { Coverage } from './coverage.ts';
import type { Script } from './script.ts';
import { MAX_BLOCKS_PER_INPUT, ScriptFuzzer, messageOf, propertyOf } from './script-fuzzer.ts';
import type { Counterexample, ModelTarget, Property, ScriptTarget, Target } from './target.ts';

/** Runs of a model have many commands, and a world in some. */
const MAX_BLOCKS_PER_RUN = 10 * MAX_BLOCKS_PER_INPUT;

export interface Finding {
  readonly property: Property;
  /** With a stack, where there is one. */
  readonly message: string;
  readonly input: Script | Counterexample;
  /** Where the input is already, relative to the root. */
  readonly path: string | undefined;
}

export interface Campaign {
  readonly target: Target;
  /** Inputs on disk. */
  readonly corpus: number;
  readonly runs: number;
  /** Blocks reached that nothing on disk, and no seed, reaches. */
  readonly newCoverage: number;
  readonly coverage: Coverage;
  /** Runs what is known; answers what of it fails. */
  begin(): Finding[];
  /** Looks for something new until that time of the monotonic clock; answers the first failure. */
  search(untilMs: number): Finding | undefined;
  /** Keeps on disk the few inputs that together reach all that was reached. */
  grow(): void;
}

/** `stored`: whether it begins with what is on disk. */
export function campaignOf(target: Target, seed: number, stored = true): Campaign {
  return target.kind === 'script'
    ? new ScriptCampaign(target, seed, stored)
    : new ModelCampaign(target, seed);
}

class ScriptCampaign implements Campaign {
  readonly target: ScriptTarget;
  readonly #fuzzer: ScriptFuzzer;
  readonly #stored;

  constructor(target: ScriptTarget, seed: number, stored: boolean) {
    this.target = target;
    this.#fuzzer = new ScriptFuzzer(target, new Seeded(seed));
    this.#stored = stored ? readScripts(target) : [];
  }

  get corpus(): number {
    return this.#stored.length;
  }
  get runs(): number {
    return this.#fuzzer.runs;
  }
  get newCoverage(): number {
    return this.#fuzzer.newBlocks;
  }
  get coverage(): Coverage {
    return this.#fuzzer.coverage;
  }

  begin(): Finding[] {
    const known = [...this.#stored, ...this.target.seeds().map((input) => ({ input, path: undefined }))];
    return known.flatMap(({ input, path }) => {
      const failure = this.#fuzzer.replay(input);
      return failure ? [{ ...failure, input, path }] : [];
    });
  }

  search(untilMs: number): Finding | undefined {
    const failure = this.#fuzzer.fuzz(untilMs);
    return failure && { ...failure, input: failure.script, path: undefined };
  }

  grow(): void {
    const kept = new Set(this.#fuzzer.cover().map((script) => writeInput(this.target, script)));
    // What once failed has a comment that says so, and stays.
    for (const { path, isCommented } of this.#stored) if (!isCommented && !kept.has(path)) removeInput(path);
  }
}

class ModelCampaign implements Campaign {
  readonly target: ModelTarget;
  readonly coverage = new Coverage(runtime);
  readonly #stored;
  readonly #random: Seeded;
  #blocksAtStart = 0;
  runs = 0;

  constructor(target: ModelTarget, seed: number) {
    this.target = target;
    this.#random = new Seeded(seed);
    this.#stored = readCounterexamples(target);
  }

  get corpus(): number {
    return this.#stored.length;
  }
  get newCoverage(): number {
    return this.coverage.blocks - this.#blocksAtStart;
  }

  begin(): Finding[] {
    const findings = this.#stored.flatMap(({ input, path }) => {
      try {
        this.target.replay(input, this.#around);
        return [];
      } catch (error) {
        return [{ property: propertyOf(error), message: messageOf(error), input, path }];
      }
    });
    this.#blocksAtStart = this.coverage.blocks;
    return findings;
  }

  search(untilMs: number): Finding | undefined {
    const budgetMs = Math.max(1, untilMs - performance.now());
    const seed = this.#random.below(2 ** 31);
    const { runs, failure } = this.target.explore({ seed, budgetMs, around: this.#around });
    this.runs += runs;
    if (!failure) return undefined;
    const { counterexample, error } = failure;
    return {
      property: propertyOf(error),
      message: `${messageOf(error)}\nafter ${counterexample.text}`,
      input: counterexample,
      path: undefined,
    };
  }

  /** There is nothing to keep but failures: fast-check draws anew from each seed. */
  grow(): void {
    return;
  }

  readonly #around = (run: () => void): void => {
    runtime.begin(MAX_BLOCKS_PER_RUN);
    try {
      run();
    } finally {
      runtime.end();
      this.coverage.take();
    }
  };
}
