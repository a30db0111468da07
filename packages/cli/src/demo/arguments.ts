/** The demo's command line. */
import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SEED_LIMIT, randomSeed } from './choices.ts';
import type { Delivery } from './transfer.ts';

/** How long a transfer takes at the least, unless `--rate` says otherwise: long enough to watch. */
export const DURATION_MIN_S = 12;

/** Fewer bytes leave no room for servers to die at different offsets. */
const FILE_MIN_BYTES = 1024;

/** Enough for anyone; each costs a restart of a process. */
const KILLS_MAX = 50;

export const USAGE = `Usage: npm run demo -- [FILE] [options]

Starts three server processes and a client. The client downloads FILE and uploads it at the same time, over one connection,
while the server at its other end is killed (SIGKILL) again and again, and drained once. Then compares every byte.

  FILE               the file to transfer, at least 1,024 bytes; default: the running node binary
  --delivery MODE    replay: the file, served by a deterministic service (default)
                     commit: as many bytes of random records, by a service that never says the same twice
  --kills N          how many times to kill the serving process, 1 to ${KILLS_MAX}; default 3
  --rate N           megabytes a second in each direction, 0 for no limit; default: what takes ${DURATION_MIN_S} s,
                     or longer where servers are slow to start
  --seed N           repeat the choices of an earlier run
  --json             print one line of JSON on standard output; progress goes to standard error
  --help             print this

Exit code: 0 if every byte arrived once and unharmed, 1 if not, 2 if it could not start; 128 + N if signal N ended it,
141 if nobody read its output any more.`;

export interface DemoOptions {
  readonly file: string;
  readonly fileBytes: number;
  readonly delivery: Delivery;
  readonly kills: number;
  /** Megabytes a second in each direction; 0: no limit; undefined: what leaves servers the time to restart. */
  readonly rate: number | undefined;
  readonly seed: number;
  readonly json: boolean;
}

/** What is wrong with a command line, for the person who typed it. */
export class UsageError extends Error {}

/** Returns 'help' if that was asked for. Throws a UsageError. */
export function parseDemoArguments(args: readonly string[]): DemoOptions | 'help' {
  const { values, positionals } = parse(args);
  if (values.help) return 'help';
  if (positionals.length > 1)
    throw new UsageError(`one FILE, not ${positionals.length}: ${positionals.join(' ')}`);
  const delivery = values.delivery ?? 'replay';
  if (delivery !== 'replay' && delivery !== 'commit')
    throw new UsageError(`--delivery is replay or commit, not "${delivery}"`);

  const file = positionals[0] ?? process.execPath;
  const fileBytes = sizeOf(file);
  return {
    file,
    fileBytes,
    delivery,
    kills: parseNumber('--kills', values.kills, { min: 1, max: KILLS_MAX, whole: true }) ?? 3,
    rate: parseNumber('--rate', values.rate, { min: 0, max: 1e6 }),
    seed: parseNumber('--seed', values.seed, { min: 0, max: SEED_LIMIT - 1, whole: true }) ?? randomSeed(),
    json: values.json ?? false,
  };
}

const OPTIONS = {
  delivery: { type: 'string' },
  kills: { type: 'string' },
  rate: { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Parsed = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>;

function parse(args: readonly string[]): Parsed {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export function parseNumber(
  name: string,
  text: string | undefined,
  { min, max, whole = false }: { min: number; max: number; whole?: boolean },
): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === '' ? NaN : Number(text);
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value)))
    throw new UsageError(`${name} is a ${whole ? 'whole ' : ''}number from ${min} to ${max}, not "${text}"`);
  return value;
}

function sizeOf(file: string): number {
  let stats;
  try {
    stats = statSync(file);
  } catch (error) {
    throw new UsageError(`can't read ${file}: ${(error as Error).message}`);
  }
  if (!stats.isFile()) throw new UsageError(`${file} is not a file`);
  if (stats.size < FILE_MIN_BYTES)
    throw new UsageError(`${file} has ${stats.size} bytes; the demo needs ${FILE_MIN_BYTES} or more`);
  return stats.size;
}
