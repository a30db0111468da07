/**
 * Which ends of a session in an error are legitimate (invariant I6, docs/guarantees.md). A patient world's timers outlast
 * its faults. There a session ends in an error only if
 *
 * - an application wanted that: it reset the session;
 * - it never came to be: no server answered its OPEN while the world was disturbed, or none had room;
 * - it was unprotected when its server lost its memory, and says just that;
 * - its application diverged, in `replay` mode: its output is not a function of its input;
 * - at every server a stranger had opened a session of the same id, with what it overheard (protocol.md §16).
 *
 * In an impatient world timers are short. There a session may also end because one ran out; then it must have had the time
 * to, the world must have been disturbed meanwhile or too far apart for two attaches, and the code must be that timer's.
 */
import type { Failure } from '../../packages/godwit/src/session/index.ts';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import type { ClientApplication } from './client-application.ts';
import type { Disturbances } from './disturbances.ts';
import type { Plan } from './plan.ts';

/** What the simulator knows of a session besides what its client says. */
export interface Circumstances {
  readonly plan: Plan;
  readonly client: ClientApplication;
  readonly disturbances: Disturbances;
  /** SUPPORT came. */
  readonly wasOpen: boolean;
  /** The server's application, along the surviving history, ended it. */
  readonly serverEnding: 'destroyed' | 'reset' | undefined;
  /** The server that had it lost its memory, or its copy, while it was unprotected; and no other has taken it since. */
  readonly lostUnprotected: boolean;
  /** Since when it has no server, in ms of the world; undefined while it has one. */
  readonly lostAtMs: number | undefined;
  readonly nowMs: number;
  /** At every server that lives, a stranger has a session of the same id. */
  readonly isShutOut: boolean;
}

/** Clocks run up to 2 % fast, and the last answer takes its time to come. */
const CLOCK_TOLERANCE = 0.97;

/** An attach from nothing: there and back for the carrier, for the preface and for MIGRATE. */
const ATTACH_LATENCIES = 6;

/** Codes that say "nobody took the session over", in the words of net. */
export const GAVE_UP: ReadonlySet<string> = new Set(['ECONNRESET', 'ETIMEDOUT', 'ECONNREFUSED']);

/** Why a session may not have ended so; undefined where it may. */
export function objectionTo({ code }: Failure, circumstances: Circumstances): string | undefined {
  const { plan, client, disturbances, wasOpen, serverEnding, lostUnprotected } = circumstances;
  if (client.ending === 'reset' && code === 'ECONNRESET') return undefined;
  if (serverEnding === 'reset' && (code === 'ECONNRESET' || code === 'ERR_GODWIT_SESSION_ENDED'))
    return undefined;
  if (!wasOpen) return objectionToOpening(code, circumstances);
  if (!disturbances.since(-Infinity)) return 'nothing had happened';
  if (circumstances.isShutOut && GAVE_UP.has(code)) return undefined;
  // A server that ended it for this cannot say so twice: where its word was lost, the next one only says that it is over.
  if (mayDiverge(client, plan) && code === 'ERR_GODWIT_SESSION_ENDED') return undefined;
  if (code === 'ERR_GODWIT_DIVERGED')
    return mayDiverge(client, plan) || mayBeTooSlow(client, plan)
      ? undefined
      : 'its output is a function of its input';
  if (code === 'ERR_GODWIT_UNPROTECTED') {
    if (lostUnprotected) return undefined;
    // Its server has it still, and was not heard of in time: then this is what all the others said.
    const isProtected = client.client.session.isProtected;
    return isProtected || plan.isPatient
      ? 'it was protected, or its server had it still'
      : objectionToTimer('ETIMEDOUT', circumstances);
  }
  return plan.isPatient ? 'no timer could have run out' : objectionToTimer(code, circumstances);
}

/** The output of its application differs from one execution to the next, though it must not. */
export function mayDiverge(client: Pick<ClientApplication, 'plan'>, plan: Plan): boolean {
  return plan.delivery === Delivery.Replay && client.plan.application.leavesToChance;
}

/** Its application may pause for longer than a server waits for it to re-create its output. */
function mayBeTooSlow({ plan: { application } }: ClientApplication, { servers }: Plan): boolean {
  const longestMs = Math.max(application.writePauseMs, application.readPauseMs);
  return servers.some(({ timers }) => longestMs >= (timers.replayTimeoutMs ?? Infinity) * CLOCK_TOLERANCE);
}

function objectionToOpening(code: string, { plan, disturbances }: Circumstances): string | undefined {
  const isFull =
    code === 'ERR_GODWIT_BUSY' && plan.servers.some(({ limits }) => limits.maxSessions !== undefined);
  return isFull || disturbances.since(-Infinity) ? undefined : 'a whole world did not let it begin';
}

function objectionToTimer(code: string, circumstances: Circumstances): string | undefined {
  const { plan, client, disturbances, lostAtMs, nowMs } = circumstances;
  const { giveUpTimeoutMs = 0, giveUpSingleServerMs = 0 } = client.plan.timers;
  const isSingle = client.client.session.servers.length < 2;
  if (GAVE_UP.has(code)) {
    const limitMs = isSingle ? giveUpSingleServerMs : giveUpTimeoutMs;
    if (lostAtMs === undefined) return 'it had a server';
    if (nowMs - lostAtMs < limitMs * CLOCK_TOLERANCE) return 'its time was not over';
    const longestMs = plan.network.latencyMs * (1 + plan.network.jitter);
    const isTooFar = limitMs < 2 * ATTACH_LATENCIES * longestMs;
    return isTooFar || disturbances.since(lostAtMs) ? undefined : 'the world was whole all the time';
  }
  const shortest = (timer: 'lingerMs' | 'ticketLifetimeMs' | 'replayTimeoutMs'): number =>
    Math.min(...plan.servers.map(({ timers }) => timers[timer] ?? Infinity));
  switch (code) {
    case 'ERR_GODWIT_SESSION_ENDED':
      return nowMs >= shortest('lingerMs') * CLOCK_TOLERANCE
        ? undefined
        : 'no server could have let go of it';
    case 'ERR_GODWIT_TICKET_EXPIRED':
      return shortest('ticketLifetimeMs') < Infinity ? undefined : 'tickets last for an hour';
    default:
      return 'no timer has this code';
  }
}
