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
/**
 * When a session that is still here is asked to go to the next server, in milliseconds: its client says nothing of a server that
 * it could not reach. A move that takes longer, and comes to its end behind that, counts all the same.
 */
const ATTEMPT_MS = 2_000;

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
  const inTurn = (): string | undefined => members[next++ % Math.max(members.length, 1)];
  const choose = (failed: ServerInput | undefined): ServerInput | undefined => {
    if (options.to !== undefined) return options.to;
    const member = inTurn();
    return member === failed ? inTurn() : member;
  };
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
  choose: (failed: ServerInput | undefined) => ServerInput | undefined,
  timeout: AbortSignal,
): Promise<boolean> {
  let hasMoved = false;
  let to: ServerInput | undefined;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && !timeout.aborted; attempt += 1) {
    if (hasMoved || socket.destroyed) return hasMoved;
    to = choose(to);
    const move = socket.migrate(to === undefined ? {} : { to }).then(
      () => {
        hasMoved = true;
      },
      (error: unknown) => {
        hasMoved ||= (error as GodwitError).code === 'ERR_GODWIT_MOVED'; // elsewhere, but away
        if (!hasMoved) throw error;
      },
    );
    try {
      await abortable(move, AbortSignal.any([timeout, AbortSignal.timeout(ATTEMPT_MS)]));
      return true;
    } catch {
      await abortable(new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref()), timeout).catch(
        () => undefined,
      );
    }
  }
  return hasMoved;
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
