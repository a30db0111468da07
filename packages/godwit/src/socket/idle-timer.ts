/** `socket.setTimeout`: an event when nothing has been read or written for a while. */
import { argumentError } from '../errors.ts';

/** Longest timeout, in milliseconds: node takes longer ones for 1 ms. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

export class IdleTimer {
  readonly #onIdle: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** 0 turns it off. Throws what net throws. It keeps no process alive. */
  set(timeoutMs: unknown): void {
    if (typeof timeoutMs !== 'number')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        `The "msecs" argument must be of type number. Received ${typeof timeoutMs}`,
      );
    if (!(timeoutMs >= 0 && Number.isFinite(timeoutMs)))
      throw argumentError(
        RangeError,
        'ERR_OUT_OF_RANGE',
        `The value of "msecs" is out of range. It must be a non-negative finite number. Received ${timeoutMs}`,
      );
    this.stop();
    if (timeoutMs > 0) this.#timer = setTimeout(this.#onIdle, Math.min(timeoutMs, TIMEOUT_MAX_MS)).unref();
  }

  /** Something was read or written. */
  refresh(): void {
    this.#timer?.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
