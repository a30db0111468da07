/** commit: what it costs that no answer reaches its client but together with the state that covers it. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { Load, LoadClientConfig } from '../programs/load-client.ts';
import type { Rate } from '../programs/rate-meter.ts';
import type { RequestServerConfig } from '../programs/request-server.ts';
import { cpuMsOf } from './cpu.ts';
import { requestWindow } from './windows.ts';

const CONNECTIONS = 16;
const REQUEST_BYTES = 64;
const RESPONSE_BYTES = 1_024;

export const commit: Benchmark = {
  summary:
    '64 B asked, 1 KiB answered and exported, in commit delivery over replay, 16 connections, requests/s',
  run: (bench) =>
    compare(bench, {
      unit: 'requests/s',
      ways: {
        godwit: () => measure(bench, { implementation: 'godwit', delivery: 'commit', exportEach: true }),
        replay: () => measure(bench, { implementation: 'godwit', delivery: 'replay' }),
      },
      over: 'replay',
    }),
};

async function measure(
  bench: Bench,
  choices: Pick<RequestServerConfig, 'implementation' | 'delivery' | 'exportEach'>,
): Promise<Measurement> {
  const { implementation } = choices;
  const sizes = { requestBytes: REQUEST_BYTES, responseBytes: RESPONSE_BYTES };
  const { server, client } = await bench.startBoth(implementation, {
    server: {
      program: 'bench/programs/request-server.ts',
      config: { ...choices, ...sizes } satisfies RequestServerConfig,
    },
    client: {
      program: 'bench/programs/load-client.ts',
      config: (port) => ({ implementation, ports: [port], ...sizes }) satisfies LoadClientConfig,
    },
  });
  await client.call('open', CONNECTIONS);
  const load: Load = { ...requestWindow(bench.scale), inFlight: CONNECTIONS };
  const { count, seconds, total } = await client.call<Rate>('load', load);
  return { value: count / seconds, cpuUs: ((await cpuMsOf(server, client)) * 1000) / total };
}
