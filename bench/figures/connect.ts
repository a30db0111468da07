/** connect: what a session costs that lives for one request. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { ConnectClientConfig } from '../programs/connect-client.ts';
import type { Implementation, ServerChoices } from '../programs/implementation.ts';
import type { Rate } from '../programs/rate-meter.ts';
import { cpuMsOf } from './cpu.ts';
import { connectionWindow } from './windows.ts';

const REQUEST_BYTES = 64;

export const connect: Benchmark = {
  summary: 'opened, one request of 64 B, closed; 32 at once, connections/s',
  run: (bench) =>
    compare(bench, {
      unit: 'connections/s',
      ways: { godwit: () => measure(bench, 'godwit'), net: () => measure(bench, 'net') },
      over: 'net',
    }),
};

async function measure(bench: Bench, implementation: Implementation): Promise<Measurement> {
  const { server, client } = await bench.startBoth(implementation, {
    server: { program: 'bench/programs/echo-server.ts', config: { implementation } satisfies ServerChoices },
    client: {
      program: 'bench/programs/connect-client.ts',
      config: (port) =>
        ({
          implementation,
          ports: [port],
          requestBytes: REQUEST_BYTES,
        }) satisfies ConnectClientConfig,
    },
  });
  const { count, seconds, total } = await client.call<Rate>('measure', connectionWindow(bench.scale));
  return { value: count / seconds, cpuUs: ((await cpuMsOf(server, client)) * 1000) / total };
}
