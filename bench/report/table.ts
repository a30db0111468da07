/** Results as tables: for people who watch, and for the page in docs. */
import type { Outcome } from '../harness/bench.ts';
import { LIMITS, reaches, type Limit } from '../limits.ts';
import type { PeerResult, PeerResults } from '../peers/rows.ts';
import type { BenchmarkName } from '../catalog.ts';
import type { Figures, Results } from './results.ts';

export interface Table {
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** How a figure stands. */
export type Verdict = 'aim' | 'reached' | 'missed';

export function verdictOf(limit: Limit, ratio: number): Verdict {
  if (reaches(limit, ratio, limit.aim)) return 'aim';
  return reaches(limit, ratio, limit.reach) ? 'reached' : 'missed';
}

/** One row a figure. */
export function figureTable(figures: Readonly<Figures>): Table {
  return {
    headings: ['figure', 'ratio', 'spread', 'godwit', 'against', 'unit', 'reach', 'aim', 'stands'],
    rows: Object.entries(figures).map(([name, outcome]) => figureRow(name as BenchmarkName, outcome)),
  };
}

/** One row a peer. */
export function peerTable(peers: PeerResults): Table {
  return {
    headings: [
      'program',
      'GB/s',
      'round trip, µs',
      'blackout at SIGKILL, ms',
      '99 % within, ms',
      'bytes lost',
      'bytes doubled',
      'what its client had to do',
    ],
    rows: Object.values(peers).map(peerRow),
  };
}

/** For a terminal. */
export function formatResults({ figures, peers }: Results): string {
  const tables = [
    ...(Object.keys(figures).length > 0 ? [figureTable(figures)] : []),
    ...(peers === undefined ? [] : [peerTable(peers)]),
  ];
  return tables.map(formatTable).join('\n\n');
}

function formatTable({ headings, rows }: Table): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** In Markdown. */
export function markdownTable({ headings, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What `godwit` was divided by: net, but in figures of what a choice costs. */
export function againstOf(outcome: Exclude<Outcome, { readonly skipped: string }>): number {
  const { without, replay, net } = outcome;
  return (without ?? replay ?? net) as number;
}

function figureRow(name: BenchmarkName, outcome: Outcome): string[] {
  const limit: Limit = LIMITS[name];
  const sign = limit.better === 'higher' ? '≥' : '≤';
  const targets = [`${sign} ${limit.reach}`, `${sign} ${limit.aim}`];
  if ('skipped' in outcome) return [name, 'skipped', '', '', '', '', ...targets, String(outcome.skipped)];
  const { ratio, spread, godwit, unit } = outcome;
  return [
    name,
    String(ratio),
    `${spread[0]} … ${spread[1]}`,
    String(godwit),
    String(againstOf(outcome)),
    unit,
    ...targets,
    verdictOf(limit, ratio),
  ];
}

function peerRow(peer: PeerResult): string[] {
  if (peer.skipped !== undefined)
    return [peer.title, `skipped: ${peer.skipped}`, '', '', '', '', '', peer.clientHadTo];
  const cell = (value: number | undefined): string =>
    value === undefined ? '' : value.toLocaleString('en-US');
  return [
    peer.title,
    cell(peer.throughput),
    cell(peer.ping),
    cell(peer.blackout),
    cell(peer.blackoutP99),
    cell(peer.lost),
    cell(peer.doubled),
    peer.clientHadTo,
  ];
}
