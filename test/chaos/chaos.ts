/** The chaos run itself: hosts, servers and clients, and one fault after the other, two at a time. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Draw, bytesFromSeed } from '../../packages/cli/src/demo/choices.ts';
import { ClientGroup } from './client-group.ts';
import { createStore } from './effect-store.ts';
import { FAULTS } from './faults.ts';
import type { FaultKind } from './faults.ts';
import { Fleet } from './fleet.ts';
import { DISK_FOLDER } from './leftovers.ts';
import { StandstillMeter, clockMs, logSince } from './log.ts';
import { DELIVERIES } from './messages.ts';
import type { ClientConfig, Common, SessionOutcome, Slot, Workload } from './messages.ts';
import { TestNetwork } from './network.ts';
import { summarize } from './result.ts';
import type { ChaosResult, FaultRecord } from './result.ts';
import { SmallDisk } from './small-disk.ts';
import { World } from './world.ts';

const SERVERS = ['s1', 's2', 's3'];

/** Transfers are on one host, requests and the crowd on the other, so that neither slows the other one's clock. */
const CLIENTS: readonly { readonly name: string; readonly workloads: readonly Workload[] }[] = [
  { name: 'c1', workloads: ['down', 'up'] },
  { name: 'c2', workloads: ['requests', 'crowd'] },
];

/** Sessions at once of each mode of delivery. The crowd is 200 in all. */
const SESSIONS: Readonly<Record<Workload, number>> = { down: 1, up: 1, requests: 2, crowd: 100 };

/** What a transfer carries, unless told otherwise: some seconds of a host's line. */
const FILE_BYTES = 24 * 1024 * 1024;

/** Of a client host, each way. */
const MEGABITS_PER_SECOND = 100;

/** Faults that go on at the same time, each with another server. With three servers, one is always well. */
const LANES = 2;

/** Between two faults of a lane, at most. */
const PAUSE_MAX_MS = 400;

/** How much longer to look for a kind of fault that has not counted yet, in milliseconds. */
const EXTRA_MS = 30_000;

/** Sessions must end within this time when the faults are over; those that hang are found before. */
const FINISH_LIMIT_MS = 60_000;

export interface ChaosOptions {
  readonly seconds: number;
  readonly kinds: readonly FaultKind[];
  readonly workloads: readonly Workload[];
  readonly seed: number;
  /** What a transfer carries. */
  readonly fileBytes?: number;
  /** For files, logs and the small disk. */
  readonly folder: string;
  readonly log: (line: string) => void;
  /** The module that server processes run, for tests of the run itself. */
  readonly entry?: string;
}

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seconds, kinds, workloads, seed, folder, log } = options;
  const startedMs = clockMs();
  const standstill = new StandstillMeter();
  const problems: string[] = [];
  const outcomes: SessionOutcome[] = [];
  const faults: FaultRecord[] = [];
  let notOpened = 0;
  const onFailure = (error: Error): void => {
    problems.push(error.message);
    log(error.message);
  };

  const common = prepareFiles(folder, bytesFromSeed(seed, options.fileBytes ?? FILE_BYTES));
  const clientHosts = CLIENTS.map((client) => ({
    name: client.name,
    slots: client.workloads.filter((workload) => workloads.includes(workload)).flatMap(slotsOf),
  })).filter(({ slots }) => slots.length > 0);
  const network = await TestNetwork.create([...SERVERS, ...clientHosts.map(({ name }) => name)]);
  const disk = await SmallDisk.mount(common.disk);
  const store = createStore(join(common.disk, 'effects.db'));
  const cleanUps: (() => Promise<void> | void)[] = [() => network.remove(), () => disk.remove()];
  try {
    for (const { name } of clientHosts) await network.shape(name, MEGABITS_PER_SECOND);
    const launcher = (host: string): string[] => network.launcher(host);
    const servers = SERVERS.map((name) => ({ name, host: network.address(name) }));
    const shared: Common = { servers, file: common.file, nothing: common.nothing, startedMs };
    const applied = { repeated: 0, fenced: 0, busy: 0, full: 0 };
    const fleet = await Fleet.start({
      configs: servers.map((server) => ({ ...shared, ...server, database: join(common.disk, 'effects.db') })),
      launcher,
      entry: options.entry ?? join(import.meta.dirname, 'server-process.ts'),
      folder,
      onApplied: (outcome) => (applied[outcome] += 1),
      onFailure,
    });
    cleanUps.unshift(() => fleet.stop());
    const draw = new Draw(seed);
    const clients = await ClientGroup.start({
      configs: clientHosts.map(({ name, slots }): ClientConfig => ({
        ...shared,
        name,
        slots,
        seed: draw.below(2 ** 32),
      })),
      launcher,
      folder,
      onOutcome: (outcome) => {
        outcomes.push(outcome);
        if (outcome.problem !== undefined) log(`${outcome.workload} ${outcome.session}: ${outcome.problem}`);
      },
      onNotOpened: () => (notOpened += 1),
      onFailure,
    });
    cleanUps.unshift(() => clients.stop());

    log(`seed ${seed}: ${seconds} s of ${kinds.join(', ') || 'peace'} for ${workloads.join(', ')}`);
    const world = new World({
      network,
      fleet,
      clients,
      store,
      disk,
      draw,
      applied,
      log: logSince(startedMs),
    });
    await inflict(world, { seconds, kinds, log, faults });

    log('the faults are over: sessions end');
    const late = await clients.finish(FINISH_LIMIT_MS);
    for (const name of late) problems.push(`${name} did not finish in time`);
    const slots = clientHosts.filter(({ name }) => late.includes(name)).flatMap((client) => client.slots);
    await clients.stop();
    // Whoever was left behind and still wants to write has had its time.
    await fleet.stop();
    const result = summarize({
      kinds,
      faults,
      outcomes,
      unfinished: slots.length,
      audit: store.audit(),
      applied,
      notOpened,
      problems,
      standstillMs: standstill.longestMs,
      seed,
      seconds: Math.round((clockMs() - startedMs) / 1000),
    });
    if (result.problems.length > 0) copyFileSync(join(common.disk, 'effects.db'), join(folder, 'effects.db'));
    return result;
  } finally {
    standstill.stop();
    for (const cleanUp of cleanUps) await cleanUp();
  }
}

