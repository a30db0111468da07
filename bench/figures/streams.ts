/** bulkDown, bulkUp, small: how fast one connection is. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { StreamClientConfig } from '../programs/stream-client.ts';
import type { StreamServerConfig } from '../programs/stream-server.ts';
import type { Received, StreamChoices } from '../programs/stream.ts';

interface Stream extends StreamChoices {
  readonly direction: 'down' | 'up';
}

const BULK: StreamChoices = { writeBytes: 65_536, writesPerTurn: 64 };
const MEBIBYTE = 2 ** 20;

export const bulkDown = stream('64 KiB writes, server to client', { ...BULK, direction: 'down' });
export const bulkUp = stream('64 KiB writes, client to server', { ...BULK, direction: 'up' });
export const small = stream('1 KiB writes, 64 a turn of the event loop, server to client', {
  writeBytes: 1_024,
  writesPerTurn: 64,
  direction: 'down',
});

function stream(summary: string, choices: Stream): Benchmark {
  return {
    summary: `${summary}, GB/s`,
    run: (bench) =>
      compare(bench, { unit: 'GB/s', measure: (implementation) => measure(bench, implementation, choices) }),
  };
}

async function measure(bench: Bench, implementation: Implementation, choices: Stream): Promise<Measurement> {
  const server = await bench.start(`server of ${implementation}`, {
    program: 'programs/stream-server.ts',
    config: { implementation, ...choices } satisfies StreamServerConfig,
  });
  const client = await bench.start(`client of ${implementation}`, {
    program: 'programs/stream-client.ts',
    config: { implementation, ports: [await server.ready()], ...choices } satisfies StreamClientConfig,
  });
  const receiver = choices.direction === 'down' ? client : server;
  const { bytes, seconds, totalBytes } = await receiver.call<Received>('measure', bench.scale);
  const cpuMs = (await server.call<number>('cpuMs')) + (await client.call<number>('cpuMs'));
  return { value: bytes / seconds / 1e9, cpuUs: (cpuMs * 1000) / (totalBytes / MEBIBYTE) };
}
