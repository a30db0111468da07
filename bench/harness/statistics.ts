/** What is made of measured values: medians, percentiles, and how far pairs of them lie apart. */

/** The middle value; between two of them, their mean. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The smallest value that so many per cent of the values don't exceed (nearest rank). NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? NaN;
}

/** The lowest and the highest quotient of neighbours: what a single pair might have said. */
export function spreadOfPairs(
  numerators: readonly number[],
  denominators: readonly number[],
): readonly [lowest: number, highest: number] {
  const quotients = numerators.map((value, pair) => value / (denominators[pair] ?? NaN));
  return [Math.min(...quotients), Math.max(...quotients)];
}

/** Four digits that count: more would say nothing. */
export function rounded(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
}
