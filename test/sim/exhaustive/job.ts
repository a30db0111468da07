/** The work of an exhaustive run in pieces that are done apart: all faults of a script in a mode, from one place to another. */
import { byteFaults, frameFaults, secondFaults, type Depth } from './cases.ts';
import type { CheckerName } from '../violations.ts';
import { caseName, runCase, type Case, type Outcome } from './run-case.ts';
import { MODES, SCRIPTS, modesOf } from './script.ts';

export interface Job {
  readonly script: string;
  readonly mode: string;
  readonly depth: Depth;
  /** Of the faults behind frames, this part; faults behind bytes go with the first. */
  readonly part: number;
}

/** Parts of a script, so that threads end at the same time. */
const PARTS = 4;

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

export function allJobs(depth: Depth): Job[] {
  return SCRIPTS.flatMap((script) =>
    modesOf(script).flatMap((mode) =>
      Array.from({ length: script.mostFaults === 0 ? 1 : PARTS }, (_, part) => ({
        script: script.name,
        mode: mode.name,
        depth,
        part,
      })),
    ),
  );
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
  const alone = { script, delivery: mode.delivery, faults: [] };
  const reference = job.part === 0 ? run([]) : runCase(alone);
  if (job.part === 0 && String(reference.sources) !== String(script.shows))
    tally.violations.push({
      case: caseName(alone),
      checker: 'I6',
      message: `without faults, restores were [${String(reference.sources)}], not [${String(script.shows)}]`,
    });
  for (const [index, first] of frameFaults(script, reference).entries()) {
    if (!goesOn) return tally;
    if (index % PARTS !== job.part) continue;
    const outcome = run([first]);
    for (const second of secondFaults(script, first, outcome, job.depth)) {
      if (!goesOn) return tally;
      run([first, second]);
      tally.pairs += 1;
    }
  }
  if (job.part === 0) for (const fault of byteFaults(script, reference, job.depth)) if (goesOn) run([fault]);
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
