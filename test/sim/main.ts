/** `npm run sim`: the protocol under every fault there is, in virtual time, seed after seed. */
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../packages/cli/src/demo/arguments.ts';
import { main as runExhaustive } from './exhaustive/main.ts';
import { drawPlan, type Plan } from './plan.ts';
import { runPlan } from './run-seed.ts';
import { readPlan, savePlan } from './saved-plans.ts';
import { sweep } from './sweep.ts';
import { CHECKERS } from './violations.ts';
import type { SeedViolations } from './worker.ts';

const USAGE = `Usage: npm run -s sim -- [options]

Runs the real protocol core of clients and servers in a virtual world. One seed draws who takes part, what they say to
each other, and every fault. Checkers look for violations of the invariants of docs/protocol.md §15.

  --seeds N    how many seeds; default 5000
  --from S     the first of them; default 1
  --seed S     run this one alone
  --plan FILE  run the plan that was saved there (test/vectors/seeds), whatever its seed means by now
  --trace      with --seed or --plan: print what happens
  --save TEXT  with --seed: keep its plan in test/vectors/seeds, with a line on what it shows; npm test runs it again
  --threads N  how many threads; default one for each core
  --exhaustive every fault at every place of a small exchange instead; --exhaustive --help says more
  --json       print one line of JSON on standard output; progress goes to standard error
  --help       print this

Exit code: 0 if nothing was violated and (from 5,000 seeds on) everything was reached, 1 if not, 2 if it could not start.`;

/** The largest seed. */
const MAX_SEED = 2 ** 32 - 1;

interface Options {
  readonly seeds: number;
  readonly from: number;
  readonly seed: number | undefined;
  readonly plan: string | undefined;
  readonly save: string | undefined;
  readonly trace: boolean;
  readonly threads: number | undefined;
  readonly json: boolean;
}

const args = process.argv.slice(2);
const options = args.includes('--exhaustive') ? await runExhaustive(args) : parse(args);
if (typeof options === 'number') process.exitCode = options;
else if (options.plan !== undefined) process.exitCode = runSaved(options.plan, options);
else if (options.seed !== undefined) process.exitCode = runOne(drawPlan(options.seed), options);
else process.exitCode = await runSweep(options);

/** The options, or the exit code where there is nothing to run. */
function parse(args: string[]): Options | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        seed: { type: 'string' },
        plan: { type: 'string' },
        save: { type: 'string' },
        trace: { type: 'boolean' },
        threads: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const whole = true;
    const seed = parseNumber('--seed', values.seed, { min: 0, max: MAX_SEED, whole });
    if (values.trace && seed === undefined && values.plan === undefined)
      throw new UsageError('--trace needs --seed or --plan');
    const isSweep = values.seeds !== undefined || values.from !== undefined;
    if (isSweep && (seed !== undefined || values.plan !== undefined))
      throw new UsageError('--seeds and --from are for a sweep, not for one --seed or --plan');
    if (values.save !== undefined && seed === undefined) throw new UsageError('--save needs --seed');
    return {
      seeds: parseNumber('--seeds', values.seeds, { min: 1, max: 1e9, whole }) ?? 5000,
      from: parseNumber('--from', values.from, { min: 0, max: MAX_SEED, whole }) ?? 1,
      seed,
      plan: values.plan,
      save: values.save,
      trace: values.trace ?? false,
      threads: parseNumber('--threads', values.threads, { min: 1, max: 256, whole }),
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
}

function runSaved(path: string, options: Options): number {
  let plan: Plan;
  try {
    ({ plan } = readPlan(path));
  } catch (error) {
    console.error(`${path} is no saved plan: ${(error as Error).message}`);
    return 2;
  }
  return runOne(plan, options);
}

function runOne(plan: Plan, { trace, save, json }: Options): number {
  const say = json ? console.error : console.log;
  const { seed } = plan;
  const { violations, coverage, hash, worldMs } = runPlan(plan, trace ? { narrate: say } : {});
  if (save !== undefined) console.error(`saved as ${savePlan(plan, save)}`);
  const transcript = hash.toString(16).padStart(8, '0');
  if (json) console.log(JSON.stringify({ seeds: 1, seed, violations, hash: transcript, coverage }));
  else {
    for (const line of describe({ seed, violations })) console.log(line);
    console.log(
      `seed ${seed}: ${violations.length} violations in ${Math.round(worldMs)} ms of its world, transcript ${transcript}`,
    );
  }
  return violations.length === 0 ? 0 : 1;
}

async function runSweep({ seeds, from, threads, json }: Options): Promise<number> {
  const startedMs = performance.now();
  const aborted = new AbortController();
  let isInterrupted = false;
  const interrupt = (): void => {
    isInterrupted = true;
    aborted.abort();
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  let saidMs = startedMs;
  let result;
  try {
    result = await sweep({
      seeds,
      from,
      ...(threads !== undefined && { threads }),
      signal: aborted.signal,
      onProgress: (done, failed) => {
        for (const one of failed) for (const line of describe(one)) console.error(line);
        const now = performance.now();
        if (now - saidMs < 5000) return;
        saidMs = now;
        console.error(`${done} of ${seeds} seeds, ${Math.round((done / (now - startedMs)) * 1000)} a second`);
      },
    });
  } catch (error) {
    if (isInterrupted) return 130;
    throw error;
  }
  const { failed, coverage, unreached } = result;
  const seedsPerSecond = Math.round((result.seeds / (performance.now() - startedMs)) * 1000);
  const violations = failed.flatMap((one) =>
    one.violations.map((violation) => ({ seed: one.seed, ...violation })),
  );
  if (json)
    console.log(JSON.stringify({ seeds: result.seeds, violations, unreached, seedsPerSecond, coverage }));
  else
    console.log(
      `${result.seeds} seeds, ${violations.length} violations in ${failed.length} of them, ${seedsPerSecond} seeds a second`,
    );
  for (const row of unreached) console.error(`never reached: ${row}`);
  return failed.length === 0 && unreached.length === 0 ? 0 : 1;
}

function describe({ seed, violations }: SeedViolations): string[] {
  if (violations.length === 0) return [];
  return [
    ...violations.map(
      ({ checker, message, atMs }) =>
        `seed ${seed} at ${Math.round(atMs)} ms: ${checker} (${CHECKERS[checker]}): ${message}`,
    ),
    `  npm run -s sim -- --seed ${seed} --trace`,
  ];
}
