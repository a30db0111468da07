/** The soak itself: a pool of server processes for each delivery mode, one client, and a kill in every run. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'godwit';
import type { MigrationPhases, MigrationReport } from 'godwit';
import { Draw, bytesFromSeed } from '../../packages/cli/src/demo/choices.ts';
import { NO_FAULTS, addVerdicts } from '../../packages/cli/src/demo/comparer.ts';
import type { Verdict } from '../../packages/cli/src/demo/comparer.ts';
import { GapMeter, percentile } from '../../packages/cli/src/demo/gap-meter.ts';
import { toTenth } from '../../packages/cli/src/demo/result.ts';
import { ServerPool } from '../../packages/cli/src/demo/server-pool.ts';
import { transfer } from '../../packages/cli/src/demo/transfer.ts';
import type { Delivery } from '../../packages/cli/src/demo/transfer.ts';
import { FloorMeter } from './floor.ts';

const DELIVERIES: readonly Delivery[] = ['replay', 'commit'];

const SERVERS_PER_POOL = 3;

/** A run that takes longer hangs, and counts as aborted. */
const RUN_LIMIT_MS = 20_000;

/** Kills fall into this share of the stream: behind it, what is left could already be on its way to the client. */
const SHARE_WITH_KILL = 0.75;

/** A soak whose kills mostly miss has shown nothing. */
const COUNTED_SHARE_MIN = 0.9;

/** How often the log tells how far it is. */
const RUNS_PER_LINE = 10;

export interface SoakOptions {
  readonly runs: number;
  /** Size of the file that goes both ways in each run. */
  readonly bytes: number;
  readonly seed: number;
  /** Where the file and the logs go. */
  readonly folder: string;
  readonly log: (line: string) => void;
  /** The module that server processes run, for tests of the soak itself. */
  readonly entry?: string;
}

interface Spread {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface SoakResult {
  readonly runs: number;
  readonly seed: number;
  /** Bytes, over all runs and both directions. */
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  /** In how many places. */
  readonly incidents: Verdict['incidents'];
  /** Runs whose hashes differ between the two ends. */
  readonly mismatched: number;
  /** Runs that ended in an error, or not in time. */
  readonly aborted: number;
  /** A kill counts if bytes were in flight and another process took over. */
  readonly kills: { readonly issued: number; readonly counted: number };
  /** The client's longest gap between delivered bytes around each kill that counts. */
  readonly blackoutMs: Spread & { readonly replay: Spread; readonly commit: Spread };
  /** Medians of what those migrations were made of. */
  readonly phasesMs: Readonly<Record<keyof MigrationPhases, number | null>>;
  /** The same for plain node:net: notice the reset, connect elsewhere, get a first byte. */
  readonly floorMs: Spread;
  readonly seconds: number;
}

export function isSound({ lost, duplicated, corrupt, mismatched, aborted, kills }: SoakResult): boolean {
  const faults = lost + duplicated + corrupt + mismatched + aborted;
  return faults === 0 && kills.counted >= COUNTED_SHARE_MIN * kills.issued;
}

export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { runs, bytes, seed, folder, log, entry } = options;
  const startedMs = performance.now();
  const file = join(folder, 'file.bin');
  writeFileSync(file, bytesFromSeed(seed, bytes));
  const onFailure = (error: Error): void => log(error.message);
  const startPool = (delivery: Delivery): Promise<ServerPool> =>
    ServerPool.start({
      servers: SERVERS_PER_POOL,
      delivery,
      file,
      rate: 0,
      folder,
      onFailure,
      ...(entry === undefined ? {} : { entry }),
    });
  const pools = await Promise.all(DELIVERIES.map(startPool));
  const floor = await FloorMeter.start(folder);
  const draw = new Draw(seed);
  const outcomes: Outcome[] = [];
  const floors: number[] = [];
  log(`${runs} runs of ${bytes} bytes each way, seed ${seed}`);
  try {
    for (let run = 0; run < runs; run++) {
      const delivery = DELIVERIES[run % DELIVERIES.length] ?? 'replay';
      const pool = pools[run % pools.length];
      if (pool === undefined) break;
      const outcome = await runOnce({
        pool,
        delivery,
        file,
        bytes,
        seed: draw.below(2 ** 32),
        killAt: 1 + draw.below(Math.floor(bytes * SHARE_WITH_KILL)),
        startAt: draw.below(SERVERS_PER_POOL),
      });
      outcomes.push(outcome);
      if (outcome.problem !== undefined) log(`run ${run} (${delivery}): ${outcome.problem}`);
      floors.push(await floor.measure(1 + draw.below(bytes)));
      if ((run + 1) % RUNS_PER_LINE === 0) log(`${run + 1} runs: ${describe(outcomes, floors)}`);
    }
  } finally {
    await Promise.all([...pools.map((pool) => pool.stop()), floor.stop()]);
  }
  return summarize(outcomes, floors, { seed, seconds: Math.round((performance.now() - startedMs) / 1000) });
}

interface Outcome {
  readonly delivery: Delivery;
  readonly verdict: Verdict;
  readonly hashesAgree: boolean;
  readonly killed: boolean;
  /** The kill counts, and this is what it cost. */
  readonly blackoutMs: number | undefined;
  readonly phases: MigrationPhases | undefined;
  /** Why the run did not end, or what was wrong with what arrived. */
  readonly problem: string | undefined;
  readonly aborted: boolean;
}

