/** http: node:http, unmodified, at both ends. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { HttpClientConfig } from '../programs/http-client.ts';
import type { HttpServerConfig } from '../programs/http-server.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { Rate } from '../programs/rate-meter.ts';
import { cpuMsOf } from './cpu.ts';
import { requestWindow } from './windows.ts';

const CONNECTIONS = 64;
const BODY_BYTES = 1_024;

export const http: Benchmark = {
  summary: 'GET of 1 KiB by node:http, 64 kept connections, requests/s',
  run: (bench) =>
    compare(bench, {
      unit: 'requests/s',
      ways: { godwit: () => measure(bench, 'godwit'), net: () => measure(bench, 'net') },
      over: 'net',
    }),
};

async function measure(bench: Bench, implementation: Implementation): Promise<Measurement> {
  const { server, client } = await bench.startBoth(implementation, {
    server: {
      program: 'bench/programs/http-server.ts',
      config: { implementation, bodyBytes: BODY_BYTES } satisfies HttpServerConfig,
    },
    client: {
      program: 'bench/programs/http-client.ts',
      config: (port) =>
        ({
          implementation,
          ports: [port],
          connections: CONNECTIONS,
          bodyBytes: BODY_BYTES,
        }) satisfies HttpClientConfig,
    },
  });
  const { count, seconds, total } = await client.call<Rate>('measure', requestWindow(bench.scale));
  return { value: count / seconds, cpuUs: ((await cpuMsOf(server, client)) * 1000) / total };
}
