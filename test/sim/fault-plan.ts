/** Which faults a seed brings, and when. What each does is in faults.ts. */
import type { Draw } from './draw.ts';

export const FAULT_KINDS = [
  // Processes.
  'crash',
  'crash of a machine',
  'crash of all servers',
  'stop',
  'zombie',
  'stop of a client',
  // Carriers.
  'carrier cut',
  'carrier lost at the client',
  'carrier lost at the server',
  'carrier cut at a byte',
  // Networks.
  'partition from a client',
  'one-way partition from a client',
  'partition between servers',
  'one-way partition between servers',
  'peer link broken',
  'delay',
  'reordering',
  'origin reachable by the client alone',
  // What asks sessions to move.
  'trigger',
  'trigger twice',
  'trigger late',
  'trigger over a standby',
  'two triggers at once',
  'client migrates',
  // Steps of a hand-over.
  'crash of the origin at a step',
  'crash of the destination at a step',
  'stop of the destination at a step',
  'carrier cut at a step',
  'attach abandoned at a step',
  // The cluster.
  'drain',
  'member leaves',
  'member joins',
  'keys rotate',
  'clock jumps',
  'peer ping',
  'standby',
  // Strangers.
  'garbage from a stranger',
  'replay by a stranger',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

const WEIGHTS: Partial<Record<FaultKind, number>> = {
  crash: 4,
  'carrier cut': 2,
  trigger: 3,
  'client migrates': 2,
  'crash of the origin at a step': 3,
  'crash of the destination at a step': 3,
  'carrier cut at a step': 3,
  'attach abandoned at a step': 3,
  'origin reachable by the client alone': 2,
  'crash of all servers': 0.4,
};

/** What makes a session move, so that the steps of its hand-over come up. */
export type StepCause = 'planned' | 'crash' | 'unreachable origin';

/** Frames that are steps of a hand-over, and what brings each about. */
export const STEPS = {
  trigger: ['planned'],
  challenge: ['planned', 'crash', 'unreachable origin'],
  migrate: ['planned', 'crash', 'unreachable origin'],
  pull: ['planned', 'unreachable origin'],
  frozen: ['planned'],
  state: ['planned'],
  stateChunk: ['planned'],
  progress: ['unreachable origin'],
  needBody: ['crash', 'unreachable origin'],
  body: ['crash', 'unreachable origin'],
  refuse: ['unreachable origin'],
  abort: ['unreachable origin'],
  detach: ['unreachable origin'],
  detached: ['unreachable origin'],
  accept: ['planned', 'crash', 'unreachable origin'],
  confirm: ['planned', 'crash', 'unreachable origin'],
  confirmed: ['planned'],
  release: ['crash', 'unreachable origin'],
  support: ['planned', 'crash', 'unreachable origin'],
  snapshot: ['planned', 'crash', 'unreachable origin'],
  snapshotAck: ['planned', 'crash', 'unreachable origin'],
} as const satisfies Readonly<Record<string, readonly StepCause[]>>;

export type StepFrame = keyof typeof STEPS;

export interface StepPlan {
  readonly frame: StepFrame;
  readonly cause: StepCause;
  /** It happens as the frame arrives, before anybody has seen it; or when it was handled, and the answer is not out yet; or later. */
  readonly moment: 'before' | 'handled' | 'later';
  /** The first such frame, or a later one. */
  readonly count: number;
}

export interface FaultPlan {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** How long it lasts, or until what it took away is back. */
  readonly lastsMs: number;
  /** Index into the clients of the run. */
  readonly client: number;
  /** The server that serves that client, as a rule; else one by its index. */
  readonly server: 'serving' | number;
  /** Another server. */
  readonly other: number;
  readonly step: StepPlan | undefined;
  /** For whatever else it draws. */
  readonly seed: number;
}

/** The longest that a fault lasts, in ms. */
const MAX_FAULT_MS = 4000;

export function isStepFault(kind: FaultKind): boolean {
  return kind.endsWith('at a step');
}

export function drawFaults(
  draw: Draw,
  world: { names: readonly string[]; clients: readonly string[]; workMs: number; latencyMs: number },
): { faults: FaultPlan[]; endMs: number } {
  const count = draw.chance(0.04) ? 0 : draw.magnitude(1, 12);
  const weights = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, WEIGHTS[kind] ?? 1])) as Record<
    FaultKind,
    number
  >;
  const faults: FaultPlan[] = [];
  const firstMs = draw.chance(0.1) ? 0 : 4 * world.latencyMs;
  let endMs = world.workMs;
  // Some come close together, so that one falls into what another began.
  const isDense = draw.chance(0.5);
  let denseMs = firstMs + draw.between(0, world.workMs / 2);
  for (let i = 0; i < count; i += 1) {
    const kind = draw.weighted(weights);
    if (isDense) denseMs += draw.between(0, 6 * world.latencyMs);
    const atMs = isDense ? denseMs : firstMs + draw.between(0, world.workMs);
    const lastsMs = draw.magnitude(1, MAX_FAULT_MS);
    faults.push({
      kind,
      atMs,
      lastsMs,
      client: draw.whole(0, world.clients.length - 1),
      server: draw.chance(0.75) ? 'serving' : draw.whole(0, world.names.length - 1),
      other: draw.whole(0, world.names.length - 1),
      step: isStepFault(kind) ? drawStep(draw) : undefined,
      seed: draw.whole(0, 2 ** 32 - 1),
    });
    endMs = Math.max(endMs, atMs + lastsMs);
  }
  return { faults, endMs };
}

function drawStep(draw: Draw): StepPlan {
  const frame = draw.pick(Object.keys(STEPS) as StepFrame[]);
  return {
    frame,
    cause: draw.pick(STEPS[frame]),
    moment: draw.pick(['before', 'handled', 'later'] as const),
    count: draw.chance(0.8) ? 1 : draw.whole(2, 4),
  };
}
