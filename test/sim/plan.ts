/** What one seed means: who takes part, how they are set, what they say to each other, and which faults come when. */
import {
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_SERVER_LIMITS,
  type ClientLimits,
  type ClientTimers,
  type ServerLimits,
  type ServerTimers,
} from '../../packages/godwit/src/session/index.ts';
import { Delivery, INITIAL_CREDIT_BYTES } from '../../packages/godwit/src/wire/index.ts';
import { Draw } from './draw.ts';
import { drawFaults, type FaultPlan } from './fault-plan.ts';
import { drawFence, type FencePlan } from './fence-plan.ts';
import { drawScript, type Script } from './script.ts';
import type { ApplicationPlan, ExportHabit } from './server-application.ts';

const KIB = 1024;

export interface ClockPlan {
  readonly offsetMs: number;
  readonly rate: number;
  readonly wallSkewMs: number;
}

export interface ServerPlan {
  readonly name: string;
  readonly clock: ClockPlan;
  readonly limits: Partial<ServerLimits>;
  readonly timers: Partial<ServerTimers>;
  /** Longest that cryptography takes, in ms; 0 answers at once. */
  readonly cryptoMs: number;
}

export interface ClientPlan {
  readonly name: string;
  readonly startsAtMs: number;
  /** The servers it is configured with. */
  readonly servers: readonly string[];
  readonly clock: ClockPlan;
  readonly limits: Partial<ClientLimits>;
  readonly timers: Partial<ClientTimers>;
  readonly cryptoMs: number;
  readonly script: Script;
  readonly application: ApplicationPlan;
  /** Bytes of one write, and the pause behind it. */
  readonly writeBytes: number;
  readonly writePauseMs: number;
  /** Pieces read at once, and the pause behind them; 0 reads whatever comes. */
  readonly readPieces: number;
  readonly readPauseMs: number;
  /** Keeps a standby from the start to so many servers. */
  readonly standbys: number;
  /** Lets go of the session, or resets it, after so much time. */
  readonly earlyEnd: { readonly how: 'destroys' | 'resets'; readonly atMs: number } | undefined;
  /** Writes on only when it has all the answers to what it wrote. */
  readonly waitsForAnswers: boolean;
}

export interface NetworkPlan {
  /** One-way latency between most names, in ms. */
  readonly latencyMs: number;
  /** How much a message's latency differs from the next one's, as a share. */
  readonly jitter: number;
  /** Carriers carry so much in a millisecond; undefined carries all at once. */
  readonly bytesPerMs: number | undefined;
  readonly bufferBytes: number | undefined;
  /** Chance that a write arrives in pieces. */
  readonly splits: number;
}

export interface Plan {
  readonly seed: number;
  readonly delivery: Delivery;
  /** Proofs and seals are those of node:crypto; else checksums, which take a fraction of the time. */
  readonly hasRealCrypto: boolean;
  /** One for all servers; undefined where there is none. */
  readonly fence?: FencePlan | undefined;
  readonly network: NetworkPlan;
  readonly servers: readonly ServerPlan[];
  readonly clients: readonly ClientPlan[];
  readonly faults: readonly FaultPlan[];
  /** Until then faults come and last; then the world heals. */
  readonly healsAtMs: number;
  /** Timers outlast every fault: no session may end in an error, but where this file's reader finds it said. */
  readonly isPatient: boolean;
  /** No fault comes: whatever ends is acknowledged, and no timer has to end it. */
  readonly isUndisturbed: boolean;
}

export function drawPlan(seed: number): Plan {
  const draw = new Draw(seed);
  const delivery = draw.chance(0.5) ? Delivery.Replay : Delivery.Commit;
  const isPatient = draw.chance(0.85);
  const serverCount = Number(draw.weighted({ 1: 0.6, 2: 4, 3: 4, 4: 1, 5: 0.6 }));
  const names = Array.from({ length: serverCount }, (_, i) => String.fromCharCode(97 + i));
  const clientCount = Number(draw.weighted({ 1: 8, 2: 1.4, 3: 0.4, 4: 0.2 }));
  const network = drawNetwork(draw);
  const workMs = Math.max(draw.magnitude(30, 3000), 20 * network.latencyMs);
  const clients = Array.from({ length: clientCount }, (_, i) =>
    withTimeForBodies(
      drawClient(draw.fork(), { name: `client ${i + 1}`, names, delivery, workMs, isPatient }),
      network,
    ),
  );
  const servers = names.map((name) => drawServer(draw.fork(), name, isPatient));
  const { faults, endMs } = drawFaults(draw.fork(), {
    names,
    clients: clients.map((client) => client.name),
    workMs,
    latencyMs: network.latencyMs,
  });
  const hasRealCrypto = draw.chance(0.03);
  const fence = drawFence(seed, { names, endMs });
  return {
    seed,
    delivery,
    hasRealCrypto,
    fence,
    network,
    servers,
    clients,
    faults,
    healsAtMs: endMs,
    isPatient,
    isUndisturbed: isPatient && faults.length === 0 && (fence?.faults.length ?? 0) === 0,
  };
}

