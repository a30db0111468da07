/** A thread that runs one block of seeds after another, as the main thread hands them out. */
import { parentPort } from 'node:worker_threads';
import { Coverage, type CoverageCounts } from './coverage.ts';
import { runSeed } from './run-seed.ts';
import type { Violation } from './violations.ts';

export interface Block {
  readonly from: number;
  readonly count: number;
}

export interface SeedViolations {
  readonly seed: number;
  readonly violations: readonly Violation[];
}

export interface BlockResult {
  readonly block: Block;
  readonly failed: readonly SeedViolations[];
  readonly coverage: CoverageCounts;
}

export function runBlock(block: Block): BlockResult {
  const coverage = new Coverage();
  const failed: SeedViolations[] = [];
  for (let seed = block.from; seed < block.from + block.count; seed += 1) {
    const result = runSeed(seed);
    coverage.add(result.coverage);
    if (result.violations.length > 0) failed.push({ seed, violations: result.violations });
  }
  return { block, failed, coverage: coverage.counts };
}

parentPort?.on('message', (block: Block) => parentPort?.postMessage(runBlock(block)));
