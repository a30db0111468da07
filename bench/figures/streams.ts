/** bulkDown, bulkUp, small, snapshots: how fast one connection is. */
import { compare, type Measurement } from '../harness/compare.ts';
import type { Bench, Benchmark } from '../harness/bench.ts';
import type { Rate } from '../programs/rate-meter.ts';
import type { StreamClientConfig } from '../programs/stream-client.ts';
import type { StreamServerConfig } from '../programs/stream-server.ts';
import type { StreamChoices } from '../programs/stream.ts';
import { cpuMsOf } from './cpu.ts';
import { streamWindow } from './windows.ts';

type Stream = StreamChoices &
  Pick<StreamServerConfig, 'direction' | 'snapshotBytes' | 'implementation' | 'tls'>;

const BULK: StreamChoices = { writeBytes: 65_536, writesPerTurn: 64 };
/** A download. */
export const BULK_DOWN = { ...BULK, direction: 'down' } as const;
const MEBIBYTE = 2 ** 20;

export const bulkDown = against('64 KiB writes, server to client', BULK_DOWN);
export const bulkUp = against('64 KiB writes, client to server', { ...BULK, direction: 'up' });
export const small = against('1 KiB writes, 64 a turn of the event loop, server to client', {
  writeBytes: 1_024,
  writesPerTurn: 64,
  direction: 'down',
});

export const snapshots: Benchmark = {
  summary: 'bulkDown with a snapshot of 1 KiB every 64 KiB, over bulkDown without, GB/s',
  run: (bench) =>
    compare(bench, {
      unit: 'GB/s',
      ways: {
        godwit: () => measureStream(bench, { ...BULK_DOWN, implementation: 'godwit', snapshotBytes: 1_024 }),
        without: () => measureStream(bench, { ...BULK_DOWN, implementation: 'godwit' }),
      },
      over: 'without',
    }),
};

function against(summary: string, choices: Omit<Stream, 'implementation'>): Benchmark {
  return {
    summary: `${summary}, GB/s`,
    run: (bench) =>
      compare(bench, {
        unit: 'GB/s',
        ways: {
          godwit: () => measureStream(bench, { ...choices, implementation: 'godwit' }),
          net: () => measureStream(bench, { ...choices, implementation: 'net' }),
        },
        over: 'net',
      }),
  };
}

/** Fills one connection for a while. */
export async function measureStream(bench: Bench, choices: Stream): Promise<Measurement> {
  const { server, client } = await bench.startBoth(choices.implementation, {
    server: { program: 'bench/programs/stream-server.ts', config: choices satisfies StreamServerConfig },
    client: {
      program: 'bench/programs/stream-client.ts',
      config: (port) => ({ ...choices, ports: [port] }) satisfies StreamClientConfig,
    },
  });
  const receiver = choices.direction === 'down' ? client : server;
  const { count, seconds, total } = await receiver.call<Rate>(
    'measure',
    streamWindow(bench.scale, choices.writeBytes),
  );
  return {
    value: count / seconds / 1e9,
    cpuUs: ((await cpuMsOf(server, client)) * 1000) / (total / MEBIBYTE),
  };
}
