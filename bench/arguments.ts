/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { CATALOG, type BenchmarkName } from './catalog.ts';

export const USAGE = `Usage: npm run bench -- [options] [name ...]

Measures Godwit against plain node:net on this machine, each side in processes of its own, in turns. Sessions are protected,
or the run fails. Without names: everything, then bench/results/latest.json, the plots beside it and docs/performance.md.

  --json         print one line of JSON on standard output; progress goes to standard error; no file is written
  --quick        fewer rounds and sessions: within 180 s, good for gross regressions only
  --check        fail when a figure is beyond the gross limit in bench/limits.ts
  --profile      one round with --cpu-prof for both ends; prints where the time went
  --allocations  one round with --heap-prof instead
  --help         print this

Names:
${Object.entries(CATALOG)
  .map(([name, { summary }]) => `  ${name.padEnd(16)} ${summary}`)
  .join('\n')}`;

export interface BenchArguments {
  readonly names: readonly BenchmarkName[];
  /** No name was given. */
  readonly everything: boolean;
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
  const unknown = positionals.find((name) => !(name in CATALOG));
  if (unknown !== undefined) throw new UsageError(`There is no benchmark called "${unknown}".`);
  const all = Object.keys(CATALOG) as BenchmarkName[];
  return {
    names: positionals.length === 0 ? all : all.filter((name) => positionals.includes(name)),
    everything: positionals.length === 0,
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