function drawNetwork(draw: Draw): NetworkPlan {
  const isSlow = draw.chance(0.2);
  return {
    latencyMs: draw.magnitude(1, 400) / 10,
    jitter: draw.chance(0.5) ? draw.next() : 0,
    bytesPerMs: isSlow ? draw.magnitude(50, 20_000) : undefined,
    bufferBytes: isSlow || draw.chance(0.2) ? draw.magnitude(2 * KIB, 256 * KIB) : undefined,
    splits: draw.chance(0.3) ? draw.next() : 0,
  };
}

function drawClock(draw: Draw): ClockPlan {
  if (draw.chance(0.3)) return { offsetMs: 0, rate: 1, wallSkewMs: 0 };
  return {
    offsetMs: draw.chance(0.5) ? draw.between(0, 1e9) : 0,
    rate: draw.chance(0.5) ? draw.between(0.98, 1.02) : 1,
    wallSkewMs: draw.chance(0.5) ? draw.between(-60_000, 60_000) : 0,
  };
}

const SERVER_WINDOWS = [INITIAL_CREDIT_BYTES, INITIAL_CREDIT_BYTES, 256 * KIB, 1024 * KIB];

function drawServer(draw: Draw, name: string, isPatient: boolean): ServerPlan {
  const plan = {
    name,
    clock: drawClock(draw),
    limits: {
      receiveWindowBytes: draw.pick(SERVER_WINDOWS),
      outputTailBytes: draw.magnitude(4 * KIB, 1024 * KIB),
      inputLogBytes: draw.chance(0.2) ? 0 : draw.magnitude(256, 1024 * KIB),
      snapshotIntervalBytes: draw.magnitude(64, 256 * KIB),
      snapshotShare: draw.pick([0, 1, 16]),
      maxStateBytes: draw.chance(0.05) ? 2 * KIB : DEFAULT_SERVER_LIMITS.maxStateBytes,
      ...(draw.chance(0.1) && {
        maxSessions: draw.whole(1, 4),
        maxRestoring: draw.whole(1, 3),
        maxUnauthenticatedCarriers: draw.whole(1, 6),
        maxTombstones: draw.whole(1, 3),
        maxWatched: draw.whole(1, 3),
      }),
    },
    timers: {
      ackDelayMs: draw.pick([0, 5, 25, 100]),
      snapshotIntervalMs: draw.magnitude(5, 1000),
      unprotectAfterMs: draw.magnitude(20, 400),
      pullTimeoutMs: draw.magnitude(100, 1000),
      progressIntervalMs: draw.magnitude(20, 250),
      releaseDelayMs: draw.magnitude(10, 250),
      pingIdleMs: draw.magnitude(500, 15_000),
      // Whoever has said CLOSE waits for its acknowledgement first.
      ...(isPatient ? { lingerMs: 60_000, frozenTimeoutMs: 61_000 } : drawShortServerTimers(draw)),
    },
    cryptoMs: draw.chance(0.15) ? draw.between(0.1, 5) : 0,
  };
  // The shorter the interval, the longer sessions wait for their turn: of what was drawn, so that the seeds are worth what they were.
  const { snapshotIntervalMs } = plan.timers;
  return { ...plan, limits: { ...plan.limits, snapshotsPerSecond: Math.round(snapshotIntervalMs) } };
}

function drawShortServerTimers(draw: Draw): Partial<ServerTimers> {
  return {
    attachTimeoutMs: draw.magnitude(200, 5000),
    frozenTimeoutMs: draw.magnitude(500, 30_000),
    detachedTimeoutMs: draw.magnitude(500, 60_000),
    replayTimeoutMs: draw.magnitude(1000, 10_000),
    lingerMs: draw.magnitude(500, 10_000),
    authenticateTimeoutMs: draw.magnitude(500, 10_000),
    ticketLifetimeMs: draw.magnitude(1000, 3_600_000),
  };
}

interface ClientCircumstances {
  readonly name: string;
  readonly names: readonly string[];
  readonly delivery: Delivery;
  readonly workMs: number;
  readonly isPatient: boolean;
}

/** Where carriers are slow, a client gives a server the time that the body of its ticket takes on the way. */
function withTimeForBodies(client: ClientPlan, { bytesPerMs = Infinity }: NetworkPlan): ClientPlan {
  const leastMs = Math.ceil((2 * client.application.stateBytes) / bytesPerMs);
  const attachTimeoutMs = Math.max(client.timers.attachTimeoutMs ?? 0, leastMs);
  return { ...client, timers: { ...client.timers, attachTimeoutMs } };
}

const STARVING_BYTES = { from: 100 * KIB, to: 400 * KIB };

const EXPORT_HABITS: Readonly<Record<ExportHabit, number>> = {
  asked: 4,
  often: 3,
  seldom: 1,
  late: 1,
  'not now': 1,
  never: 1,
};

