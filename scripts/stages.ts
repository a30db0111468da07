/** What `npm test` runs, in order. Every `*.test.ts` belongs to exactly one stage; the tidy test checks that. */

export interface Stage {
  readonly name: string;
  /** What a failure of this stage means, in a line. */
  readonly summary: string;
  /** Globs of the stage's test files, relative to the root. */
  readonly patterns: readonly string[];
  /** Files that the stage's tests run, rather than import. Without them the stage has nothing to say. */
  readonly needs?: readonly string[];
  /** The longest that one test may take, in milliseconds. */
  readonly testTimeoutMs: number;
  /** Files that run at once, where that is not the usual number. */
  readonly filesAtOnce?: number;
}

export const STAGES: readonly Stage[] = [
  {
    name: 'unit',
    summary: 'one module at a time, and the tidy and purity tests',
    patterns: ['packages/*/src/**/*.test.ts', 'bench/**/*.test.ts', 'test/unit/**/*.test.ts'],
    testTimeoutMs: 30_000,
  },
  {
    name: 'core',
    summary: 'the whole protocol between virtual clients and servers, under virtual time',
    patterns: ['test/core/**/*.test.ts'],
    testTimeoutMs: 60_000,
  },
  {
    name: 'sim',
    summary: 'npm run sim: clients and servers under every fault, seed after seed',
    patterns: ['test/sim/**/*.test.ts'],
    needs: ['test/sim/main.ts'],
    // 20 s of two cores that have nothing else to do.
    testTimeoutMs: 300_000,
  },
  {
    name: 'mutants',
    summary: 'npm run sim:mutants: the simulator finds deliberate faults of the protocol core',
    patterns: ['test/mutants/**/*.test.ts'],
    needs: ['test/sim/mutants/main.ts'],
    testTimeoutMs: 300_000,
  },
  {
    name: 'exhaustive',
    summary: 'npm run sim -- --exhaustive: every fault at every place of a small exchange',
    patterns: ['test/exhaustive/**/*.test.ts'],
    needs: ['test/sim/main.ts'],
    // 75 s of two cores that have nothing else to do.
    testTimeoutMs: 600_000,
  },
  {
    name: 'fuzz',
    summary: 'npm run fuzz for a few seconds, and faults planted for it to find',
    patterns: ['test/fuzz/**/*.test.ts'],
    needs: ['test/fuzz/main.ts'],
    testTimeoutMs: 120_000,
  },
  {
    name: 'integration',
    summary: 'clients and servers over real sockets',
    patterns: ['test/integration/**/*.test.ts'],
    testTimeoutMs: 60_000,
  },
  {
    name: 'attacks',
    summary: 'npm run attacks: each attack on real servers is refused, and succeeds without its defence',
    patterns: ['test/attacks/**/*.test.ts'],
    needs: ['test/attacks/main.ts'],
    testTimeoutMs: 60_000,
  },
  {
    name: 'testing',
    summary: 'godwit/testing finds every fault that is planted in a handler, and the examples pass it',
    patterns: ['test/testing/**/*.test.ts', 'examples/**/*.test.ts'],
    testTimeoutMs: 60_000,
  },
  {
    name: 'package',
    summary: 'the packed library in an empty folder: ESM, require and TypeScript, on Node 22 and 24',
    patterns: ['test/package/**/*.test.ts'],
    needs: ['packages/godwit/src/index.ts'],
    testTimeoutMs: 240_000,
  },
  {
    name: 'demo',
    summary: 'npm run demo, for people and as JSON',
    patterns: ['test/demo/**/*.test.ts'],
    needs: ['packages/cli/src/demo/main.ts'],
    // The demo takes its time where servers are slow to start.
    testTimeoutMs: 180_000,
  },
  {
    name: 'soak',
    summary: 'npm run soak, six runs of it',
    patterns: ['test/soak/**/*.test.ts'],
    needs: ['test/soak/main.ts'],
    testTimeoutMs: 300_000,
  },
  {
    name: 'chaos',
    summary: 'npm run chaos, half a minute of it: real processes on hosts of their own; skipped without root',
    patterns: ['test/chaos/**/*.test.ts'],
    needs: ['test/chaos/main.ts'],
    testTimeoutMs: 180_000,
  },
  {
    name: 'bench',
    summary: 'the benchmarks at their smallest: whether they work, and gross regressions',
    patterns: ['test/bench/**/*.test.ts'],
    needs: ['bench/main.ts'],
    // Its own limit is 270 s: past that it shall say so, rather than be ended.
    testTimeoutMs: 330_000,
    // What is measured has the machine to itself, as far as that is up to us.
    filesAtOnce: 1,
  },
];
