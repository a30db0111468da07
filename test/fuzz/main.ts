/** `npm run fuzz`: bytes, frames and operations of every kind, against the properties in engine/target.ts. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../packages/cli/src/demo/arguments.ts';
import { SEED_LIMIT, randomSeed } from '../../packages/cli/src/demo/choices.ts';
import { campaignOf } from './engine/campaign.ts';
import { targetOf } from './engine/corpus.ts';
import { loadTargets, runFuzz, selectTargets, type FuzzResult } from './engine/run.ts';

const USAGE = `Usage: npm run fuzz -- [options]

Feeds decoders, tickets, servers, clients and links between servers with damaged bytes, false frames and operations in every
order, guided by the code that they reach, and holds what comes of it to properties: nothing crashes, hangs, grows without
bound, or lets a stranger change a session. The inputs in test/fuzz/corpus are run first.

  --seconds N    how long; default 60
  --target NAME  only this target; may be given several times
  --from SEED    repeat the choices of an earlier run, as far as time allows
  --grow         keep inputs that reach new code in the corpus, and drop those they make superfluous
  --replay FILE  run one input of the corpus, and nothing else
  --list         print the targets
  --json         print one line of JSON on standard output; progress goes to standard error
  --help         print this

Exit code: 0 if every property held, 1 if not, 2 if it could not start.`;

interface Choices {
  readonly seconds: number;
  readonly seed: number;
  readonly targets: readonly string[];
  readonly grows: boolean;
  readonly replay: string | undefined;
  readonly lists: boolean;
  readonly json: boolean;
}

const choices = parse(process.argv.slice(2));
process.exitCode = typeof choices === 'number' ? choices : await main(choices);

/** The options, or the exit code where there is nothing to run. */
function parse(args: string[]): Choices | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seconds: { type: 'string' },
        target: { type: 'string', multiple: true },
        from: { type: 'string' },
        grow: { type: 'boolean' },
        replay: { type: 'string' },
        list: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    return {
      seconds: parseNumber('--seconds', values.seconds, { min: 0, max: 1e6 }) ?? 60,
      seed: parseNumber('--from', values.from, { min: 0, max: SEED_LIMIT - 1, whole: true }) ?? randomSeed(),
      targets: values.target ?? [],
      grows: values.grow ?? false,
      replay: values.replay,
      lists: values.list ?? false,
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    return refuse((error as Error).message);
  }
}

function refuse(message: string): number {
  console.error(`${message}\n\n${USAGE}`);
  return 2;
}

async function main(given: Choices): Promise<number> {
  if (given.lists) {
    for (const { name, summary } of await loadTargets()) console.log(`${name.padEnd(14)} ${summary}`);
    return 0;
  }
  try {
    if (given.replay !== undefined) return await replay(given.replay);
    return await fuzz(given);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refuse(error.message);
  }
}

async function fuzz({ json, ...given }: Choices): Promise<number> {
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  console.error(`seed ${given.seed}`);
  const result = await runFuzz({ ...given, signal: interrupted.signal, log: (line) => console.error(line) });
  process.off('SIGINT', stop).off('SIGTERM', stop);
  console.log(json ? JSON.stringify(result) : format(result));
  return result.failures.length === 0 ? 0 : 1;
}

async function replay(file: string): Promise<number> {
  if (!existsSync(file)) throw new RangeError(`there is no file ${file}`);
  const [target] = selectTargets(await loadTargets(), [targetOf(resolve(file))]);
  const campaign = target && campaignOf(target, 1);
  const finding = campaign?.begin().find(({ path }) => path !== undefined && resolve(path) === resolve(file));
  console.log(finding ? `"${finding.property}" does not hold\n${finding.message}` : 'every property held');
  return finding ? 1 : 0;
}

function format({ seconds, targets, failures }: FuzzResult): string {
  const rows = Object.entries(targets).map(([name, { runs, corpus, newCoverage }]) =>
    [
      name.padEnd(14),
      String(runs).padStart(9),
      String(corpus).padStart(8),
      String(newCoverage).padStart(14),
    ].join(' '),
  );
  return [
    `${'target'.padEnd(14)} ${'runs'.padStart(9)} ${'corpus'.padStart(8)} ${'new coverage'.padStart(14)}`,
    ...rows,
    `${failures.length} failures in ${seconds} s`,
  ].join('\n');
}
