/** plannedBlackout, crashBlackout: how long a client gets nothing while its session changes servers. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { interleave } from '../harness/interleave.ts';
import { median, percentile, rounded, spreadOfPairs } from '../harness/statistics.ts';
import type { ClientChoices, Implementation, ServerChoices } from '../programs/implementation.ts';
import { Pool, type Moves, type Phases } from './pool.ts';
import { ping } from './tiny.ts';

const PERCENTILES = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 100] as const;

/** Back and forth. */
const SERVERS_THAT_HAND_OVER = 2;

/** One dies, one takes over, one stands by. */
const SERVERS_THAT_DIE = 3;

/** What a round gave: the gaps that are compared, and how they came about. */
interface Round {
  readonly ms: readonly number[];
  readonly moves?: Moves;
}

export const plannedBlackout: Benchmark = {
  summary:
    'longest gap of a client whose session is moved over a standby, less a calm one, over a round trip of net, ms',
  run: (bench) =>
    blackout(bench, {
      godwit: async () => {
        const pool = await startPool(bench, 'godwit', SERVERS_THAT_HAND_OVER);
        const moves = soundOnly(await pool.migrate(perRound(bench.scale.migrations, bench)));
        const calmMs = median(moves.calmMs);
        return { ms: moves.gapsMs.map((gapMs) => gapMs - calmMs), moves };
      },
      net: async () => ({ ms: [(await ping(bench, 'net')).value / 1000] }),
    }),
};

export const crashBlackout: Benchmark = {
  summary:
    'longest gap of a client whose server is killed, over what net needs to get bytes from another server, ms',
  run: (bench) => {
    const kills = perRound(bench.scale.kills, bench);
    return blackout(bench, {
      godwit: async () => {
        const moves = soundOnly(await measureCrashes(bench, 'godwit', kills));
        return { ms: moves.gapsMs, moves };
      },
      net: async () => ({ ms: (await measureCrashes(bench, 'net', kills)).gapsMs }),
    });
  },
};

/** Kills the server of a client so many times. */
export async function measureCrashes(
  bench: Bench,
  implementation: Implementation,
  kills: number,
): Promise<Moves> {
  return (await startPool(bench, implementation, SERVERS_THAT_DIE)).crash(kills);
}

function startPool(bench: Bench, implementation: Implementation, servers: number): Promise<Pool> {
  return Pool.start(bench, {
    name: implementation,
    servers,
    server: (port, members) => ({
      program: 'bench/programs/ticking-server.ts',
      config: { implementation, port, members } satisfies ServerChoices,
    }),
    client: (ports) => ({
      program: 'bench/programs/blackout-client.ts',
      config: { implementation, ports } satisfies ClientChoices,
    }),
    standbys: implementation === 'godwit',
  });
}

/** Throws if a byte was lost, or came twice. */
export function soundOnly(moves: Moves): Moves {
  const { lost, doubled } = moves.verdict;
  if (lost + doubled > 0) throw new Error(`${lost} bytes were lost, and ${doubled} came twice`);
  return moves;
}

export function perRound(moves: number, { scale }: Bench): number {
  return Math.ceil(moves / scale.pairs);
}

/** Medians over all moves of all rounds; `p99` is the 99th percentile over the same median of net. */
async function blackout(
  bench: Bench,
  ways: Readonly<Record<Implementation, () => Promise<Round>>>,
): Promise<Figure> {
  const { pairs } = bench.scale;
  const leg = (name: Implementation) => ({
    name,
    run: async (round: number): Promise<Round> => {
      const measured = await bench.within(ways[name]);
      const phases =
        measured.moves === undefined ? '' : ` ${JSON.stringify(phasesOf(measured.moves.phases))}`;
      bench.log(`${round + 1}/${pairs} ${name} ${rounded(median(measured.ms))} ms${phases}`);
      return measured;
    },
  });
  const { godwit, net } = await interleave([leg('godwit'), leg('net')], pairs);
  const [all, floor] = [godwit.flatMap(({ ms }) => ms), net.flatMap(({ ms }) => ms)];
  const moves = godwit.flatMap((round) => round.moves ?? []);
  const [lowest, highest] = spreadOfPairs(
    godwit.map(({ ms }) => median(ms)),
    net.map(({ ms }) => median(ms)),
  );
  return {
    ratio: rounded(median(all) / median(floor)),
    p99: rounded(percentile(all, 99) / median(floor)),
    godwit: rounded(median(all)),
    net: rounded(median(floor)),
    spread: [rounded(lowest), rounded(highest)],
    unit: 'ms',
    pairs,
    moves: all.length,
    calmMs: rounded(median(moves.flatMap(({ calmMs }) => calmMs))),
    // The whole gap, nothing taken off, of moves that were warm and of those before.
    gapMs: rounded(median(moves.flatMap(({ gapsMs }) => gapsMs))),
    coldGapMs: rounded(median(moves.flatMap(({ coldGapsMs }) => coldGapsMs))),
    phasesMs: phasesOf(moves.flatMap(({ phases }) => phases)),
    percentiles: PERCENTILES,
    distributionMs: { godwit: distribution(all), net: distribution(floor) },
  };
}

/** The median of each phase. */
export function phasesOf(phases: readonly Phases[]): Readonly<Record<string, number>> {
  const names = Object.keys(phases[0] ?? {}) as (keyof Phases)[];
  return Object.fromEntries(
    names.map((name) => [
      name,
      rounded(median(phases.map((one) => one[name]).filter((ms) => ms !== undefined))),
    ]),
  );
}

function distribution(values: readonly number[]): number[] {
  return PERCENTILES.map((percent) => rounded(percentile(values, percent)));
}
