/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { CATALOG, type BenchmarkName } from './catalog.ts';
import { PEERS_SUMMARY } from './peers/rows.ts';

export const USAGE = `Usage: npm run bench -- [options] [name ...]

Measures Godwit against plain node:net on this machine, each side in processes of its own, in turns. Sessions are protected,
or the run fails. Prints a table, and puts what was measured into bench/results/latest.json, the plots beside it and
docs/performance.md. Without names: every figure, up to 20 minutes; "peers" only by its name.

  --json         print one line of JSON on standard output instead; no file is written
  --quick        fewer rounds and sessions: less than 180 s, good for gross regressions only; no file is written
  --check        fail when a figure is beyond the gross limit in bench/limits.ts
  --profile      one round with --cpu-prof in every process; prints where the time went; no file but the profiles
  --allocations  one round with --heap-prof instead
  --help         print this

Names:
${Object.entries({ ...CATALOG, peers: { summary: PEERS_SUMMARY } })
  .map(([name, { summary }]) => `  ${name.padEnd(16)} ${summary}`)
  .join('\n')}

Progress goes to standard error. Exit code: 0, 1 if a benchmark failed or a check did, 2 if it could not start.`;

export interface BenchArguments {
  readonly names: readonly BenchmarkName[];
  readonly peers: boolean;
  readonly json: boolean;
  readonly quick: boolean;
  readonly check: boolean;
  readonly profile: 'cpu' | 'heap' | undefined;
}

/** What is wrong with a command line, for the person who typed it. */
export class UsageError extends Error {}

/** Returns 'help' if that was asked for. Throws a UsageError. */
export function parseBenchArguments(args: readonly string[]): BenchArguments | 'help' {
  const { values, positionals } = parse(args);
  if (values.help) return 'help';
  const unknown = positionals.find((name) => name !== 'peers' && !Object.hasOwn(CATALOG, name));
  if (unknown !== undefined) throw new UsageError(`There is no benchmark called "${unknown}".`);
  const all = Object.keys(CATALOG) as BenchmarkName[];
  return {
    names: positionals.length === 0 ? all : all.filter((name) => positionals.includes(name)),
    peers: positionals.includes('peers'),
    json: values.json ?? false,
    quick: values.quick ?? false,
    check: values.check ?? false,
    profile: values.profile ? 'cpu' : values.allocations ? 'heap' : undefined,
  };
}

const OPTIONS = {
  json: { type: 'boolean' },
  quick: { type: 'boolean' },
  check: { type: 'boolean' },
  profile: { type: 'boolean' },
  allocations: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parse(
  args: readonly string[],
): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
