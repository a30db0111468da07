/** memory: what an idle session keeps resident, at both ends. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import type { Child } from '../harness/child.ts';
import { quotient } from '../harness/compare.ts';
import { interleave } from '../harness/interleave.ts';
import type { Memory } from '../harness/program.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { LoadClientConfig } from '../programs/load-client.ts';
import type { RequestServerConfig } from '../programs/request-server.ts';
import { freePorts } from '../harness/free-ports.ts';

const REQUEST = { requestBytes: 64, responseBytes: 64 };

/** Opened and closed before anything is measured, so that code is compiled and pools are there. */
const WARM_UP_SESSIONS = 200;

/** From the last byte until a session is idle: its acknowledgements and tickets are through. */
const SETTLE_MS = 1_000;

const NODE_OPTIONS = ['--expose-gc'];

/** Of one idle session: bytes resident, and bytes of JavaScript's heap and buffers. */
type PerSession = Memory;

export const memory: Benchmark = {
  summary: 'resident bytes of an idle session, both ends, without standbys (standbyRatio: with), bytes',
  run: async (bench) => {
    const { sessions, standbySessions, sideRounds, pairs } = bench.scale;
    const leg = <Name extends string>(name: Name, count: number, run: () => Promise<PerSession>) => ({
      name,
      run: async (round: number): Promise<PerSession> => {
        const per = await bench.within(run);
        bench.log(`${round + 1} ${name} ${rounded(per.resident)} bytes of each of ${count}`);
        return per;
      },
    });
    const judged = await interleave(
      [
        leg('godwit', sessions, () => measure(bench, 'godwit', sessions)),
        leg('net', sessions, () => measure(bench, 'net', sessions)),
      ],
      pairs,
    );
    // In as many sessions as above, net is known already.
    const few = standbySessions < sessions;
    const beside = await interleave(
      [
        leg('standby', standbySessions, () => measureStandby(bench, standbySessions)),
        ...(few ? [leg('netFew', standbySessions, () => measure(bench, 'net', standbySessions))] : []),
      ],
      sideRounds,
    );
    const measured = { ...judged, ...beside, netFew: few ? beside.netFew : judged.net };
    const resident = (name: keyof typeof measured): number[] => measured[name].map((per) => per.resident);
    const heap = (name: keyof typeof measured): number =>
      rounded(median(measured[name].map((per) => per.heap)));
    const figure: Figure = {
      ...quotient(resident('godwit'), resident('net')),
      godwit: rounded(median(resident('godwit'))),
      net: rounded(median(resident('net'))),
      unit: 'bytes',
      pairs,
      sessions,
      heap: { godwit: heap('godwit'), net: heap('net') },
      standbyRatio: quotient(resident('standby'), resident('netFew')).ratio,
      standby: rounded(median(resident('standby'))),
      standbySessions,
    };
    return figure;
  },
};

async function measure(bench: Bench, implementation: Implementation, count: number): Promise<PerSession> {
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
  return measureIdle(client, [client, server], { implementation, count });
}

/** Two servers know each other, and the client keeps a standby to whichever it is not at. */
async function measureStandby(bench: Bench, count: number): Promise<PerSession> {
  const ports = await freePorts(2);
  const members = ports.map((port) => `127.0.0.1:${port}`);
  const servers = ports.map((port) =>
    bench.start('server of godwit with standbys', {
      program: 'bench/programs/request-server.ts',
      config: { implementation: 'godwit', port, members, ...REQUEST } satisfies RequestServerConfig,
      nodeOptions: NODE_OPTIONS,
    }),
  );
  const client = await bench.start('client of godwit with standbys', {
    program: 'bench/programs/load-client.ts',
    config: Promise.all(servers).then(
      () => ({ implementation: 'godwit', ports, ...REQUEST }) satisfies LoadClientConfig,
    ),
    nodeOptions: NODE_OPTIONS,
  });
  const all = [client, ...(await Promise.all(servers))];
  return measureIdle(client, all, { implementation: 'godwit', count });
}

/** Opens sessions, lets them become idle, and divides what that added in all processes. */
async function measureIdle(
  client: Child,
  all: readonly Child[],
  { implementation, count }: { readonly implementation: Implementation; readonly count: number },
): Promise<PerSession> {
  await warmUp(client);
  const before = await memoryOf(all);
  await client.call('open', count);
  await settle(client, implementation);
  const after = await memoryOf(all);
  return {
    resident: (after.resident - before.resident) / count,
    heap: (after.heap - before.heap) / count,
  };
}

/** Opens and closes sessions, so that what comes with the first of them is there. */
export async function warmUp(client: Child): Promise<void> {
  await client.call('open', WARM_UP_SESSIONS);
  await client.call('close');
}

/** Waits until sessions are idle. A socket of net is as soon as it is answered. */
export async function settle(client: Child, implementation: Implementation): Promise<void> {
  if (implementation === 'godwit') await client.call('wait', SETTLE_MS);
}

/** What these processes occupy together. */
export async function memoryOf(all: readonly Child[]): Promise<Memory> {
  const memories = await Promise.all(all.map((child) => child.call<Memory>('memory')));
  const sumOf = (key: keyof Memory): number => memories.reduce((sum, one) => sum + one[key], 0);
  return { resident: sumOf('resident'), heap: sumOf('heap') };
}
