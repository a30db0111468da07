/** What runs with a mutant's fault in it, in a thread of its own, until a checker objects. */
import { parentPort, workerData } from 'node:worker_threads';
import { framePlaces, singleFaultsAt } from '../exhaustive/cases.ts';
import { caseName, parseCase, runCase, type Case, type Outcome } from '../exhaustive/run-case.ts';
import { SCRIPTS, modesOf } from '../exhaustive/script.ts';
import { runSeed } from '../run-seed.ts';

/** One thing after another, until one of them notices the fault. */
export type SubjectStep =
  /** Random seeds, as `npm run sim` runs them. */
  | { readonly type: 'seeds'; readonly from: number; readonly count: number }
  /** One case of the exhaustive run. */
  | { readonly type: 'case'; readonly name: string }
  /** All scripts of the exhaustive run: each without a fault, then with one behind each frame, or behind one in a few. */
  | { readonly type: 'cases' };

export type SubjectReport =
  /** This is run next: if nothing comes any more, it hangs. */
  | { readonly type: 'running'; readonly what: string }
  | { readonly type: 'caught'; readonly what: string; readonly checker: string; readonly message: string }
  | { readonly type: 'survived' };

interface Finding {
  readonly checker: string;
  readonly message: string;
}

/** Of the places of a script's faults, one in so many is tried. */
const ONE_IN = 3;

function main(steps: readonly SubjectStep[]): void {
  for (const step of steps) {
    for (const [what, run] of runsOf(step)) {
      report({ type: 'running', what });
      const finding = run();
      if (!finding) continue;
      report({ type: 'caught', what, checker: finding.checker, message: finding.message });
      return;
    }
  }
  report({ type: 'survived' });
}

type Runs = Generator<[what: string, run: () => Finding | undefined]>;

function* runsOf(step: SubjectStep): Runs {
  switch (step.type) {
    case 'seeds':
      for (let seed = step.from; seed < step.from + step.count; seed += 1)
        yield [`seed ${seed}`, () => runSeed(seed).violations[0]];
      return;
    case 'case':
      yield [step.name, () => findingOf(parseCase(step.name), runCase(parseCase(step.name)))];
      return;
    case 'cases':
      yield* cases();
  }
}

function* cases(): Runs {
  let index = 0;
  for (const script of SCRIPTS)
    for (const { delivery } of modesOf(script)) {
      const alone = { script, delivery, faults: [] };
      let reference: ReturnType<typeof runCase> | undefined;
      yield [
        caseName(alone),
        () => {
          reference = runCase(alone);
          return findingOf(alone, reference);
        },
      ];
      for (const boundary of reference && script.mostFaults !== 0 ? framePlaces(reference.tap) : [])
        for (const fault of singleFaultsAt(boundary)) {
          index += 1;
          if (index % ONE_IN !== 0) continue;
          const subject = { script, delivery, faults: [fault] };
          yield [caseName(subject), () => runCase(subject).violations[0]];
        }
    }
}

/** Without a fault, the session must be restored as its script says, too. */
function findingOf({ script, faults }: Case, { violations, sources }: Outcome): Finding | undefined {
  const [violation] = violations;
  if (violation || faults.length > 0 || String(sources) === String(script.shows)) return violation;
  return { checker: 'I6', message: `restored by [${String(sources)}]` };
}

function report(message: SubjectReport): void {
  parentPort?.postMessage(message);
}

main(workerData as readonly SubjectStep[]);
