/** What was measured last, kept in `bench/results/latest.json`; plots and the page in docs are made from it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import type { BenchmarkName } from '../catalog.ts';
import type { Outcome } from '../harness/bench.ts';
import type { PeerResults } from '../peers/rows.ts';
import { fillPage } from './page.ts';
import { makePlots } from './plots.ts';

export type Figures = Partial<Record<BenchmarkName, Outcome>>;

export interface Results {
  readonly figures: Figures;
  peers?: PeerResults;
}

/** Results, and where each comes from. */
export interface Latest extends Results {
  /** What each was measured on, and when. */
  readonly measured: Readonly<Record<string, Machine>>;
}

export interface Machine {
  /** The day, in UTC. */
  readonly on: string;
  readonly node: string;
  readonly platform: string;
  readonly processors: string;
}

const root = dirname(dirname(import.meta.dirname));
export const RESULTS_FOLDER = join(root, 'bench/results');
export const PAGE = join(root, 'docs/performance.md');
const latestFile = join(RESULTS_FOLDER, 'latest.json');

/** What is kept of earlier runs. */
export function readLatest(): Latest {
  if (!existsSync(latestFile)) return { figures: {}, measured: {} };
  return JSON.parse(readFileSync(latestFile, 'utf8')) as Latest;
}

/** Puts results in place of those they replace, and makes plots and page anew. */
export function publish(results: Results, log: (line: string) => void): void {
  const earlier = readLatest();
  const machine = thisMachine();
  const names = [...Object.keys(results.figures), ...(results.peers === undefined ? [] : ['peers'])];
  const peers = results.peers ?? earlier.peers;
  const latest: Latest = {
    measured: { ...earlier.measured, ...Object.fromEntries(names.map((name) => [name, machine])) },
    figures: { ...earlier.figures, ...results.figures },
    ...(peers !== undefined && { peers }),
  };
  mkdirSync(RESULTS_FOLDER, { recursive: true });
  writeFileSync(latestFile, `${JSON.stringify(latest, undefined, 1)}\n`);
  refresh(latest);
  log('bench/results/latest.json, its plots and docs/performance.md are written');
}

/** Makes plots and page from what is kept. */
export function refresh(latest: Latest): void {
  for (const [name, svg] of Object.entries(makePlots(latest)))
    writeFileSync(join(RESULTS_FOLDER, `${name}.svg`), svg);
  writeFileSync(PAGE, fillPage(readFileSync(PAGE, 'utf8'), latest));
}

function thisMachine(): Machine {
  const all = cpus();
  return {
    on: new Date().toISOString().slice(0, 10),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processors: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`,
  };
}
