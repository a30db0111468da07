/** The common case: Godwit against plain net, the same work, one number from each round. */
import type { Implementation } from '../programs/implementation.ts';
import type { Bench, Figure } from './bench.ts';
import { interleave } from './interleave.ts';
import { median, rounded, spreadOfPairs } from './statistics.ts';

/** What one measurement gave. */
export interface Measurement {
  readonly value: number;
  /** Processor time of both ends for one unit of work, in microseconds. */
  readonly cpuUs?: number;
}

export interface Comparison {
  readonly unit: string;
  /** What one unit of work is, for `cpuUs`. */
  readonly measure: (implementation: Implementation) => Promise<Measurement>;
}

export async function compare(bench: Bench, { unit, measure }: Comparison): Promise<Figure> {
  const leg = (name: Implementation) => ({
    name,
    run: async (round: number) => {
      const measured = await bench.within(() => measure(name));
      bench.log(`${round + 1}/${bench.scale.pairs} ${name} ${rounded(measured.value)} ${unit}`);
      return measured;
    },
  });
  const { godwit, net } = await interleave([leg('godwit'), leg('net')], bench.scale.pairs);
  return { ...figureOf(valuesOf(godwit), valuesOf(net), unit), ...cpuOf(godwit, net) };
}

/** The medians of two rows of values, and their quotient. */
export function figureOf(godwit: readonly number[], against: readonly number[], unit: string): Figure {
  const [lowest, highest] = spreadOfPairs(godwit, against);
  return {
    ratio: rounded(median(godwit) / median(against)),
    godwit: rounded(median(godwit)),
    net: rounded(median(against)),
    spread: [rounded(lowest), rounded(highest)],
    unit,
    pairs: godwit.length,
  };
}

function valuesOf(measurements: readonly Measurement[]): number[] {
  return measurements.map(({ value }) => value);
}

function cpuOf(godwit: readonly Measurement[], net: readonly Measurement[]): object {
  const costs = (measurements: readonly Measurement[]): number[] =>
    measurements.map(({ cpuUs }) => cpuUs).filter((cost) => cost !== undefined);
  if (costs(godwit).length === 0) return {};
  return { cpuUs: { godwit: rounded(median(costs(godwit))), net: rounded(median(costs(net))) } };
}
