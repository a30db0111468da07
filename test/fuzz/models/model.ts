/** Model-based targets: fast-check draws commands, which act on the real thing and on a simple model of it. */
import fc from 'fast-check';
import type { Counterexample, ModelOutcome, ModelTarget } from '../engine/target.ts';

/** Most runs at a time; time ends it sooner. */
const MAX_RUNS = 1_000_000;

export interface Model<M extends object, R> {
  readonly name: string;
  readonly summary: string;
  readonly setup: () => { model: M; real: R };
  readonly commands: readonly fc.Arbitrary<fc.Command<M, R>>[];
  /** Most commands of one run. */
  readonly maxCommands: number;
  /** What holds whenever nothing is under way; also called at the end. */
  readonly invariant?: (model: M, real: R) => void;
  /** What must be possible at the end. */
  readonly finish?: (model: M, real: R) => void;
}

/** A command that is called so in reports. Without `when` it may always run. */
export function command<M extends object, R>(
  name: string,
  run: (model: M, real: R) => void,
  when: (model: Readonly<M>) => boolean = () => true,
): fc.Command<M, R> {
  return { check: when, run, toString: () => name };
}

export function modelTarget<M extends object, R>(model: Model<M, R>): ModelTarget {
  const propertyOf = (
    around: (run: () => void) => void,
    replayPath?: string,
  ): fc.IProperty<[Iterable<fc.Command<M, R>>]> => {
    const constraints = {
      maxCommands: model.maxCommands,
      size: 'max',
      ...(replayPath !== undefined && { replayPath }),
    } as const;
    return fc.property(fc.commands([...model.commands], constraints), (commands) => {
      around(() => {
        const subject = model.setup();
        fc.modelRun(() => subject, commands);
        model.invariant?.(subject.model, subject.real);
        model.finish?.(subject.model, subject.real);
      });
    });
  };
  return {
    kind: 'model',
    name: model.name,
    summary: model.summary,
    explore: ({ seed, budgetMs, around }): ModelOutcome => {
      const details = fc.check(propertyOf(around), {
        seed,
        numRuns: MAX_RUNS,
        interruptAfterTimeLimit: budgetMs,
      });
      if (!details.failed) return { runs: details.numRuns, failure: undefined };
      const text = textOf(details.counterexample?.[0]);
      const counterexample: Counterexample = {
        seed: details.seed,
        path: details.counterexamplePath ?? '',
        replayPath: /replayPath="([^"]*)"/.exec(text)?.[1],
        text,
      };
      return { runs: details.numRuns, failure: { counterexample, error: details.errorInstance } };
    },
    replay: ({ seed, path, replayPath }, around) => {
      fc.assert(propertyOf(around, replayPath), { seed, path, endOnFailure: true });
    },
  };
}

/** The commands, and how to repeat the choice of them. */
function textOf(commands: object | undefined): string {
  return (commands as { toString(): string } | undefined)?.toString() ?? '';
}
