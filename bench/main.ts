/** `npm run bench`: Godwit against plain node:net, side by side. */
import { join } from 'node:path';
import { USAGE, UsageError, parseBenchArguments, type BenchArguments } from './arguments.ts';
import { CATALOG, type BenchmarkName } from './catalog.ts';
import { Bench, FULL, QUICK } from './harness/bench.ts';
import { ensureBuilt } from './harness/fresh-build.ts';
import { Profiles } from './harness/profiles.ts';
import { LIMITS, reaches, type Limit } from './limits.ts';
import { comparePeers } from './peers/rows.ts';
import { publish, type Figures, type Results } from './report/results.ts';
import { formatResults } from './report/table.ts';

/** Progress; standard output is for results. */
const log = (line: string): void => console.error(line);

// 'exit' is what ends the children; a signal alone would not bring it about.
process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));

try {
  const parsed = parseBenchArguments(process.argv.slice(2));
  if (parsed === 'help') console.log(USAGE);
  else process.exitCode = await main(parsed);
} catch (error) {
  const isUsage = error instanceof UsageError;
  console.error(
    isUsage ? `${error.message}\n\n${USAGE}` : `The benchmark failed: ${(error as Error).message}`,
  );
  process.exitCode = isUsage ? 2 : 1;
}

async function main(choices: BenchArguments): Promise<number> {
  await ensureBuilt(log);
  const results: Results = { figures: {} };
  for (const name of choices.names) results.figures[name] = await runOne(name, choices, CATALOG[name].run);
  if (choices.peers) results.peers = await runOne('peers', choices, comparePeers);
  if (choices.profile !== undefined) return 0;
  if (choices.json)
    console.log(JSON.stringify({ ...results.figures, ...(choices.peers && { peers: results.peers }) }));
  else {
    console.log(formatResults(results));
    if (!choices.quick) publish(results, log);
  }
  return choices.check ? check(results.figures) : 0;
}

/** Runs a benchmark at the chosen scale, or once for its profile. */
async function runOne<T>(
  name: string,
  { quick, profile }: BenchArguments,
  run: (bench: Bench) => Promise<T>,
): Promise<T> {
  const startedMs = performance.now();
  const scale = quick ? QUICK : FULL;
  const options = { name, log: (line: string) => log(`${name} ${line}`) };
  if (profile === undefined) {
    const outcome = await run(new Bench({ ...options, scale }));
    log(`${name} took ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    return outcome;
  }
  const profiles = new Profiles(join(import.meta.dirname, 'results/profiles', name), profile);
  const nodeOptions = (title: string): readonly string[] => profiles.nodeOptions(title);
  const outcome = await run(new Bench({ ...options, scale: { ...scale, pairs: 1 }, nodeOptions }));
  console.log(profiles.summary());
  return outcome;
}

/** Says which figures are beyond their gross limits. Answers the exit code. */
function check(figures: Readonly<Figures>): number {
  let failures = 0;
  for (const [name, outcome] of Object.entries(figures)) {
    if ('skipped' in outcome) continue;
    const limit: Limit = LIMITS[name as BenchmarkName];
    if (reaches(limit, outcome.ratio, limit.gross)) continue;
    failures += 1;
    log(`${name} is ${outcome.ratio}, beyond its gross limit of ${limit.gross}`);
  }
  return failures > 0 ? 1 : 0;
}
