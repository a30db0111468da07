/** The common case: the same work in each of several ways, one number from each round. */
import type { Bench, Figure } from './bench.ts';
import { interleave } from './interleave.ts';
import { median, rounded, spreadOfPairs } from './statistics.ts';

/** What one measurement gave. */
export interface Measurement {
  readonly value: number;
  /** Processor time of both ends for one unit of work, in microseconds. */
  readonly cpuUs?: number;
}

export interface Comparison<Other extends string> {
  readonly unit: string;
  /** Two ways of doing the same work. */
  readonly ways: Readonly<Record<Other | 'godwit', () => Promise<Measurement>>>;
  /** What `godwit` is divided by. */
  readonly over: Other;
}

/** Measures both ways in turns, each in processes of its own. The figure has the median of each. */
export async function compare<Other extends string>(
  bench: Bench,
  { unit, ways, over }: Comparison<Other>,
): Promise<Figure> {
  const names = Object.keys(ways) as (Other | 'godwit')[];
  const legs = names.map((name) => ({
    name,
    run: async (round: number): Promise<Measurement> => {
      const measured = await bench.within(ways[name]);
      bench.log(`${round + 1}/${bench.scale.pairs} ${name} ${rounded(measured.value)} ${unit}`);
      return measured;
    },
  }));
  const measured = await interleave(legs, bench.scale.pairs);
  const values = Object.fromEntries(
    names.map((name) => [name, measured[name].map(({ value }) => value)]),
  ) as Record<(typeof names)[number], number[]>;
  const cpuUs = Object.fromEntries(
    names
      .map(
        (name) =>
          [name, measured[name].map((one) => one.cpuUs).filter((cost) => cost !== undefined)] as const,
      )
      .filter(([, costs]) => costs.length > 0)
      .map(([name, costs]) => [name, rounded(median(costs))]),
  );
  return {
    ...quotient(values.godwit, values[over]),
    ...Object.fromEntries(names.map((name) => [name, rounded(median(values[name]))])),
    godwit: rounded(median(values.godwit)),
    net: rounded(median(values[over])),
    unit,
    pairs: bench.scale.pairs,
    ...(Object.keys(cpuUs).length > 0 && { cpuUs }),
  };
}

/** The quotient of two medians, and what single pairs would have said. */
export function quotient(
  numerators: readonly number[],
  denominators: readonly number[],
): Pick<Figure, 'ratio' | 'spread'> {
  const [lowest, highest] = spreadOfPairs(numerators, denominators);
  return {
    ratio: rounded(median(numerators) / median(denominators)),
    spread: [rounded(lowest), rounded(highest)],
  };
}
