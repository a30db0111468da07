/**
 * Runs the test stages in order, prints what failed once more and what each took, and ends with one line: "N passed, N failed,
 * N skipped". A log of which only the end was kept still tells what failed.
 * The exit code is 0 only if every stage had something to run and all of it passed.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { STAGES } from './stages.ts';
import type { Stage } from './stages.ts';
import type { Counts } from './test-counts.ts';

const USAGE = `Usage: npm test -- [options] [stage | file ...]

Without arguments, runs every stage. A file (*.test.ts) runs alone.

  --name PATTERN  only tests whose name matches the regular expression
  --list          print the stages and how many files each has
  --help          print this

Stages: ${STAGES.map(({ name }) => name).join(', ')}`;

/** How many test files run at once. Files bind ports and measure time, and small machines have two cores. */
const FILES_AT_ONCE = 2;

/** When to give up on a whole stage: a file that never exits would otherwise hold up everything after it. */
const STAGE_TIMEOUT_MS = 15 * 60_000;

/** How much of what a failed test said is repeated at the end, of its beginning and of its end each, in UTF-16 code units. */
const FAILURE_PART_LENGTH = 1_500;

const root = dirname(import.meta.dirname);

interface Outcome {
  readonly counts: Counts;
  /** Why the stage failed, beyond what node:test has printed. */
  readonly problems: readonly string[];
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const options = {
    name: { type: 'string' },
    list: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  let parsed;
  let stages: readonly Stage[];
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
    stages = parsed.positionals.length === 0 ? STAGES : selectStages(parsed.positionals);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (parsed.values.help) {
    console.log(USAGE);
    return 0;
  }
  if (parsed.values.list) {
    for (const stage of stages)
      console.log(`${stage.name.padEnd(12)} ${filesOf(stage).length} files: ${stage.summary}`);
    return 0;
  }

  const total = { passed: 0, failed: 0, skipped: 0 };
  const report: string[] = [];
  const failures: string[] = [];
  for (const stage of stages) {
    console.log(`\n== ${stage.name}: ${stage.summary}`);
    const startedMs = performance.now();
    const { counts, problems } = await runStage(stage, parsed.values.name);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);

    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    for (const problem of problems) console.log(problem);
    report.push(`${stage.name.padEnd(12)} ${seconds.padStart(7)} s  ${counts.failed > 0 ? 'FAILED' : 'ok'}`);
    for (const problem of problems) report.push(`  ${problem}`);
    for (const { name, file, message } of counts.failures)
      failures.push(`${stage.name}: ${relative(root, file)}: ${name}\n${shortened(message)}`);
  }

  if (total.passed + total.failed + total.skipped === 0) {
    report.push('no test has that name');
    total.failed = 1;
  }
  if (failures.length > 0) console.log(`\nWhat failed:\n\n${failures.join('\n\n')}`);
  console.log(`\n${report.join('\n')}\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 ? 1 : 0;
}

function selectStages(names: readonly string[]): Stage[] {
  const files = names.filter((name) => name.endsWith('.test.ts'));
  const stages = names
    .filter((name) => !files.includes(name))
    .map((name) => {
      const stage = STAGES.find((candidate) => candidate.name === name);
      if (stage === undefined) throw new Error(`There is no stage called "${name}".`);
      return stage;
    });
  if (files.length > 0) {
    const testTimeoutMs = Math.max(...STAGES.map((stage) => stage.testTimeoutMs));
    stages.push({ name: 'files', summary: files.join(' '), patterns: files, testTimeoutMs });
  }
  return stages;
}

function filesOf(stage: Stage): string[] {
  const exclude = (path: string): boolean => path.endsWith('node_modules');
  return globSync([...stage.patterns], { cwd: root, exclude }).sort();
}

/** A stage that cannot say anything fails: a silent stage would look like one that passes. */
async function runStage(stage: Stage, namePattern: string | undefined): Promise<Outcome> {
  const missing = (stage.needs ?? []).filter((path) => !existsSync(join(root, path)));
  if (missing.length > 0)
    return failure(`stage ${stage.name} has no files: ${missing.join(', ')} is not there`);
  const files = filesOf(stage);
  if (files.length === 0)
    return failure(`stage ${stage.name} has no files: nothing matches ${stage.patterns.join(' ')}`);

  const folder = mkdtempSync(join(tmpdir(), 'godwit-test-'));
  try {
    const countsPath = join(folder, 'counts.json');
    const status = await runNodeTest(stage, files, countsPath, namePattern);
    const text = existsSync(countsPath) ? readFileSync(countsPath, 'utf8') : '';
    if (text === '') return failure(`stage ${stage.name} ended without a summary (${status})`);

    const counts = JSON.parse(text) as Counts;
    // With a pattern, most files have nothing that matches.
    const emptyFiles = namePattern === undefined ? counts.emptyFiles : [];
    const problems = emptyFiles.map((path) => `${relative(root, path)} has no tests`);
    if (status !== 'exit code 0' && counts.failed === 0)
      problems.push(`stage ${stage.name} ended with ${status}`);
    return { counts: { ...counts, failed: counts.failed + problems.length }, problems };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a test said begins with what is wrong, as a rule; where it is the log of a long run, it ends with it. */
function shortened(message: string): string {
  if (message.length <= 2 * FAILURE_PART_LENGTH) return message;
  return `${message.slice(0, FAILURE_PART_LENGTH)}\n…\n${message.slice(-FAILURE_PART_LENGTH)}`;
}

function failure(problem: string): Outcome {
  return { counts: { passed: 0, failed: 1, skipped: 0, emptyFiles: [], failures: [] }, problems: [problem] };
}

/** Runs `node --test` and resolves to how it ended, in words. */
function runNodeTest(
  stage: Stage,
  files: readonly string[],
  countsPath: string,
  namePattern: string | undefined,
): Promise<string> {
  const args = [
    '--conditions=godwit-source',
    '--test',
    `--test-concurrency=${stage.filesAtOnce ?? FILES_AT_ONCE}`,
    `--test-timeout=${stage.testTimeoutMs}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'test-counts.ts')}`,
    `--test-reporter-destination=${countsPath}`,
    ...(namePattern === undefined ? [] : [`--test-name-pattern=${namePattern}`]),
    ...files,
  ];
  // A process group of its own, so that giving up also ends whatever the tests have started.
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', detached: true });
  const endGroup = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    endGroup();
  }, STAGE_TIMEOUT_MS);
  const onInterrupt = (signal: NodeJS.Signals): void => {
    endGroup();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt);

  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt);
      if (timedOut) resolve(`a time-out after ${STAGE_TIMEOUT_MS / 1000} s`);
      else resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
}
