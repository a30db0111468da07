/**
 * Client-side triggers (paper §3.3, protocol.md §10.3): a detector looks at a session's vital signs and says when the
 * present server no longer serves well. What its answer leads to, and how often, is the session's business (hysteresis
 * and budget), so that nothing ping-pongs.
 */
import { Cause } from '../wire/index.ts';

/** Vital signs of a session; all times in milliseconds. */
export interface VitalSigns {
  readonly now: number;
  /** Smoothed round-trip time, or undefined before the first measurement. */
  readonly roundTripMs: number | undefined;
  /** The latest single round-trip time. */
  readonly lastRoundTripMs: number | undefined;
  /** How long an answer is overdue: input unacknowledged or PING unanswered, and nothing came since; 0 when none is. */
  readonly waitingMs: number;
  /** Output bytes received since the session began. */
  readonly receivedBytes: number;
  /** Output received but not taken by the application: then it is the application that is slow. */
  readonly unreadBytes: number;
  /** Since the present server took the session. */
  readonly attachedMs: number;
}

export interface Detector {
  readonly cause: Cause;
  /** When set, the session sends a PING so often, in ms, for `roundTripMs` to be fresh. */
  readonly pingIntervalMs?: number;
  /** It looks at `waitingMs` alone, so that it need not be called while no answer is outstanding. */
  readonly whileWaiting?: boolean;
  /** True to ask for a migration. Called every `detectIntervalMs` while the session is attached and bytes move. */
  check(signs: VitalSigns): boolean;
  /** The session moved: forget what was learned of the old server. */
  reset(): void;
}

export interface StallOptions {
  /** Never sooner than this, in ms. Default 1,000. */
  minMs?: number;
  /** Never later than this, in ms. Default 10,000. */
  maxMs?: number;
  /** So many round trips without an answer are a stall. Default 16. */
  roundTrips?: number;
}

/** No progress while an answer is outstanding, adaptive to the measured round trip. On by default. */
export function stallDetector(options: StallOptions = {}): Detector {
  const { minMs = 1000, maxMs = 10_000, roundTrips = 16 } = options;
  return {
    cause: Cause.Stall,
    whileWaiting: true,
    check: (signs) =>
      signs.waitingMs >=
      Math.min(maxMs, Math.max(minMs, roundTrips * (signs.roundTripMs ?? minMs / roundTrips))),
    reset: () => undefined,
  };
}

export interface ThroughputOptions {
  /** A floor, in bytes per second. Default 0. */
  minBytesPerSecond?: number;
  /** A floor as a share of the session's own best second, 0 … 1. Default 0. */
  shareOfBest?: number;
  /** The floor must be missed for so long, in ms. Default 3,000. */
  holdMs?: number;
}

/** Output throughput below a floor, or below a share of its own history, for a while. */
export function throughputDetector(options: ThroughputOptions): Detector {
  const { minBytesPerSecond = 0, shareOfBest = 0, holdMs = 3000 } = options;
  let last: { at: number; bytes: number } | undefined;
  let best = 0;
  let belowSince: number | undefined;
  return {
    cause: Cause.Throughput,
    check: (signs) => {
      last ??= { at: signs.now, bytes: signs.receivedBytes };
      const elapsed = signs.now - last.at;
      if (elapsed < 1000) return belowSince !== undefined && signs.now - belowSince >= holdMs;
      const rate = ((signs.receivedBytes - last.bytes) * 1000) / elapsed;
      last = { at: signs.now, bytes: signs.receivedBytes };
      const floor = Math.max(minBytesPerSecond, best * shareOfBest);
      best = Math.max(best, rate);
      if (rate >= floor || signs.unreadBytes > 0) belowSince = undefined;
      else belowSince ??= signs.now - elapsed;
      return belowSince !== undefined && signs.now - belowSince >= holdMs;
    },
    reset: () => {
      last = undefined;
      belowSince = undefined;
    },
  };
}

export interface PingOptions {
  /** Highest round-trip time that is still good, in ms. */
  maxMs: number;
  /** Consecutive measurements above it. Default 3. */
  times?: number;
  /** Between two PINGs, in ms. Default 1,000. */
  intervalMs?: number;
}

/** Round-trip time of PING above a limit several times in a row. */
export function pingDetector(options: PingOptions): Detector {
  const { maxMs, times = 3, intervalMs = 1000 } = options;
  let above = 0;
  let seen: number | undefined;
  return {
    cause: Cause.PingRtt,
    pingIntervalMs: intervalMs,
    check: (signs) => {
      if (signs.lastRoundTripMs !== undefined && signs.lastRoundTripMs !== seen) {
        seen = signs.lastRoundTripMs;
        above = seen > maxMs ? above + 1 : 0;
      } else if (signs.waitingMs > maxMs) above = Math.max(above, Math.floor(signs.waitingMs / maxMs));
      return above >= times;
    },
    reset: () => {
      above = 0;
      seen = undefined;
    },
  };
}

/** It remembers nothing, so all sessions share it. */
const DEFAULT_STALL = stallDetector();

/** What a session uses unless told otherwise. */
export function defaultDetectors(): Detector[] {
  return [DEFAULT_STALL];
}
