/** `npm run sim:mutants`: deliberate faults of the core, one at a time, and which checker of the simulator sees each. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../../packages/cli/src/demo/arguments.ts';
import { Bundler } from './bundle.ts';
import { MUTANTS } from './index.ts';
import { readKnown, writeKnown, type Known } from './known.ts';
import type { Mutant } from './mutant.ts';
import { runSubject, type Catch } from './run-mutant.ts';
import type { SubjectStep } from './subject.ts';

const USAGE = `Usage: npm run -s sim:mutants -- [options]

Applies deliberate faults to the protocol core, one at a time and in memory, and runs the simulator and the exhaustive
exchange over each, until a checker objects. First the core as it is must pass what shows the mutants.

  --only NAME   this mutant alone, again and again if given more than once
  --list        print the mutants, what each would do to users, and what shows it
  --search      look for each from the first seed on, not only where it is known to show, and then in the cases of the
                exhaustive run; it takes minutes
  --record      with --search: write down where each shows (test/sim/mutants/known.json)
  --seeds N     with --search: how many seeds before a mutant has survived; default 1000
  --threads N   how many threads; default one for each core
  --json        print one line of JSON on standard output; progress goes to standard error
  --help        print this

Exit code: 0 if every mutant was caught, 1 if one survived or the core itself fails, 2 if it could not start.`;

const SEARCHED_SEEDS = 1000;
/** A search tries so many before it turns to the exhaustive run. */
const FIRST_SEEDS = 200;
/** Where a mutant is not caught where it is known to show, so many seeds are run before it counts as a survivor. */
const FALLBACK_SEEDS = 150;

interface Options {
  readonly mutants: readonly Mutant[];
  readonly searches: boolean;
  readonly records: boolean;
  readonly seeds: number;
  readonly threads: number;
  readonly json: boolean;
}

interface Result {
  readonly mutant: Mutant;
  readonly caught: Catch | undefined;
}

const KNOWN = readKnown();

const options = parse(process.argv.slice(2));
process.exitCode = typeof options === 'number' ? options : await run(options);

/** The options, or the exit code where there is nothing to run. */
function parse(args: string[]): Options | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string', multiple: true },
        list: { type: 'boolean' },
        search: { type: 'boolean' },
        record: { type: 'boolean' },
        seeds: { type: 'string' },
        threads: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const { only } = values;
    for (const name of only ?? [])
      if (!MUTANTS.some((one) => one.name === name)) throw new UsageError(`there is no mutant ${name}`);
    const mutants = MUTANTS.filter(({ name }) => only?.includes(name) ?? true);
    if (values.list) {
      for (const { name, breaks, reason } of mutants)
        console.log(`${name} (${breaks.join(', ')}; ${KNOWN[name]?.by ?? 'not known to show'}): ${reason}`);
      return 0;
    }
    if (values.record && !values.search) throw new UsageError('--record needs --search');
    const whole = true;
    return {
      mutants,
      searches: values.search ?? false,
      records: values.record ?? false,
      seeds: parseNumber('--seeds', values.seeds, { min: 1, max: 1e6, whole }) ?? SEARCHED_SEEDS,
      threads: parseNumber('--threads', values.threads, { min: 1, max: 64, whole }) ?? availableParallelism(),
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
}

async function run({ mutants, searches, records, seeds, threads, json }: Options): Promise<number> {
  const startedMs = performance.now();
  const aborted = new AbortController();
  const { signal } = aborted;
  const interrupt = (): void => aborted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  console.error(`${'mutant'.padEnd(62)} ${'checker'.padEnd(10)} after  at`);
  const bundler = await Bundler.create('test/sim/mutants/subject.ts', 'cjs');
  try {
    const known = [...new Set(mutants.flatMap(({ name }) => KNOWN[name]?.by ?? []))].map(stepAt);
    const objection = await runSubject(await bundler.bundle(undefined), known, signal);
    if (objection) {
      console.error(`the core as it is fails ${objection.by}: ${objection.checker}: ${objection.message}`);
      return 1;
    }
    const results: Result[] = [];
    const waiting = [...mutants];
    await Promise.all(
      Array.from({ length: threads }, async () => {
        for (let mutant = waiting.shift(); mutant && !signal.aborted; mutant = waiting.shift()) {
          const code = await bundler.bundle(mutant);
          const caught = await runSubject(code, stepsFor(mutant, searches ? seeds : undefined), signal);
          if (signal.aborted) return;
          results.push({ mutant, caught });
          console.error(row(mutant.name, caught, searches));
        }
      }),
    );
    if (signal.aborted) return 130;
    if (records) record(results);
    return report(results, { json, seconds: Math.round((performance.now() - startedMs) / 100) / 10 });
  } finally {
    await bundler.dispose();
  }
}

/** What is run over a mutant: where it is known to show, or everything up to so many seeds. */
function stepsFor({ name }: Mutant, searchedSeeds: number | undefined): SubjectStep[] {
  const known = KNOWN[name];
  if (searchedSeeds === undefined)
    return [
      ...(known === undefined ? [] : [stepAt(known.by)]),
      { type: 'seeds', from: 1, count: FALLBACK_SEEDS },
    ];
  const first = Math.min(FIRST_SEEDS, searchedSeeds);
  return [
    { type: 'seeds', from: 1, count: first },
    { type: 'cases' },
    { type: 'seeds', from: first + 1, count: searchedSeeds - first },
  ];
}

function stepAt(known: string): SubjectStep {
  const [, seed] = /^seed (\d+)$/.exec(known) ?? [];
  return seed === undefined ? { type: 'case', name: known } : { type: 'seeds', from: Number(seed), count: 1 };
}

/** Mutant, the checker that caught it, after how many seeds and cases of a search from the first, and where. */
function row(name: string, caught: Catch | undefined, searched: boolean): string {
  const known = KNOWN[name];
  const runs = searched || known?.by !== caught?.by ? caught?.runs : known?.runs;
  const outcome = caught
    ? `${caught.checker.padEnd(10)} ${String(runs).padStart(5)}  ${caught.by.padEnd(30)} ${(caught.message.split('\n')[0] ?? '').slice(0, 110)}`
    : 'SURVIVED';
  return `${name.padEnd(62)} ${outcome}`;
}

function record(results: readonly Result[]): void {
  const found: Record<string, Known> = {};
  for (const { mutant, caught } of results)
    if (caught) found[mutant.name] = { by: caught.by, checker: caught.checker, runs: caught.runs };
  writeKnown(
    found,
    MUTANTS.map(({ name }) => name),
  );
}

function report(results: Result[], { json, seconds }: { json: boolean; seconds: number }): number {
  const order = new Map(MUTANTS.map(({ name }, index) => [name, index]));
  results.sort((a, b) => (order.get(a.mutant.name) ?? 0) - (order.get(b.mutant.name) ?? 0));
  const survived = results.filter(({ caught }) => !caught).map(({ mutant }) => mutant.name);
  const caught = results.length - survived.length;
  if (json) {
    const details = results.map((result) => ({
      name: result.mutant.name,
      ...(result.caught && {
        checker: result.caught.checker,
        by: result.caught.by,
        runs:
          result.caught.by === KNOWN[result.mutant.name]?.by
            ? KNOWN[result.mutant.name]?.runs
            : result.caught.runs,
      }),
    }));
    console.log(JSON.stringify({ mutants: results.length, caught, survived, seconds, details }));
  } else console.log(`${results.length} mutants, ${caught} caught in ${seconds} s`);
  for (const name of survived) console.error(`survived: ${name}`);
  return survived.length === 0 ? 0 : 1;
}
