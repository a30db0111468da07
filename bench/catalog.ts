/** Every benchmark by its name, in the order in which they run. */
import { bulkDown, bulkUp, small } from './figures/streams.ts';
import { tiny } from './figures/tiny.ts';
import type { Benchmark } from './harness/bench.ts';
import type { LIMITS } from './limits.ts';

export type BenchmarkName = keyof typeof LIMITS;

export const CATALOG: Readonly<Record<BenchmarkName, Benchmark>> = { bulkDown, bulkUp, small, tiny };
