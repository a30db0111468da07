/** tls: bulkDown where both sides encrypt. */
import type { Bench, Benchmark } from '../harness/bench.ts';
import { compare } from '../harness/compare.ts';
import { BULK_DOWN, measureStream } from './streams.ts';

export const tls: Benchmark = {
  summary: 'bulkDown over TLS, over node:tls, GB/s',
  run: async (bench) => {
    if (!(await hasTlsCarrier(bench)))
      return {
        skipped: 'Godwit has no TLS carrier yet: a server that was given a certificate does not speak TLS',
      };
    return compare(bench, {
      unit: 'GB/s',
      ways: {
        godwit: () => measureStream(bench, { ...BULK_DOWN, implementation: 'godwit', tls: true }),
        net: () => measureStream(bench, { ...BULK_DOWN, implementation: 'net', tls: true }),
      },
    });
  },
};

function hasTlsCarrier(bench: Bench): Promise<boolean> {
  return bench.within(async () => {
    const probe = await bench.start('probe for TLS', { program: 'bench/programs/tls-probe.ts', config: {} });
    return probe.ready<boolean>();
  });
}
