/** `socket.setTimeout`: an event when nothing has been read or written for a while. */
import type { EventEmitter } from 'node:events';
import { argumentError } from '../errors.ts';
import { checkFunction, checkNumber } from './argument-checks.ts';

/** Longest timeout, in milliseconds: node takes longer ones for 1 ms. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

export class IdleTimer {
  readonly #socket: EventEmitter;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer was made for, in milliseconds. */
  #timerMs = 0;
  #isOn = false;

  constructor(socket: EventEmitter) {
    this.#socket = socket;
  }

  /** 0 turns it off, and the listener too. Throws what net throws. It keeps no process alive. */
  set(timeoutMs: number, listener?: () => void): void {
    checkNumber(timeoutMs, 'msecs');
    if (!(timeoutMs >= 0 && Number.isFinite(timeoutMs)))
      throw argumentError(
        RangeError,
        'ERR_OUT_OF_RANGE',
        `The value of "msecs" is out of range. It must be a non-negative finite number. Received ${timeoutMs}`,
      );
    if (timeoutMs === 0) this.#isOn = false;
    else this.#begin(Math.min(timeoutMs, TIMEOUT_MAX_MS));
    if (listener === undefined) return;
    checkFunction(listener, 'callback');
    if (timeoutMs === 0) this.#socket.removeListener('timeout', listener);
    else this.#socket.once('timeout', listener);
  }

  /** The timer there is may be used again: node:http turns it off with every request, and on again behind it. */
  #begin(timeoutMs: number): void {
    this.#isOn = true;
    if (this.#timer !== undefined && this.#timerMs === timeoutMs) {
      this.#timer.refresh();
      return;
    }
    clearTimeout(this.#timer);
    this.#timerMs = timeoutMs;
    this.#timer = setTimeout(() => {
      if (this.#isOn) this.#socket.emit('timeout');
    }, timeoutMs).unref();
  }

  /** Something was read or written. */
  refresh(): void {
    if (this.#isOn) this.#timer?.refresh();
  }

  stop(): void {
    this.#isOn = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
