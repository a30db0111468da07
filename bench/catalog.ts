/** Every benchmark by its name, in the order in which they run. */
import { crashBlackout, plannedBlackout } from './figures/blackout.ts';
import { commit } from './figures/commit.ts';
import { connect } from './figures/connect.ts';
import { drain } from './figures/drain.ts';
import { http } from './figures/http.ts';
import { memory } from './figures/memory.ts';
import { refusals } from './figures/refusals.ts';
import { scale } from './figures/scale.ts';
import { bulkDown, bulkUp, small, snapshots } from './figures/streams.ts';
import { tiny } from './figures/tiny.ts';
import { tls } from './figures/tls.ts';
import type { Benchmark } from './harness/bench.ts';
import type { LIMITS } from './limits.ts';

export type BenchmarkName = keyof typeof LIMITS;

export const CATALOG: Readonly<Record<BenchmarkName, Benchmark>> = {
  bulkDown,
  bulkUp,
  small,
  tiny,
  connect,
  memory,
  snapshots,
  commit,
  tls,
  http,
  plannedBlackout,
  crashBlackout,
  drain,
  scale,
  refusals,
};
