/** scale: what the number of sessions does to the cost of each. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { interleave } from '../harness/interleave.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { Load, LoadClientConfig } from '../programs/load-client.ts';
import type { Rate } from '../programs/rate-meter.ts';
import type { RequestServerConfig } from '../programs/request-server.ts';
import { cpuMsOf } from './cpu.ts';
import { measureIdle } from './memory.ts';

const REQUEST = { requestBytes: 64, responseBytes: 1_024 };
const NODE_OPTIONS = ['--expose-gc'];

/** The same for any number of sessions, which take turns: so batches do not grow with their number. */
const IN_FLIGHT = 10;

const COUNTS = [10, 100, 1_000, 10_000] as const;

/** Fewer sessions drown in what the process itself allocates. */
const MEMORY_COUNT_MIN = 100;

interface Point {
  /** Answered in a second, over all sessions together. */
  readonly requestsPerSecond: number;
  /** Of both ends, for one request, in microseconds. */
  readonly cpuUs: number;
  /** Of a session at both ends: bytes resident, and bytes of JavaScript's heap and buffers. */
  readonly residentBytes: number;
  readonly heapBytes: number;
}

export const scale: Benchmark = {
  summary:
    'highest cost of a session over the lowest, from 10 sessions to 10,000: processor a request, and memory',
  run: async (bench) => {
    const counts = COUNTS.filter((count) => count <= bench.scale.sessions);
    const legs = counts.flatMap((count) =>
      (['godwit', 'net'] as const).map((implementation) => ({
        name: `${implementation} ${count}`,
        run: async (round: number): Promise<Point> => {
          const point = await bench.within(() => measure(bench, implementation, count));
          bench.log(
            `${round + 1}/${bench.scale.pairs} ${implementation}, ${count} sessions: ` +
              `${rounded(point.requestsPerSecond)} requests/s, ${rounded(point.cpuUs)} µs of processor a request, ` +
              `${rounded(point.heapBytes)} bytes a session`,
          );
          return point;
        },
      })),
    );
    const measured = await interleave(legs, bench.scale.pairs);
    const pointsOf = (implementation: Implementation): Record<string, Point> =>
      Object.fromEntries(
        counts.map((count) => [count, medianOf(measured[`${implementation} ${count}`] ?? [])]),
      );
    const points = { godwit: pointsOf('godwit'), net: pointsOf('net') };
    return figureOf(points, bench.scale.pairs);
  },
};

async function measure(bench: Bench, implementation: Implementation, count: number): Promise<Point> {
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
  const { resident, heap } = await measureIdle(client, [client, server], count);
  const cpuBefore = await cpuMsOf(server, client);
  const { warmUpMs, measureMs } = bench.scale;
  const load: Load = { warmUpMs, measureMs, inFlight: IN_FLIGHT };
  const { count: requests, seconds, total } = await client.call<Rate>('load', load);
  const cpuMs = (await cpuMsOf(server, client)) - cpuBefore;
  return {
    requestsPerSecond: requests / seconds,
    cpuUs: (cpuMs * 1000) / total,
    residentBytes: resident,
    heapBytes: heap,
  };
}

function medianOf(points: readonly Point[]): Point {
  const of = (key: keyof Point): number => rounded(median(points.map((point) => point[key])));
  return {
    requestsPerSecond: of('requestsPerSecond'),
    cpuUs: of('cpuUs'),
    residentBytes: of('residentBytes'),
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
