/** tiny: how long 64 bytes take there and back. */
import { compare } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { Implementation, ServerChoices } from '../programs/implementation.ts';
import type { PingClientConfig, Pings } from '../programs/ping-client.ts';

const PING_BYTES = 64;

export const tiny: Benchmark = {
  summary: '64 B there and back, one at a time, median in microseconds',
  run: (bench) =>
    compare(bench, {
      unit: 'µs',
      measure: async (implementation) => ({ value: (await ping(bench, implementation)).medianUs }),
    }),
};

/** Round trips over one warm connection. */
export async function ping(bench: Bench, implementation: Implementation): Promise<Pings> {
  const server = await bench.start(`server of ${implementation}`, {
    program: 'programs/echo-server.ts',
    config: { implementation } satisfies ServerChoices,
  });
  const client = await bench.start(`client of ${implementation}`, {
    program: 'programs/ping-client.ts',
    config: {
      implementation,
      ports: [await server.ready()],
      bytes: PING_BYTES,
    } satisfies PingClientConfig,
  });
  return client.call<Pings>('measure', bench.scale);
}
