/** The clocks of one process: they need not agree with those of others, nor run as fast. */
export interface NodeClock {
  /** Monotonic milliseconds at that time of the world. */
  monotonic(worldMs: number): number;
  /** The world's time at which the monotonic clock shows so much, or a moment later: never before. */
  worldTime(monotonicMs: number): number;
  /** Milliseconds since 1970. */
  wall(worldMs: number): number;
}

/** Milliseconds since 1970 at the beginning of the world. */
export const WORLD_EPOCH_MS = 1_700_000_000_000;

/** Rounding must not make a timer fire before its time. */
const ROUNDING_MS = 1e-6;

/** A clock that shows the world's time. */
export const WORLD_CLOCK: NodeClock = {
  monotonic: (worldMs) => worldMs,
  worldTime: (monotonicMs) => monotonicMs,
  wall: (worldMs) => WORLD_EPOCH_MS + worldMs,
};

export class SkewedClock implements NodeClock {
  readonly #offsetMs: number;
  readonly #rate: number;
  /** May be set anew, as an administrator or NTP does. */
  wallSkewMs: number;

  constructor(options: { offsetMs: number; rate: number; wallSkewMs: number }) {
    this.#offsetMs = options.offsetMs;
    this.#rate = options.rate;
    this.wallSkewMs = options.wallSkewMs;
  }

  monotonic(worldMs: number): number {
    return this.#offsetMs + worldMs * this.#rate;
  }
  worldTime(monotonicMs: number): number {
    return (monotonicMs - this.#offsetMs) / this.#rate + ROUNDING_MS;
  }
  wall(worldMs: number): number {
    return WORLD_EPOCH_MS + worldMs + this.wallSkewMs;
  }
}
