/** What a run of the demo comes to: whether every byte arrived, and what the migrations cost. */
import type { DemoOptions } from './arguments.ts';
import { addVerdicts } from './comparer.ts';
import { percentile } from './gap-meter.ts';
import type { Migration } from './messages.ts';
import type { Delivery, DirectionResult, TransferResult } from './transfer.ts';

/** A SIGKILL to the process that served the session. */
export interface Kill {
  readonly server: string;
  readonly pid: number;
  /** Bytes that had been delivered. */
  readonly atByte: number;
  /** Bytes were arriving, and more were to come. */
  readonly inFlight: boolean;
  /** Who took the session over. */
  followedBy: { readonly server: string; readonly pid: number } | undefined;
}

export interface DemoResult {
  readonly ok: boolean;
  /** Why not. */
  readonly problems: readonly string[];
  readonly delivery: Delivery;
  readonly seed: number;
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Migrations because a server died, and migrations because one was drained. */
  readonly crashes: number;
  readonly planned: number;
  /** Bytes, of both directions together. */
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  /** A kill counts if bytes were in flight and another process took over. */
  readonly kills: { readonly issued: number; readonly counted: number };
  readonly migrations: readonly Migration[];
  readonly blackoutMs: { readonly p50: number | null; readonly max: number | null };
  readonly sha256: {
    readonly source?: string;
    readonly down: DirectionResult['sha256'];
    readonly up: DirectionResult['sha256'];
  };
}

/** Causes of a migration that nothing broken asked for. */
const PLANNED_CAUSES: readonly string[] = ['origin', 'other-server', 'application'];

export function isPlanned({ cause }: { cause: string }): boolean {
  return PLANNED_CAUSES.includes(cause);
}

export function summarize({
  options,
  transfer: { down, up },
  migrations,
  kills,
  sourceSha256,
}: {
  options: DemoOptions;
  transfer: TransferResult;
  migrations: readonly Migration[];
  kills: readonly Kill[];
  /** Of the file, where it is what both directions carry. */
  sourceSha256: string | undefined;
}): DemoResult {
  const { lost, duplicated, corrupt } = addVerdicts(down.verdict, up.verdict);
  const planned = migrations.filter(isPlanned).length;
  const counted = kills.filter(({ inFlight, followedBy }) => inFlight && followedBy !== undefined).length;
  const blackouts = migrations.map(({ blackoutMs }) => blackoutMs);

  const problems: string[] = [];
  const complain = (wrong: boolean, problem: string): void => void (wrong && problems.push(problem));
  for (const [name, { sha256, bytes }] of Object.entries({ down, up })) {
    complain(
      sha256.sent !== sha256.received || (sourceSha256 ?? sha256.sent) !== sha256.sent,
      `what arrived ${name}stream has another SHA-256 than its source`,
    );
    complain(
      sourceSha256 === undefined ? bytes < options.fileBytes : bytes !== options.fileBytes,
      `${bytes} bytes arrived ${name}stream, of ${options.fileBytes}`,
    );
  }
  complain(lost > 0, `${lost} bytes were lost`);
  complain(duplicated > 0, `${duplicated} bytes came twice`);
  complain(corrupt > 0, `${corrupt} bytes came damaged`);
  complain(
    counted < options.kills,
    `${counted} kills count, of ${options.kills} wanted: they need bytes in flight and a server that takes over`,
  );
  complain(planned === 0, 'no session moved before its server was drained');

  return {
    ok: problems.length === 0,
    problems,
    delivery: options.delivery,
    seed: options.seed,
    bytesDown: down.bytes,
    bytesUp: up.bytes,
    crashes: migrations.length - planned,
    planned,
    lost,
    duplicated,
    corrupt,
    kills: { issued: kills.length, counted },
    migrations: migrations.map(rounded),
    blackoutMs: { p50: toTenth(percentile(blackouts, 50)), max: toTenth(percentile(blackouts, 100)) },
    sha256: { ...(sourceSha256 && { source: sourceSha256 }), down: down.sha256, up: up.sha256 },
  };
}

/** Milliseconds to a tenth: more digits would be noise. */
export function toTenth<Value extends number | undefined>(
  value: Value,
): Value extends number ? number : number | null {
  return (value === undefined ? null : Math.round(value * 10) / 10) as Value extends number
    ? number
    : number | null;
}

function rounded(migration: Migration): Migration {
  const { detect, connect, attach, firstByte } = migration.phases;
  return {
    ...migration,
    blackoutMs: toTenth(migration.blackoutMs),
    phases: {
      detect: toTenth(detect),
      connect: toTenth(connect),
      attach: toTenth(attach),
      firstByte: firstByte === undefined ? undefined : toTenth(firstByte),
    },
  };
}
