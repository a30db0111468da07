/** `npm run chaos`: real processes on hosts of their own, and everything that can happen to them. */
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../packages/cli/src/demo/arguments.ts';
import { SEED_LIMIT, randomSeed } from '../../packages/cli/src/demo/choices.ts';
import { runChaos } from './chaos.ts';
import type { ChaosOptions } from './chaos.ts';
import { FAULT_KINDS } from './faults.ts';
import { FOLDER_PREFIX, cleanLeftovers } from './leftovers.ts';
import { WORKLOADS } from './messages.ts';
import { reasonToSkip } from './requirements.ts';
import { isSound } from './result.ts';
import type { ChaosResult } from './result.ts';

const USAGE = `Usage: npm run chaos -- [options]

Runs server and client processes on hosts of their own (network namespaces on a bridge), kills and freezes servers, cuts,
resets and readdresses the network between them, fills their disk, and checks every byte that arrives and every side
effect of every request. Needs root and Linux; installs the Debian packages iproute2 and nftables if they are missing.

  --seconds N      how long faults go on; default 45
  --faults LIST    which kinds; default all: ${FAULT_KINDS.join(',')}
  --workload LIST  what the clients do; default all: ${WORKLOADS.join(',')}
  --seed N         repeat the choices of an earlier run, as far as time allows
  --json           print one line of JSON on standard output; progress goes to standard error
  --help           print this

Exit code: 0 if every byte arrived once and unharmed, every session ended well, every side effect happened once, and every
kind of fault hit bytes in flight; 1 if not; 2 if it could not start.`;

type Choices = Omit<ChaosOptions, 'folder' | 'log' | 'entry'> & { json: boolean };

const choices = parse(process.argv.slice(2));
if (typeof choices === 'number') process.exitCode = choices;
else process.exitCode = await chaos(choices);

/** The options, or the exit code where there is nothing to run. */
function parse(args: string[]): Choices | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seconds: { type: 'string' },
        faults: { type: 'string' },
        workload: { type: 'string' },
        seed: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    return {
      seconds: parseNumber('--seconds', values.seconds, { min: 1, max: 3600 }) ?? 45,
      kinds: parseList('--faults', values.faults, FAULT_KINDS),
      workloads: parseList('--workload', values.workload, WORKLOADS),
      seed: parseNumber('--seed', values.seed, { min: 0, max: SEED_LIMIT - 1, whole: true }) ?? randomSeed(),
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
}

function parseList<Name extends string>(
  option: string,
  text: string | undefined,
  names: readonly Name[],
): readonly Name[] {
  if (text === undefined) return names;
  return text.split(',').map((part) => {
    const name = names.find((each) => each === part.trim());
    if (name === undefined) throw new UsageError(`${option} knows ${names.join(', ')}, and no "${part}"`);
    return name;
  });
}

async function chaos({ json, ...options }: Choices): Promise<number> {
  const log = (line: string): void => console.error(line);
  const reason = await reasonToSkip(log);
  if (reason !== undefined) {
    log(`Skipped, nothing was tested: ${reason}.`);
    return 2;
  }
  for (const name of await cleanLeftovers()) log(`cleaned up after an earlier run: ${name}`);
  const folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  // 'exit' is what ends processes and takes the hosts away; a signal alone would not bring it about.
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
  let sound = false;
  process.once('exit', (code) => {
    if (sound || code >= 128) rmSync(folder, { recursive: true, force: true });
    else console.error(`The logs of all processes are in ${keep(folder, options.seed)}`);
  });
  try {
    const result = await runChaos({ ...options, folder, log });
    sound = isSound(result);
    for (const problem of result.problems) log(problem);
    console.log(json ? JSON.stringify(result) : format(result));
  } catch (error) {
    log(`The run failed: ${(error as Error).message}`);
  }
  if (!sound) log(`Repeat its choices with --seed ${options.seed}.`);
  return sound ? 0 : 1;
}

/** Under another name, or the next run would take the folder for left over. */
function keep(folder: string, seed: number): string {
  const kept = join(tmpdir(), `chaos-logs-${seed}-${process.pid}`);
  renameSync(folder, kept);
  return kept;
}

function format(result: ChaosResult): string {
  const { faults, issued, migrations, sessions, lost, duplicated, corrupt, aborted, effects, blackoutMs } =
    result;
  const kinds = Object.entries(issued).map(
    ([kind, count]) => `${kind} ${faults[kind as keyof typeof faults] ?? 0} of ${count}`,
  );
  return [
    `${sessions} sessions, ${migrations} migrations: ${lost} bytes lost, ${duplicated} duplicated, ${corrupt} corrupt; ${aborted} sessions aborted`,
    `${effects.requests} requests: ${effects.missing} side effects missing, ${effects.doubled} doubled; ${effects.repeated} recognised as repeated, ${effects.fenced} refused by the fence`,
    `faults that hit bytes in flight: ${kinds.join(', ')}`,
    `blackout: median ${blackoutMs.p50} ms, 99 % within ${blackoutMs.p99} ms, longest ${blackoutMs.max} ms`,
  ].join('\n');
}
