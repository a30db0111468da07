/**
 * Which ends of a session are legitimate (invariant I6, docs/guarantees.md). A patient world's timers outlast its faults:
 * there, a session ends in an error only if an application wanted that, if it never came to be, or if it was unprotected
 * when its server was lost. In an impatient world timers may run out, and each code has what must have happened before.
 */
import type { Failure } from '../../packages/godwit/src/session/index.ts';
import type { ClientApplication } from './client-application.ts';

/** What the simulator knows of a session besides what its client says. */
export interface Circumstances {
  readonly client: ClientApplication;
  readonly isPatient: boolean;
  /** SUPPORT came. */
  readonly wasOpen: boolean;
  /** The server's application, along the surviving history, ended it. */
  readonly serverEnding: 'destroyed' | 'reset' | undefined;
  /** The server that had it was lost while it was unprotected, and not attached anew since. */
  readonly lostUnprotected: boolean;
  /** Some fault has begun. */
  readonly hasFaults: boolean;
}

/** Codes that say "nobody took the session over", in the words of net. */
const GAVE_UP = new Set(['ECONNRESET', 'ETIMEDOUT', 'ECONNREFUSED', 'ERR_GODWIT_TIMEOUT']);

/** Codes with which an impatient world's timers end a session. */
const RAN_OUT = new Set([
  ...GAVE_UP,
  'ERR_GODWIT_SESSION_ENDED',
  'ERR_GODWIT_TICKET_EXPIRED',
  'ERR_GODWIT_DIVERGED',
  'ERR_GODWIT_DRAINING',
]);

/** Why a session may not have ended so; undefined where it may. */
export function objectionTo(failure: Failure, circumstances: Circumstances): string | undefined {
  const { client, isPatient, wasOpen, serverEnding, lostUnprotected, hasFaults } = circumstances;
  const { code } = failure;
  if (client.ending === 'reset' && code === 'ECONNRESET') return undefined;
  if (serverEnding === 'reset' && (code === 'ECONNRESET' || code === 'ERR_GODWIT_SESSION_ENDED'))
    return undefined;
  if (!hasFaults) return 'nothing had happened';
  if (!wasOpen) return undefined;
  if (code === 'ERR_GODWIT_UNPROTECTED')
    return lostUnprotected ? undefined : 'it was protected, or its server lived';
  if (isPatient) return 'no timer could have run out';
  return RAN_OUT.has(code) ? undefined : 'no timer that ran out has this code';
}
