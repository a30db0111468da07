/** scale: what the number of sessions does to the cost of each. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { interleave } from '../harness/interleave.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { Load, LoadClientConfig } from '../programs/load-client.ts';
import type { Rate, Window } from '../programs/rate-meter.ts';
import type { RequestServerConfig } from '../programs/request-server.ts';
import { cpuMsOf } from './cpu.ts';
import { memoryOf, settle, warmUp } from './memory.ts';
import { requestWindow } from './windows.ts';

const REQUEST = { requestBytes: 64, responseBytes: 1_024 };
const NODE_OPTIONS = ['--expose-gc'];

/** The same for any number of sessions, which take turns: so batches do not grow with their number. */
const IN_FLIGHT = 10;

const COUNTS = [10, 100, 1_000, 10_000] as const;

/** The first point is held against the others, so it has to be as warm as they are: V8 compiles until some 100,000 requests are answered. */
const WARM_UPS = 5;

/** The memory of fewer sessions is not judged: it drowns in what the process itself allocates. */
const MEMORY_COUNT_MIN = 100;

interface Point {
  /** Answered in a second, over all sessions together. */
  readonly requestsPerSecond: number;
  /** Of both ends, for one request, in microseconds. */
  readonly cpuUs: number;
  /** Bytes of JavaScript's heap and buffers, of a session at both ends. */
  readonly heapBytes: number;
}

type Points = Readonly<Record<string, Point>>;

export const scale: Benchmark = {
  summary:
    'highest cost of a session over the lowest, from 10 sessions to 10,000: processor a request, and memory',
  run: async (bench) => {
    const counts = COUNTS.filter((count) => count <= bench.scale.sessions);
    const leg = <Name extends Implementation>(name: Name) => ({
      name,
      run: (round: number): Promise<Points> =>
        bench.within(() =>
          measureGrowth(bench, name, counts, ({ requestsPerSecond, cpuUs, heapBytes }, count) =>
            bench.log(
              `${round + 1} ${name}, ${count} sessions: ${rounded(requestsPerSecond)} requests/s, ` +
                `${rounded(cpuUs)} µs of processor a request, ${rounded(heapBytes)} bytes a session`,
            ),
          ),
        ),
    });
    const { pairs, sideRounds } = bench.scale;
    const measured = {
      ...(await interleave([leg('godwit')], pairs)),
      // Only to show what a socket itself does.
      ...(await interleave([leg('net')], sideRounds)),
    };
    const pointsOf = (rounds: readonly Points[]): Points =>
      Object.fromEntries(
        counts.map((count) => [count, medianOf(rounds.flatMap((points) => points[count] ?? []))]),
      );
    const points = { godwit: pointsOf(measured.godwit), net: pointsOf(measured.net) };
    return figureOf(points, pairs);
  },
};

/**
 * In one pair of processes, to which sessions are added: so nothing but their number changes. What is measured first would
 * pay for what is compiled on the way, so there is load before.
 */
async function measureGrowth(
  bench: Bench,
  implementation: Implementation,
  counts: readonly number[],
  onPoint: (point: Point, count: number) => void,
): Promise<Points> {
  const { server, client } = await bench.startBoth(implementation, {
    server: {
      program: 'bench/programs/request-server.ts',
      config: { implementation, ...REQUEST } satisfies RequestServerConfig,
      nodeOptions: NODE_OPTIONS,
    },
    client: {
      program: 'bench/programs/load-client.ts',
      config: (port) =>
        ({ implementation, ports: [port], standby: false, ...REQUEST }) satisfies LoadClientConfig,
      nodeOptions: NODE_OPTIONS,
    },
  });
  const both = [client, server];
  const { measureMs } = bench.scale;
  const load = (window: Window): Promise<Rate> =>
    client.call<Rate>('load', { ...window, inFlight: IN_FLIGHT } satisfies Load);
  await warmUp(client);
  await client.call('open', IN_FLIGHT);
  const { warmUpAmount = 0, ...window } = requestWindow(bench.scale);
  await load({ ...window, warmUpAmount: warmUpAmount * WARM_UPS });
  await client.call('close');
  const { heap: before } = await memoryOf(both);

  const points: Record<string, Point> = {};
  let opened = 0;
  for (const count of counts) {
    await client.call('open', count - opened);
    opened = count;
    if (count >= MEMORY_COUNT_MIN) await settle(client, implementation);
    const heapBytes = ((await memoryOf(both)).heap - before) / count;
    const cpuBefore = await cpuMsOf(...both);
    const { count: requests, seconds, total } = await load({ warmUpMs: 0, measureMs });
    const cpuUs = (((await cpuMsOf(...both)) - cpuBefore) * 1000) / total;
    const point = { requestsPerSecond: requests / seconds, cpuUs, heapBytes };
    points[count] = point;
    onPoint(point, count);
  }
  return points;
}

function medianOf(points: readonly Point[]): Point {
  const of = (key: keyof Point): number => rounded(median(points.map((point) => point[key])));
  return {
    requestsPerSecond: of('requestsPerSecond'),
    cpuUs: of('cpuUs'),
    heapBytes: of('heapBytes'),
  };
}

function figureOf(
  points: Readonly<Record<Implementation, Readonly<Record<string, Point>>>>,
  pairs: number,
): Figure {
  const flatness = (implementation: Implementation): { readonly cpu: number; readonly memory: number } => {
    const all = Object.entries(points[implementation]);
    const largest = all.filter(([count]) => Number(count) >= MEMORY_COUNT_MIN);
    return {
      cpu: highestOverLowest(all.map(([, { cpuUs }]) => cpuUs)),
      memory: highestOverLowest(largest.map(([, { heapBytes }]) => heapBytes)),
    };
  };
  const [godwit, net] = [flatness('godwit'), flatness('net')];
  const ratio = Math.max(godwit.cpu, godwit.memory);
  return {
    ratio,
    spread: [Math.min(godwit.cpu, godwit.memory), ratio],
    godwit: ratio,
    net: Math.max(net.cpu, net.memory),
    unit: 'highest ÷ lowest',
    pairs,
    flatness: { godwit, net },
    points,
  };
}

function highestOverLowest(values: readonly number[]): number {
  return rounded(Math.max(...values) / Math.min(...values));
}
