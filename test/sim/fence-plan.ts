/** Whether the servers of a seed have a fence, how they use it, and what goes wrong with it. */
import type { FenceConfig } from '../../packages/godwit/src/session/index.ts';
import type { FenceConditions } from '../world/virtual-fence.ts';
import { Draw } from './draw.ts';

/** One time in which the fence is not what it should be. */
export interface FenceFault {
  /** `away`: it can't be reached. `slow`: it answers, after so long. `mute`: it does as it is told, and says nothing. */
  readonly how: 'away' | 'slow' | 'mute';
  readonly atMs: number;
  readonly lastsMs: number;
  /** For this server alone; undefined for all. */
  readonly server: string | undefined;
}

export interface FencePlan {
  readonly config: FenceConfig;
  /** One way, in ms. */
  readonly latencyMs: number;
  readonly faults: readonly FenceFault[];
}

/** Share of the seeds that have a fence. */
const SHARE = 0.25;
/** What is drawn for the rest of a plan stays as it was; those seeds by which mutants are known to show have no fence. */
const SALT = 0xf00db;
const MAX_FAULT_MS = 4000;
/** One way, where the fence is slow, in ms: beyond half of its timeout no answer comes in time. */
const SLOW_MS = 700;

export function drawFence(
  seed: number,
  { names, endMs }: { readonly names: readonly string[]; readonly endMs: number },
): FencePlan | undefined {
  const draw = new Draw((seed ^ SALT) >>> 0);
  if (!draw.chance(SHARE)) return undefined;
  const faults = Array.from({ length: draw.chance(0.4) ? 0 : draw.magnitude(1, 6) }, (): FenceFault => {
    const lastsMs = draw.magnitude(1, MAX_FAULT_MS);
    return {
      how: draw.pick(['away', 'away', 'slow', 'mute'] as const),
      atMs: draw.between(0, Math.max(0, endMs - lastsMs)),
      lastsMs,
      server: draw.chance(0.5) ? draw.pick(names) : undefined,
    };
  });
  return {
    config: { mode: draw.chance(0.5) ? 'flag' : 'strict', floor: 'acknowledged' },
    latencyMs: draw.chance(0.4) ? 0 : draw.between(0.1, 8),
    faults,
  };
}

/** What holds at that time of the world. */
export function fenceConditions(
  plan: FencePlan,
  now: () => number,
  isHealed: () => boolean,
): FenceConditions {
  const isNow = (how: FenceFault['how'], server?: string): boolean =>
    !isHealed() &&
    plan.faults.some(
      (fault) =>
        fault.how === how &&
        now() >= fault.atMs &&
        now() < fault.atMs + fault.lastsMs &&
        (server === undefined || fault.server === undefined || fault.server === server),
    );
  return {
    latencyMs: () => (isNow('slow') ? SLOW_MS * ((now() % 7) / 7) : plan.latencyMs),
    isAway: (server) => isNow('away', server),
    losesAnswer: () => isNow('mute'),
  };
}
