/** `npm run sim -- --exhaustive`: every fault at every place of a small exchange, once and twice. */
import { parseArgs } from 'node:util';
import { UsageError, parseNumber } from '../../../packages/cli/src/demo/arguments.ts';
import { CHECKERS } from '../violations.ts';
import type { Depth } from './cases.ts';
import { FAULT_KINDS } from './fault.ts';
import { runExhaustive } from './exhaustive.ts';
import type { CaseViolation, Tally } from './job.ts';
import { parseCase, runCase } from './run-case.ts';
import { MODES, SCRIPTS } from './script.ts';

const USAGE = `Usage: npm run -s sim -- --exhaustive [options]

Runs a small exchange through every way of restoring it, in both delivery modes, and lets each fault strike at every
place: behind every frame of every link, and behind every byte of carriers; then two faults, the second behind every frame
that follows the first. Without --deep, of the bytes inside control frames three stand for all, and of the pairs a part is run. The checkers are those of the simulator.

  --deep         all pairs, and all faults behind every byte, in every script: hours
  --script NAME  only this script, again and again if given more than once
  --case NAME    run this case alone, as a violation named it
  --trace        with --case: print what happens
  --threads N    how many threads; default one for each core
  --json         print one line of JSON on standard output; progress goes to standard error
  --help         print this

Scripts:
${SCRIPTS.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n')}
Modes: ${MODES.map(({ name }) => name).join(', ')}
Faults: ${Object.keys(FAULT_KINDS).join(', ')}
A case is SCRIPT/MODE/FAULT@PLACE, or with two faults …+FAULT@PLACE; the place c2>120 is behind 120 bytes that the second
carrier has brought to its server, c2<120 to the client, and ab>1 behind one frame from server a to server b.

Exit code: 0 if nothing was violated and every frame was struck, 1 if not, 2 if it could not start.`;

/** Frames that the scripts send, or single faults bring about: each must have had faults right behind it. */
const REQUIRED_FRAMES: readonly string[] = [
  ...['challenge', 'open', 'support', 'data', 'ack', 'fin', 'snapshot', 'snapshotAck', 'close', 'closeAck'],
  ...['trigger', 'migrate', 'accept', 'confirm', 'refuse', 'needBody', 'body', 'standby', 'watch'],
  ...['detach', 'detached', 'frozen', 'reset', 'resetAck'],
  ...['pull', 'state', 'stateChunk', 'confirmed', 'abort', 'release', 'gone'],
];

interface Options {
  readonly depth: Depth;
  readonly scripts: readonly string[] | undefined;
  readonly case: string | undefined;
  readonly trace: boolean;
  readonly threads: number | undefined;
  readonly json: boolean;
}

/** Answers the exit code. */
export async function main(args: string[]): Promise<number> {
  const options = parse(args);
  if (typeof options === 'number') return options;
  return options.case === undefined ? runAll(options) : runOne(options.case, options);
}

function parse(args: string[]): Options | number {
  try {
    const { values } = parseArgs({
      args,
      options: {
        exhaustive: { type: 'boolean' },
        deep: { type: 'boolean' },
        script: { type: 'string', multiple: true },
        case: { type: 'string' },
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
    for (const name of values.script ?? [])
      if (!SCRIPTS.some((script) => script.name === name)) throw new UsageError(`there is no script ${name}`);
    if (values.trace && values.case === undefined) throw new UsageError('--trace needs --case');
    if (values.case !== undefined) parseCase(values.case);
    return {
      depth: values.deep ? 'deep' : 'short',
      scripts: values.script,
      case: values.case,
      trace: values.trace ?? false,
      threads: parseNumber('--threads', values.threads, { min: 1, max: 256, whole: true }),
      json: values.json ?? false,
    };
  } catch (error) {
    if (!(error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
}

function runOne(name: string, { trace, json }: Options): number {
  const say = json ? console.error : console.log;
  const { violations, sources, tap } = runCase(parseCase(name), trace ? say : undefined);
  const struck = tap.struck.length;
  if (json) console.log(JSON.stringify({ cases: 1, case: name, violations, sources, struck }));
  else {
    for (const { checker, message } of violations)
      for (const line of describe({ case: name, checker, message })) say(line);
    say(
      `${name}: ${violations.length} violations; ${struck} faults struck; restored: ${sources.join(', ') || 'never'}`,
    );
  }
  return violations.length === 0 ? 0 : 1;
}

async function runAll({ depth, scripts, threads, json }: Options): Promise<number> {
  const startedMs = performance.now();
  let saidMs = startedMs;
  const aborted = new AbortController();
  const interrupt = (): void => aborted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  let tally: Tally;
  try {
    tally = await runExhaustive({
      depth,
      ...(scripts && { scripts }),
      ...(threads !== undefined && { threads }),
      signal: aborted.signal,
      onProgress: (done, of, { cases, violations }) => {
        const now = performance.now();
        if (now - saidMs < 5000) return;
        saidMs = now;
        console.error(`${done} of ${of} jobs, ${cases} cases, ${violations.length} violations`);
      },
    });
  } catch (error) {
    if (aborted.signal.aborted) return 130;
    throw error;
  }
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  const { violations, ...counts } = tally;
  const unreached = scripts ? [] : REQUIRED_FRAMES.filter((frame) => !(frame in tally.behind));
  for (const violation of violations) for (const line of describe(violation)) console.error(line);
  for (const frame of unreached) console.error(`no fault struck behind ${frame}`);
  if (json) console.log(JSON.stringify({ ...counts, violations, unreached, depth, seconds }));
  else
    console.log(
      `${counts.cases} cases, ${counts.pairs} of them of two faults: ${violations.length} violations, in ${seconds} s`,
    );
  return violations.length === 0 && unreached.length === 0 ? 0 : 1;
}

function describe({ case: name, checker, message }: CaseViolation): string[] {
  return [
    `${name}: ${checker} (${CHECKERS[checker]}): ${message}`,
    `  npm run -s sim -- --exhaustive --case '${name}' --trace`,
  ];
}
