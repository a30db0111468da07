/** What a chaos run comes to. */
import { NO_FAULTS, addVerdicts } from '../../packages/cli/src/demo/comparer.ts';
import type { Verdict } from '../../packages/cli/src/demo/comparer.ts';
import { percentile } from '../../packages/cli/src/demo/gap-meter.ts';
import { toTenth } from '../../packages/cli/src/demo/result.ts';
import type { SessionEffects } from './effect-store.ts';
import { FAULT_KINDS, countsAsBlackout } from './faults.ts';
import type { FaultKind } from './faults.ts';
import type { SessionOutcome } from './messages.ts';

/** A fault that was issued. */
export interface FaultRecord {
  readonly kind: FaultKind;
  readonly counted: boolean;
  readonly blackoutsMs: readonly number[];
}

interface Spread {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface ChaosResult {
  /** Faults that hit bytes in flight and did what they are for: after a kill, another process followed. */
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  /** All that were inflicted. */
  readonly issued: Readonly<Partial<Record<FaultKind, number>>>;
  readonly migrations: number;
  readonly sessions: number;
  /** Bytes, over all sessions and both directions. */
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  /** Sessions that ended in an error, or not in time. */
  readonly aborted: number;
  /** The longest time each session with bytes in flight had to wait for them, for each fault that hit it. */
  readonly blackoutMs: Spread;
  readonly blackoutByFaultMs: Readonly<Partial<Record<FaultKind, Spread>>>;
  /** In how many places bytes were lost, duplicated, corrupt. */
  readonly incidents: Verdict['incidents'];
  /** Sessions whose ends do not agree on the hash of what they sent and received. */
  readonly mismatched: number;
  /** Side effects of requests in another system, against what the clients were told. */
  readonly effects: Effects;
  /** Sessions that could not be opened at first, and were tried again. */
  readonly notOpened: number;
  /** The longest time that the run itself could not run: with seconds of it, other figures say nothing. */
  readonly standstillMs: number;
  /** What was wrong, in words. */
  readonly problems: readonly string[];
  readonly seed: number;
  readonly seconds: number;
}

interface Effects {
  /** Requests that were answered. */
  readonly requests: number;
  /** Answered, but not in the store. */
  readonly missing: number;
  /** More than one effect for a request. */
  readonly doubled: number;
  /** Sessions that were told other receipts than the store has, or whose store has effects that nobody asked for. */
  readonly mismatched: number;
  /** How often the store was asked again for what was done already, and said so. */
  readonly repeated: number;
  /** How often it refused a server that had been left behind. */
  readonly fenced: number;
  /** How often it was full. */
  readonly full: number;
}

export interface ResultParts {
  readonly kinds: readonly FaultKind[];
  readonly faults: readonly FaultRecord[];
  readonly outcomes: readonly SessionOutcome[];
  /** Sessions that did not end. */
  readonly unfinished: number;
  readonly audit: ReadonlyMap<string, SessionEffects>;
  readonly applied: { readonly repeated: number; readonly fenced: number; readonly full: number };
  readonly notOpened: number;
  readonly problems: readonly string[];
  readonly standstillMs: number;
  readonly seed: number;
  readonly seconds: number;
}

/**
 * Clients give up after ten seconds without a server; half of that is for what the run itself does to them. It explains
 * sessions that ended; where none did, it was one fault more.
 */
const STANDSTILL_MAX_MS = 5000;

export function isSound({ problems }: ChaosResult): boolean {
  return problems.length === 0;
}

export function summarize(parts: ResultParts): ChaosResult {
  const { kinds, faults, outcomes, unfinished, audit, applied, notOpened, standstillMs, seed, seconds } =
    parts;
  const verdict = outcomes.map((outcome) => outcome.verdict).reduce(addVerdicts, NO_FAULTS);
  const { lost, duplicated, corrupt, incidents } = verdict;
  const failed = outcomes.filter(({ problem }) => problem !== undefined);
  const effects = { ...checkEffects(outcomes, audit), ...applied };
  const countsOf = (records: readonly FaultRecord[]): Partial<Record<FaultKind, number>> =>
    Object.fromEntries(kinds.map((kind) => [kind, records.filter((record) => record.kind === kind).length]));
  const counted = countsOf(faults.filter((fault) => fault.counted));
  const mismatched = outcomes.filter((outcome) => outcome.mismatched).length;
  const aborted = failed.length + unfinished;

  const problems = [...parts.problems];
  const complain = (wrong: boolean, problem: string): void => void (wrong && problems.push(problem));
  for (const { workload, delivery, session, problem } of failed)
    problems.push(`${workload} ${delivery} ${session}: ${problem}`);
  complain(unfinished > 0, `${unfinished} sessions did not end`);
  complain(lost > 0, `${lost} bytes were lost`);
  complain(duplicated > 0, `${duplicated} bytes came twice`);
  complain(corrupt > 0, `${corrupt} bytes came damaged`);
  complain(mismatched > 0, `${mismatched} sessions have other hashes at their two ends`);
  complain(effects.missing > 0, `${effects.missing} requests were answered, but have no effect`);
  complain(effects.doubled > 0, `${effects.doubled} side effects happened twice`);
  complain(effects.mismatched > 0, `${effects.mismatched} sessions were told other effects than there are`);
  for (const kind of kinds) complain(counted[kind] === 0, `no ${kind} hit bytes in flight`);
  complain(outcomes.length === 0, 'no session ended');
  complain(
    aborted > 0 && standstillMs > STANDSTILL_MAX_MS,
    `the machine stood still for ${standstillMs} ms: sessions may have given up because of that`,
  );

  return {
    faults: counted,
    issued: countsOf(faults),
    migrations: outcomes.reduce((sum, { migrations }) => sum + migrations, 0),
    sessions: outcomes.length + unfinished,
    lost,
    duplicated,
    corrupt,
    aborted,
    blackoutMs: spreadOf(faults.filter(({ kind }) => countsAsBlackout(kind))),
    blackoutByFaultMs: Object.fromEntries(
      FAULT_KINDS.filter((kind) => kinds.includes(kind)).map((kind) => [
        kind,
        spreadOf(faults.filter((fault) => fault.kind === kind)),
      ]),
    ),
    incidents,
    mismatched,
    effects,
    notOpened,
    standstillMs,
    problems,
    seed,
    seconds,
  };
}

function checkEffects(
  outcomes: readonly SessionOutcome[],
  audit: ReadonlyMap<string, SessionEffects>,
): Pick<Effects, 'requests' | 'missing' | 'doubled' | 'mismatched'> {
  let requests = 0;
  let missing = 0;
  let mismatched = 0;
  for (const { session, requests: asked, problem } of outcomes) {
    if (asked === undefined || problem !== undefined) continue;
    requests += asked.answered;
    const there = audit.get(session);
    const distinct = (there?.effects ?? 0) - (there?.doubled ?? 0);
    missing += Math.max(0, asked.answered - distinct);
    if (distinct > asked.answered || (there !== undefined && there.receipts !== asked.receipts))
      mismatched += 1;
  }
  const doubled = [...audit.values()].reduce((sum, each) => sum + each.doubled, 0);
  return { requests, missing, doubled, mismatched };
}

function spreadOf(faults: readonly FaultRecord[]): Spread {
  const values = faults.flatMap(({ blackoutsMs }) => blackoutsMs);
  return {
    p50: toTenth(percentile(values, 50)),
    p99: toTenth(percentile(values, 99)),
    max: toTenth(percentile(values, 100)),
  };
}
