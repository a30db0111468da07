/** Fuzzes all targets by turns for so long, and says what came of it. */
import { setImmediate } from 'node:timers/promises';
import { loadInstrumented, type Plant } from '../instrument/load.ts';
import { campaignOf, type Campaign, type Finding } from './campaign.ts';
import { writeInput } from './corpus.ts';
import type { Property, Target } from './target.ts';

/** Targets take turns of so long, in ms. */
const TURN_MS = 250;

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Names of targets; all where there are none. */
  readonly targets: readonly string[];
  /** Inputs that reach something new are kept on disk. */
  readonly grows: boolean;
  /** A fault to be found by searching alone: what is on disk would make the search another one whenever that grows. */
  readonly plant?: Plant | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly log: (line: string) => void;
}

export interface TargetResult {
  readonly runs: number;
  /** Inputs on disk at the beginning. */
  readonly corpus: number;
  /** Blocks of the library's code that were reached, and that nothing on disk reaches. */
  readonly newCoverage: number;
}

export interface FuzzFailure {
  readonly target: string;
  readonly property: Property;
  readonly message: string;
  /** Where the input is, and how to run it again; undefined where a fault was planted. */
  readonly file: string | undefined;
  readonly command: string | undefined;
}

export interface FuzzResult {
  readonly seconds: number;
  readonly targets: Readonly<Record<string, TargetResult>>;
  readonly failures: readonly FuzzFailure[];
}

export async function loadTargets(plant?: Plant): Promise<readonly Target[]> {
  const module = await loadInstrumented<{ TARGETS: readonly Target[] }>('test/fuzz/targets/index.ts', plant);
  return module.TARGETS;
}

/** Throws `RangeError` where there is no target of a name. */
export function selectTargets(all: readonly Target[], names: readonly string[]): readonly Target[] {
  for (const name of names)
    if (!all.some((target) => target.name === name)) throw new RangeError(`there is no target "${name}"`);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

export async function runFuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { log, plant, signal } = options;
  const targets = selectTargets(await loadTargets(plant), options.targets);
  const startedMs = performance.now();
  const endMs = startedMs + options.seconds * 1000;
  const failures: FuzzFailure[] = [];
  const fail = ({ target }: Campaign, finding: Finding): void => {
    failures.push(report(target, finding, plant !== undefined, log));
  };

  const campaigns = targets.map((target) => campaignOf(target, options.seed, plant === undefined));
  const searching = new Set<Campaign>();
  const isInterrupted = (): boolean => signal?.aborted ?? false;
  for (const campaign of campaigns) {
    if (isInterrupted()) break;
    const findings = campaign.begin();
    for (const finding of findings) fail(campaign, finding);
    if (findings.length === 0) searching.add(campaign);
    await setImmediate();
  }
  // Each gets a turn, however long it took to run what is known.
  for (let turn = 0; turn === 0 || performance.now() < endMs; turn += 1) {
    if (searching.size === 0 || isInterrupted()) break;
    for (const campaign of [...searching]) {
      const now = performance.now();
      if ((turn > 0 && now >= endMs) || isInterrupted()) break;
      const finding = campaign.search(now + TURN_MS);
      if (finding) {
        fail(campaign, finding);
        searching.delete(campaign);
      }
      await setImmediate();
    }
  }
  if (options.grows) for (const campaign of searching) campaign.grow();
  return {
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
    targets: Object.fromEntries(
      campaigns.map(({ target, runs, corpus, newCoverage }) => [target.name, { runs, corpus, newCoverage }]),
    ),
    failures,
  };
}

function report(
  target: Target,
  { property, message, input, path }: Finding,
  isPlanted: boolean,
  log: (line: string) => void,
): FuzzFailure {
  const [summary = ''] = message.split('\n');
  const file = isPlanted ? undefined : (path ?? writeInput(target, input, `${property}: ${summary}`));
  const command = file && `npm run -s fuzz -- --replay ${file}`;
  log(
    `${target.name}: "${property}" does not hold\n${message}${command === undefined ? '' : `\nRun it again: ${command}`}\n`,
  );
  return { target: target.name, property, message: summary, file, command };
}
