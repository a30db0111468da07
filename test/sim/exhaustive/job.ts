/** The work of an exhaustive run in pieces that are done apart: all single faults of a script, or all pairs that begin with one kind. */

import { PAIRED_KINDS, firstFaults, secondFaults, singleFaults, type Depth } from './cases.ts';
import type { CheckerName } from '../violations.ts';
import type { FaultKind } from './fault.ts';
import { caseName, runCase, type Case, type Outcome } from './run-case.ts';
import { MODES, SCRIPTS } from './script.ts';

export interface Job {
  readonly script: string;
  readonly mode: string;
  readonly depth: Depth;
  /** Of pairs: the kind of the first fault. */
  readonly first?: FaultKind;
}

export interface CaseViolation {
  /** Runs it again, with `--case`. */
  readonly case: string;
  readonly checker: CheckerName;
  readonly message: string;
}

export interface Tally {
  cases: number;
  /** Those of two faults. */
  pairs: number;
  /** Cases all of whose faults came to their place. */
  struck: number;
  readonly scripts: Record<string, number>;
  /** How sessions were restored, over all cases. */
  readonly sources: Record<string, number>;
  /** How often each kind of fault struck. */
  readonly faults: Record<string, number>;
  /** Behind which frames faults struck. */
  readonly behind: Record<string, number>;
  readonly violations: CaseViolation[];
}

/** More of them say nothing new. */
const MAX_VIOLATIONS = 20;

export function emptyTally(): Tally {
  return {
    cases: 0,
    pairs: 0,
    struck: 0,
    scripts: {},
    sources: {},
    faults: {},
    behind: {},
    violations: [],
  };
}

/** The longest first, so that nobody waits for the last. */
export function allJobs(depth: Depth): Job[] {
  const jobs = SCRIPTS.flatMap((script) =>
    MODES.flatMap((mode) => {
      const job = { script: script.name, mode: mode.name, depth };
      return [job, ...PAIRED_KINDS.map((first) => ({ ...job, first }))];
    }),
  );
  const weight = (job: Job): number => (job.first === undefined ? 2 : job.script === 'origin' ? 3 : 1);
  return jobs.toSorted((a, b) => weight(b) - weight(a));
}

/** Runs a job. `onCase` sees each case before it runs, and answers whether to go on. */
export function runJob(job: Job, onCase?: (subject: Case) => boolean): Tally {
  const script = SCRIPTS.find(({ name }) => name === job.script);
  const mode = MODES.find(({ name }) => name === job.mode);
  if (!script || !mode) throw new Error(`no such job: ${job.script}/${job.mode}`);

  const tally = emptyTally();
  let goesOn = true;
  const run = (faults: Case['faults']): Outcome => {
    const subject = { script, delivery: mode.delivery, faults };
    if (onCase && !onCase(subject)) goesOn = false;
    const outcome = runCase(subject);
    count(tally, subject, outcome);
    return outcome;
  };
  if (job.first === undefined) {
    const reference = run([]);
    if (String(reference.sources) !== String(script.shows))
      tally.violations.push({
        case: caseName({ script, delivery: mode.delivery, faults: [] }),
        checker: 'I6',
        message: `without faults, restores were [${String(reference.sources)}], not [${String(script.shows)}]`,
      });
    for (const fault of singleFaults(script, reference, job.depth)) if (goesOn) run([fault]);
    return tally;
  }
  const reference = runCase({ script, delivery: mode.delivery, faults: [] });
  for (const first of firstFaults(reference, job.first)) {
    const alone = runCase({ script, delivery: mode.delivery, faults: [first] });
    for (const second of secondFaults(script, first, alone, job.depth)) {
      if (!goesOn) return tally;
      run([first, second]);
      tally.pairs += 1;
    }
  }
  return tally;
}

function count(tally: Tally, subject: Case, { violations, tap, sources }: Outcome): void {
  tally.cases += 1;
  if (tap.struck.length === subject.faults.length) tally.struck += 1;
  for (const source of sources) add(tally.sources, source, 1);
  for (const { fault, behind } of tap.struck) {
    add(tally.faults, fault.kind, 1);
    add(tally.behind, behind, 1);
  }
  add(tally.scripts, subject.script.name, 1);
  for (const { checker, message } of violations.slice(0, 1))
    if (tally.violations.length < MAX_VIOLATIONS)
      tally.violations.push({ case: caseName(subject), checker, message });
}

function add(counts: Record<string, number>, key: string, by: number): void {
  counts[key] = (counts[key] ?? 0) + by;
}

export function addTally(into: Tally, tally: Tally): void {
  into.cases += tally.cases;
  into.pairs += tally.pairs;
  into.struck += tally.struck;
  for (const part of ['scripts', 'sources', 'faults', 'behind'] as const)
    for (const [key, by] of Object.entries(tally[part])) add(into[part], key, by);
  into.violations.push(...tally.violations);
}
