/** Results for people who watch. */
import type { BenchmarkName } from '../catalog.ts';
import type { Outcome } from '../harness/bench.ts';
import { LIMITS, reaches, type Limit } from '../limits.ts';

const HEADINGS = ['figure', 'ratio', 'spread', 'godwit', 'net', 'unit', 'reach', 'aim', ''] as const;

/** One row a figure; the last column says how it stands. */
export function formatTable(outcomes: Readonly<Partial<Record<BenchmarkName, Outcome>>>): string {
  const rows: (readonly (string | number)[])[] = [
    HEADINGS,
    ...Object.entries(outcomes).map(([name, outcome]) => rowOf(name, outcome)),
  ];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map((row) => String(row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => String(cell).padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function rowOf(name: string, outcome: Outcome): readonly (string | number)[] {
  if ('skipped' in outcome) return [name, `skipped: ${String(outcome.skipped)}`];
  const limit: Limit = LIMITS[name as BenchmarkName];
  const { ratio, spread, godwit, net, unit } = outcome;
  const sign = limit.better === 'higher' ? '≥' : '≤';
  const range = `${spread[0]} … ${spread[1]}`;
  return [
    name,
    ratio,
    range,
    godwit,
    net,
    unit,
    `${sign} ${limit.reach}`,
    `${sign} ${limit.aim}`,
    verdict(limit, ratio),
  ];
}

/** How a figure stands. */
export function verdict(limit: Limit, ratio: number): string {
  if (reaches(limit, ratio, limit.aim)) return 'aim';
  return reaches(limit, ratio, limit.reach) ? 'reached' : 'missed';
}
