/** Many seeds, on all cores: blocks of them are handed out to threads until none is left. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CoverageCounts } from './coverage.ts';
import { requiredCoverage } from './simulation.ts';
import type { BlockResult, SeedViolations } from './worker.ts';

/** Seeds in a block: many enough that handing it out costs nothing, few enough that all threads end together. */
const BLOCK_SEEDS = 50;

/** Fewer seeds than this need not reach everything. */
export const COVERING_SEEDS = 5000;

/** After so many seeds with violations a sweep stops: the rest would say the same. */
const MAX_FAILED_SEEDS = 100;

export interface SweepOptions {
  readonly seeds: number;
  readonly from: number;
  readonly threads?: number;
  /** Called after each block. */
  readonly onProgress?: (done: number, failed: readonly SeedViolations[]) => void;
  readonly signal?: AbortSignal;
}

export interface SweepResult {
  /** Seeds that were run. */
  readonly seeds: number;
  readonly failed: readonly SeedViolations[];
  readonly coverage: CoverageCounts;
  /** Rows that should have been reached, and were not; empty for fewer than `COVERING_SEEDS`. */
  readonly unreached: readonly string[];
}

export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { seeds, from, onProgress, signal } = options;
  const coverage = requiredCoverage();
  const failed: SeedViolations[] = [];
  let next = from;
  let done = 0;
  const threads = Math.min(options.threads ?? availableParallelism(), Math.ceil(seeds / BLOCK_SEEDS));

  const runThread = async (): Promise<void> => {
    const worker = new Worker(join(import.meta.dirname, 'worker.ts'));
    const stop = (): void => void worker.terminate();
    signal?.addEventListener('abort', stop);
    try {
      for (; next < from + seeds && failed.length < MAX_FAILED_SEEDS && signal?.aborted !== true;) {
        const block = { from: next, count: Math.min(BLOCK_SEEDS, from + seeds - next) };
        next += block.count;
        const result = await askWorker(worker, block);
        coverage.add(result.coverage);
        failed.push(...result.failed);
        done += block.count;
        onProgress?.(done, result.failed);
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: threads }, runThread));
  failed.sort((a, b) => a.seed - b.seed);
  return {
    seeds: done,
    failed,
    coverage: coverage.counts,
    unreached: done >= COVERING_SEEDS ? coverage.unreached : [],
  };
}

function askWorker(worker: Worker, block: { from: number; count: number }): Promise<BlockResult> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('a thread ended before its seeds'));
    worker.once('error', reject);
    worker.once('exit', onExit);
    worker.once('message', (result: BlockResult) => {
      worker.off('error', reject);
      worker.off('exit', onExit);
      resolve(result);
    });
    worker.postMessage(block);
  });
}