interface Run {
  readonly pool: ServerPool;
  readonly delivery: Delivery;
  readonly file: string;
  readonly bytes: number;
  readonly seed: number;
  /** The kill comes once so many bytes have been delivered. */
  readonly killAt: number;
  /** Which server to try first. */
  readonly startAt: number;
}

async function runOnce({ pool, delivery, file, bytes, seed, killAt, startAt }: Run): Promise<Outcome> {
  const { addresses } = pool;
  const servers = [...addresses.slice(startAt), ...addresses.slice(0, startAt)];
  const socket = connect({ servers });
  const gaps = new GapMeter();
  let delivered = 0;
  let victim: { readonly name: string; readonly pid: number } | undefined;
  // Its phases are complete only once the first byte has come.
  let report: MigrationReport | undefined;
  let blackoutMs: number | undefined;

  const kill = (): void => {
    victim = pool.get(socket.currentServer?.name ?? '');
    pool.kill(victim.name);
    gaps.open();
  };
  socket.on('migrated', (migrated) => {
    if (victim !== undefined && pool.get(migrated.to).pid !== victim.pid) report ??= migrated;
  });
  const onProgress = (down: number): void => {
    if (down === delivered) return;
    delivered = down;
    gaps.deliver(performance.now());
    if (victim === undefined && down >= killAt) kill();
    // What follows the last byte waits for the other direction: that is no blackout.
    if (down >= bytes && report !== undefined) blackoutMs ??= gaps.close();
  };
  const limit = setTimeout(
    () => socket.destroy(new Error(`not done within ${RUN_LIMIT_MS / 1000} s, at byte ${delivered}`)),
    RUN_LIMIT_MS,
  );
  const killed = (): boolean => victim !== undefined;
  try {
    const { down, up } = await transfer(socket, { delivery, file, seed, rate: 0, onProgress });
    const hashesAgree = down.sha256.sent === down.sha256.received && up.sha256.sent === up.sha256.received;
    const verdict = addVerdicts(down.verdict, up.verdict);
    const { lost, duplicated, corrupt } = verdict;
    const sound = hashesAgree && lost + duplicated + corrupt === 0;
    const problem = sound
      ? undefined
      : `${lost} lost, ${duplicated} duplicated, ${corrupt} corrupt, hashes ${hashesAgree ? 'agree' : 'differ'}`;
    return {
      delivery,
      verdict,
      hashesAgree,
      killed: killed(),
      blackoutMs,
      phases: report?.phases,
      problem,
      aborted: false,
    };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const problem = `${code ?? 'error'}: ${message} (killed at byte ${killAt}, seed ${seed})`;
    return {
      delivery,
      verdict: NO_FAULTS,
      hashesAgree: true,
      killed: killed(),
      blackoutMs: undefined,
      phases: undefined,
      problem,
      aborted: true,
    };
  } finally {
    clearTimeout(limit);
    socket.destroy();
    if (victim !== undefined) await pool.restart(victim.name);
  }
}

function summarize(
  outcomes: readonly Outcome[],
  floors: readonly number[],
  { seed, seconds }: { seed: number; seconds: number },
): SoakResult {
  const { lost, duplicated, corrupt, incidents } = outcomes
    .map(({ verdict }) => verdict)
    .reduce(addVerdicts, NO_FAULTS);
  const counting = outcomes.filter(({ blackoutMs }) => blackoutMs !== undefined);
  const blackoutsOf = (delivery?: Delivery): number[] =>
    counting
      .filter((outcome) => delivery === undefined || outcome.delivery === delivery)
      .map(({ blackoutMs }) => blackoutMs ?? 0);
  const medianOf = (phase: keyof MigrationPhases): number | null => {
    const values = counting.map(({ phases }) => phases?.[phase]).filter((value) => value !== undefined);
    return toTenth(percentile(values, 50));
  };
  return {
    runs: outcomes.length,
    seed,
    lost,
    duplicated,
    corrupt,
    incidents,
    mismatched: outcomes.filter(({ hashesAgree }) => !hashesAgree).length,
    aborted: outcomes.filter(({ aborted }) => aborted).length,
    kills: { issued: outcomes.filter(({ killed }) => killed).length, counted: counting.length },
    blackoutMs: {
      ...spreadOf(blackoutsOf()),
      replay: spreadOf(blackoutsOf('replay')),
      commit: spreadOf(blackoutsOf('commit')),
    },
    phasesMs: {
      detect: medianOf('detect'),
      connect: medianOf('connect'),
      attach: medianOf('attach'),
      firstByte: medianOf('firstByte'),
    },
    floorMs: spreadOf(floors),
    seconds,
  };
}

function spreadOf(values: readonly number[]): Spread {
  return {
    p50: toTenth(percentile(values, 50)),
    p99: toTenth(percentile(values, 99)),
    max: toTenth(percentile(values, 100)),
  };
}

function describe(outcomes: readonly Outcome[], floors: readonly number[]): string {
  const { lost, duplicated, corrupt, aborted, blackoutMs, floorMs } = summarize(outcomes, floors, {
    seed: 0,
    seconds: 0,
  });
  return (
    `${lost} lost, ${duplicated} duplicated, ${corrupt} corrupt, ${aborted} aborted; ` +
    `blackout ${blackoutMs.p50} ms (plain net ${floorMs.p50} ms)`
  );
}
