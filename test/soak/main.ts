/** `npm run soak`: transfer after transfer, each with a server that dies on the way. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../packages/cli/src/demo/arguments.ts';
import { SEED_LIMIT, randomSeed } from '../../packages/cli/src/demo/choices.ts';
import { onInterruption } from '../../packages/cli/src/demo/interruptions.ts';
import { isSound, runSoak } from './soak.ts';
import type { SoakOptions, SoakResult } from './soak.ts';

const USAGE = `Usage: npm run soak -- [options]

Transfers a file both ways over one connection, kills the server at a random offset, and compares every byte; again and
again, in replay and in commit delivery in turn. In between it measures what plain node:net needs to get over the same.

  --runs N    how many transfers; default 200
  --bytes N   size of the file; default 8388608
  --seed N    repeat the choices of an earlier soak
  --json      print one line of JSON on standard output; progress goes to standard error
  --help      print this

Exit code: 0 if every byte of every run arrived once and unharmed, 1 if not, 2 if it could not start; 128 + N if signal N
ended it, 141 if nobody read its output any more.`;

const options = parse(process.argv.slice(2));
if (typeof options === 'number') process.exitCode = options;
else process.exitCode = await soak(options);

/** The options, or the exit code where there is nothing to run. */
function parse(args: string[]): (Omit<SoakOptions, 'folder' | 'log'> & { json: boolean }) | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        runs: { type: 'string' },
        bytes: { type: 'string' },
        seed: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const whole = true;
    return {
      runs: parseNumber('--runs', values.runs, { min: 1, max: 1e6, whole }) ?? 200,
      bytes: parseNumber('--bytes', values.bytes, { min: 64 * 1024, max: 2 ** 31, whole }) ?? 8 * 1024 * 1024,
      seed: parseNumber('--seed', values.seed, { min: 0, max: SEED_LIMIT - 1, whole }) ?? randomSeed(),
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
}

async function soak({ json, ...choices }: Exclude<ReturnType<typeof parse>, number>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-soak-'));
  // 'exit' is what ends the children; a signal alone would not bring it about.
  onInterruption((status) => process.exit(status));
  let sound = false;
  process.once('exit', (code) => {
    if (sound || code >= 128) rmSync(folder, { recursive: true, force: true });
    else console.error(`The logs of the servers are in ${folder}`);
  });
  try {
    const result = await runSoak({ ...choices, folder, log: (line) => console.error(line) });
    console.log(json ? JSON.stringify(result) : format(result));
    sound = isSound(result);
  } catch (error) {
    console.error(
      `The soak failed: ${(error as Error).message}\nRepeat its choices with --seed ${choices.seed}.`,
    );
  }
  return sound ? 0 : 1;
}

function format({
  runs,
  lost,
  duplicated,
  corrupt,
  aborted,
  kills,
  blackoutMs,
  floorMs,
}: SoakResult): string {
  return [
    `${runs} runs: ${lost} bytes lost, ${duplicated} duplicated, ${corrupt} corrupt; ${aborted} runs aborted`,
    `${kills.counted} of ${kills.issued} kills hit bytes in flight and were followed by another process`,
    `blackout: median ${blackoutMs.p50} ms, 99 % within ${blackoutMs.p99} ms, longest ${blackoutMs.max} ms`,
    `plain net: median ${floorMs.p50} ms, 99 % within ${floorMs.p99} ms, longest ${floorMs.max} ms`,
  ].join('\n');
}
