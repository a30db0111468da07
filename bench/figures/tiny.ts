/** tiny: how long 64 bytes take there and back. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { Implementation, ServerChoices } from '../programs/implementation.ts';
import type { PingClientConfig } from '../programs/ping-client.ts';
import type { Pings } from '../programs/pings.ts';
import { cpuMsOf } from './cpu.ts';
import { pingWindow } from './windows.ts';

const PING_BYTES = 64;

export const tiny: Benchmark = {
  summary: '64 B there and back, one at a time, median in microseconds',
  run: (bench) =>
    compare(bench, {
      unit: 'µs',
      ways: { godwit: () => ping(bench, 'godwit'), net: () => ping(bench, 'net') },
      over: 'net',
    }),
};

/** Round trips over one warm connection. */
export async function ping(bench: Bench, implementation: Implementation): Promise<Measurement> {
  const { server, client } = await bench.startBoth(implementation, {
    server: { program: 'bench/programs/echo-server.ts', config: { implementation } satisfies ServerChoices },
    client: {
      program: 'bench/programs/ping-client.ts',
      config: (port) =>
        ({
          implementation,
          ports: [port],
          bytes: PING_BYTES,
        }) satisfies PingClientConfig,
    },
  });
  const { medianUs, total } = await client.call<Pings>('measure', pingWindow(bench.scale));
  return { value: medianUs, cpuUs: ((await cpuMsOf(server, client)) * 1000) / total };
}
