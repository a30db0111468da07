/** Moving every session of a server away (protocol.md §10.2). */
import { GodwitError } from '../errors.ts';
import type { ServerInput } from '../socket/connect-options.ts';
import type { Server } from './server.ts';
import type { ServerSocket } from './server-socket.ts';

/** When to stop waiting for sessions to move, in milliseconds. */
const DRAIN_TIMEOUT_MS = 30_000;
/** Sessions asked to move at once: others go on undisturbed meanwhile. */
const AT_ONCE = 64;
/** How often a session that could not move is asked again. */
const ATTEMPTS_MAX = 5;
/** Between two attempts of a session, in milliseconds. */
const RETRY_MS = 200;

/** Options of `Server#drain`. */
export interface DrainOptions {
  /** When to stop waiting, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Where all sessions are to go. Default: spread over the other members. */
  readonly to?: ServerInput;
}

export async function drain(
  server: Server,
  members: readonly string[],
  options: DrainOptions,
): Promise<number> {
  const queue = [...server.sessions];
  const timeout = AbortSignal.timeout(options.timeoutMs ?? DRAIN_TIMEOUT_MS);
  let moved = 0;
  let next = 0;
  // One after the other, so that load spreads, and a session that was refused by one goes to another.
  const choose = (): ServerInput | undefined => options.to ?? members[next++ % Math.max(members.length, 1)];
  const work = async (): Promise<void> => {
    for (let socket = queue.shift(); socket !== undefined; socket = queue.shift()) {
      if (await moveAway(socket, choose, timeout)) moved += 1;
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, work));
  return moved;
}

async function moveAway(
  socket: ServerSocket,
  choose: () => ServerInput | undefined,
  timeout: AbortSignal,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX && !timeout.aborted; attempt += 1) {
    if (socket.destroyed) return false;
    const to = choose();
    try {
      await abortable(socket.migrate(to === undefined ? {} : { to }), timeout);
      return true;
    } catch (error) {
      if ((error as GodwitError).code === 'ERR_GODWIT_MOVED') return true; // elsewhere, but away
      await abortable(new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref()), timeout).catch(
        () => undefined,
      );
    }
  }
  return false;
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new GodwitError('ERR_GODWIT_TIMEOUT', 'the drain took too long'));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
