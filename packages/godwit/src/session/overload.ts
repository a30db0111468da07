/**
 * When a server has too much to do, as a policy: it sees how the server stands, and says how far to go; how that is done is
 * not its business (protocol.md §10.11).
 */

/** How a server stands. */
export interface ServerLoad {
  /** Sessions that live here. */
  readonly sessions: number;
  /** Open connections of clients that do not speak Godwit. */
  readonly plain: number;
  /** What sessions and they hold, in bytes, and `limits.maxMemoryBytes`; 0 of that is no limit. */
  readonly memoryBytes: number;
  readonly maxMemoryBytes: number;
  /** Peers that have settled nothing yet, and `limits.maxHalfOpen`. */
  readonly halfOpen: number;
  readonly maxHalfOpen: number;
  /** How late the event loop was, 99th percentile since the last look, in milliseconds; 0 where the policy does not ask for it. */
  readonly eventLoopDelayMs: number;
}

/**
 * How far to go; each step includes those before it.
 * - `none`: all is well.
 * - `shed`: sessions are sent to other servers by TRIGGER, those that hold most first.
 * - `refuse`: OPEN, and MIGRATE of sessions from elsewhere, are refused with `Busy`, "try elsewhere".
 * - `end`: sessions and plain connections end here, until the others are within the limit: always the
 *   largest of the address that holds most in all.
 */
export type Relief = 'none' | 'shed' | 'refuse' | 'end';

export interface OverloadPolicy {
  /** Whether `eventLoopDelayMs` is to be measured. */
  readonly measuresEventLoop: boolean;
  /** Called several times a second while there is anything to look at; `before` is what it answered last. */
  judge(load: ServerLoad, before: Relief): Relief;
  /** Who ends first: see `OverloadOptions`. Default 'address'. */
  readonly endBy?: EndBy | undefined;
}

export type EndBy = 'address' | 'connection';

export interface OverloadOptions {
  /** Share of a limit (`maxMemoryBytes`, `maxHalfOpen`) from which on sessions are sent elsewhere. Default 0.5; 0 … 1. */
  readonly shedAt?: number;
  /** Share from which on new sessions are refused. Default 0.75; `shedAt` … 1. */
  readonly refuseAt?: number;
  /**
   * Delay of the event loop from which on sessions are sent elsewhere, in milliseconds; from twice as much, new ones are
   * refused. Default: not measured.
   */
  readonly eventLoopDelayMs?: number;
  /**
   * Who ends first where memory is over its limit. `address` (default): the largest session or plain connection of the address
   * that holds most in all (of IPv6, a network of 64 bits), so that nobody drives others out by having many small ones; many
   * clients behind one NAT are one to it. `connection`: the largest, whoever has it.
   */
  readonly endBy?: EndBy;
}

/** A step is taken back only when its measure is so far below what made it be taken: a server at the mark must not waver. */
const BACK_AT = 0.8;

const END_BY: readonly EndBy[] = ['address', 'connection'];
const STEPS: readonly Relief[] = ['none', 'shed', 'refuse', 'end'];

/** The default policy: shares of the server's own limits. Throws `RangeError` for options that make no sense. */
export function overloadPolicy(options: OverloadOptions = {}): OverloadPolicy {
  const { shedAt = 0.5, refuseAt = 0.75, eventLoopDelayMs, endBy = 'address' } = options;
  if (!(shedAt > 0 && shedAt <= refuseAt && refuseAt <= 1))
    throw new RangeError(`0 < shedAt <= refuseAt <= 1, but they are ${shedAt} and ${refuseAt}`);
  if (eventLoopDelayMs !== undefined && !(Number.isFinite(eventLoopDelayMs) && eventLoopDelayMs > 0))
    throw new RangeError(`eventLoopDelayMs is a number above 0, and not ${String(eventLoopDelayMs)}`);
  if (!END_BY.includes(endBy))
    throw new RangeError(`endBy is ${END_BY.join(' or ')}, and not ${String(endBy)}`);
  const stepFor = (load: ServerLoad, factor: number): number => {
    const memory = load.maxMemoryBytes === 0 ? 0 : load.memoryBytes / load.maxMemoryBytes;
    const share = Math.max(memory, load.halfOpen / load.maxHalfOpen);
    const delays = eventLoopDelayMs === undefined ? 0 : load.eventLoopDelayMs / eventLoopDelayMs;
    if (memory >= factor) return 3;
    if (share >= refuseAt * factor || delays >= 2 * factor) return 2;
    return share >= shedAt * factor || delays >= factor ? 1 : 0;
  };
  return {
    measuresEventLoop: eventLoopDelayMs !== undefined,
    endBy,
    judge: (load, before) => {
      const up = stepFor(load, 1);
      const down = Math.min(STEPS.indexOf(before), stepFor(load, BACK_AT));
      return STEPS[Math.max(up, down)] as Relief;
    },
  };
}
