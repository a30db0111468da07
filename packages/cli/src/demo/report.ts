/** The demo's last word to a person. */
import { isPlanned } from './result.ts';
import type { DemoResult } from './result.ts';
import type { Migration } from './messages.ts';

export function formatReport(result: DemoResult): string {
  const { sha256, kills, blackoutMs } = result;
  const same = (agrees: boolean): string => (agrees ? 'same' : 'DIFFERENT');
  const source = sha256.source === undefined ? [] : [`source     ${sha256.source}`];
  return [
    '',
    'SHA-256',
    ...source.map((line) => `  ${line}`),
    `  down       ${sha256.down.received}  ${same(sha256.down.received === (sha256.source ?? sha256.down.sent))}`,
    `  up         ${sha256.up.received}  ${same(sha256.up.received === (sha256.source ?? sha256.up.sent))}`,
    '',
    ...formatTable(result.migrations),
    '',
    `${result.bytesDown} bytes down, ${result.bytesUp} bytes up (${result.delivery} delivery)`,
    `${result.crashes} migrations after a crash, ${result.planned} planned; ${kills.counted} of ${kills.issued} kills count`,
    `blackout: median ${blackoutMs.p50} ms, longest ${blackoutMs.max} ms`,
    `lost ${result.lost}, duplicated ${result.duplicated}, corrupt ${result.corrupt} bytes`,
    ...result.problems.map((problem) => `WRONG: ${problem}`),
    result.ok
      ? 'Every byte arrived once and unharmed.'
      : `Failed. Repeat this run's choices with --seed ${result.seed}.`,
  ].join('\n');
}

function formatTable(migrations: readonly Migration[]): string[] {
  const header = [
    'trigger',
    'from',
    'to',
    'state from',
    'detect',
    'connect',
    'attach',
    'first byte',
    'blackout',
  ];
  const rows = migrations.map((migration) => {
    const { cause, from, to, source, phases, blackoutMs } = migration;
    const times = [phases.detect, phases.connect, phases.attach, phases.firstByte, blackoutMs];
    return [
      isPlanned(migration) ? `${cause} (planned)` : cause,
      from,
      to,
      source,
      ...times.map((ms) => (ms === undefined ? '-' : `${ms.toFixed(1)} ms`)),
    ];
  });
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  // Words to the left, times to the right.
  const align = (cell: string, column: number): string =>
    column < 4 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return [header, ...rows].map((row) => `  ${row.map(align).join('  ')}`.trimEnd());
}