function slotsOf(workload: Workload): Slot[] {
  return DELIVERIES.flatMap((delivery) =>
    Array.from({ length: SESSIONS[workload] }, () => ({ workload, delivery })),
  );
}

function prepareFiles(folder: string, content: Buffer): { file: string; nothing: string; disk: string } {
  const file = join(folder, 'file.bin');
  const nothing = join(folder, 'nothing.bin');
  const disk = join(folder, DISK_FOLDER);
  writeFileSync(file, content);
  writeFileSync(nothing, '');
  mkdirSync(disk);
  return { file, nothing, disk };
}

interface InflictOptions extends Pick<ChaosOptions, 'seconds' | 'kinds' | 'log'> {
  /** Where the faults are noted. */
  readonly faults: FaultRecord[];
}

/** Inflicts faults for so long, and then those kinds that have not counted yet. */
async function inflict(world: World, { seconds, kinds, log, faults }: InflictOptions): Promise<void> {
  const untilMs = clockMs() + seconds * 1000;
  let deck: FaultKind[] = [];
  const next = (): FaultKind | undefined => {
    if (deck.length === 0) deck = shuffled(world, kinds);
    return deck.pop();
  };
  const one = async (kind: FaultKind): Promise<void> => {
    const startedMs = clockMs();
    const outcome = await FAULTS[kind](world);
    if (outcome === undefined) {
      await wait(PAUSE_MAX_MS);
      return;
    }
    const { counted, incident, note } = outcome;
    faults.push({ kind, counted, blackoutsMs: incident.blackoutsMs });
    const longest = Math.max(0, ...incident.blackoutsMs);
    log(
      `${kind} (${note}): ${incident.watched} sessions hit, ${incident.flowing} of them with bytes in flight, ${incident.moved} moved, longest wait ${Math.round(longest)} ms` +
        `${counted ? '' : '; does not count'}; took ${Math.round(clockMs() - startedMs)} ms`,
    );
  };
  const lane = async (): Promise<void> => {
    while (clockMs() < untilMs) {
      const kind = next();
      if (kind === undefined) await wait(untilMs - clockMs());
      else await one(kind);
      await wait(world.between(0, PAUSE_MAX_MS));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const missing = (): FaultKind[] =>
    kinds.filter((kind) => !faults.some((fault) => fault.kind === kind && fault.counted));
  for (let again = missing(); again.length > 0 && clockMs() < untilMs + EXTRA_MS; again = missing())
    for (const kind of again) if (clockMs() < untilMs + EXTRA_MS) await one(kind);
}

function shuffled<T>(world: World, values: readonly T[]): T[] {
  const rest = [...values];
  const result: T[] = [];
  while (rest.length > 0) result.push(...rest.splice(world.between(0, rest.length - 1), 1));
  return result;
}