function drawClient(
  draw: Draw,
  { name, names, delivery, workMs, isPatient }: ClientCircumstances,
): ClientPlan {
  const mostBytes = Number(draw.weighted({ [6 * KIB]: 70, [100 * KIB]: 24, [1024 * KIB]: 6 }));
  // Its application gives snapshots too late for how little its client may keep: it is unprotected, again and again.
  const isStarved = draw.chance(0.03);
  const script = drawScript(draw, isStarved ? STARVING_BYTES : { from: 1, to: mostBytes });
  const window = isStarved ? 64 * KIB : draw.pick([64 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB]);
  const pieces = draw.magnitude(1, 40);
  const writeBytes = Math.max(1, Math.ceil(script.inputBytes / pieces));
  const configured = draw.chance(0.7) ? names : names.slice(0, draw.whole(1, names.length));
  return {
    name,
    startsAtMs: draw.chance(0.8) ? 0 : draw.between(0, workMs / 2),
    servers: configured,
    clock: drawClock(draw),
    limits: {
      receiveWindowBytes: window,
      retainLimitBytes: draw.chance(0.6) || isStarved ? 64 * KIB : DEFAULT_CLIENT_LIMITS.retainLimitBytes,
      sendBufferBytes: draw.magnitude(KIB, 256 * KIB),
      maxBodyBytes: draw.chance(0.1) ? draw.magnitude(64, 8 * KIB) : DEFAULT_CLIENT_LIMITS.maxBodyBytes,
      digestWindowBytes: draw.chance(0.2) ? draw.magnitude(16, KIB) : draw.magnitude(KIB, 2048 * KIB),
      migrationBudget: draw.whole(1, 4),
    },
    timers: {
      ackDelayMs: draw.pick([0, 5, 25, 100]),
      raceStaggerMs: draw.magnitude(5, 100),
      retryMinMs: draw.magnitude(5, 50),
      retryMaxMs: draw.magnitude(100, 500),
      detachTimeoutMs: draw.magnitude(50, 500),
      attachTimeoutMs: draw.magnitude(300, 3000),
      detectIntervalMs: draw.magnitude(50, 500),
      pingIdleMs: draw.magnitude(500, 15_000),
      ...(isPatient
        ? { giveUpTimeoutMs: 30_000, giveUpSingleServerMs: 30_000, lingerMs: 30_000 }
        : {
            giveUpTimeoutMs: draw.magnitude(500, 10_000),
            giveUpSingleServerMs: draw.magnitude(300, 3000),
            lingerMs: draw.magnitude(500, 5000),
          }),
    },
    cryptoMs: draw.chance(0.2) ? draw.between(0.1, 5) : 0,
    script,
    application: {
      ...drawApplication(draw, script, delivery, workMs),
      ...(isStarved && { exports: 'late', lateMs: draw.magnitude(200, 1500) }),
    },
    writeBytes,
    writePauseMs: draw.chance(0.2) ? 0 : (workMs * draw.between(0.3, 1.2)) / pieces,
    readPieces: draw.whole(1, 4),
    readPauseMs: draw.chance(0.75) ? 0 : draw.magnitude(1, 60),
    standbys: draw.chance(0.5) ? 0 : draw.whole(1, names.length),
    earlyEnd: draw.chance(0.08)
      ? { how: draw.chance(0.6) ? 'destroys' : 'resets', atMs: draw.between(0, workMs) }
      : undefined,
    waitsForAnswers: draw.chance(0.4),
  };
}

function drawApplication(draw: Draw, script: Script, delivery: Delivery, workMs: number): ApplicationPlan {
  const bytes = script.inputBytes + script.outputBytes;
  const pieces = draw.magnitude(1, 40);
  const isPaced = draw.chance(0.5);
  return {
    exports: draw.weighted(EXPORT_HABITS),
    exportEveryBytes: draw.magnitude(1, Math.max(2, bytes)),
    lateMs: draw.magnitude(1, 600),
    refusals: draw.magnitude(1, 12),
    stateBytes: Number(draw.weighted({ 20: 8, 2040: 1, 3000: 1, 20_000: 1, 60_000: 0.3 })),
    writeBytes: isPaced
      ? Math.ceil((script.outputBytes + 1) / pieces)
      : draw.magnitude(1 + Math.floor(script.outputBytes / 400), 64 * KIB),
    writePauseMs: isPaced ? (workMs * draw.between(0.3, 1.2)) / pieces : 0,
    readPauseMs: draw.chance(0.8) ? 0 : draw.magnitude(1, 40),
    leavesToChance: draw.chance(delivery === Delivery.Commit ? 0.5 : 0.05),
    earlyEnd: draw.chance(0.06)
      ? { how: draw.chance(0.6) ? 'destroys' : 'resets', atOutput: draw.whole(0, script.outputBytes) }
      : undefined,
  };
}
