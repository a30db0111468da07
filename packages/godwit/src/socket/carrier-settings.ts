/** What an application sets on its connection holds for the carrier under it, and for every later one. */
import { BUSY_POLL_US } from '../carriers/busy-poll.ts';
import type { Carrier, KeepAlive } from '../carriers/carrier.ts';
import type { SocketOptions } from './connect-options.ts';
import { keepAliveOf } from './net-habits.ts';

/** Settings of carriers; what is missing stays as it is. */
export interface CarrierOptions {
  readonly noDelay?: boolean;
  readonly keepAlive?: KeepAlive;
  readonly typeOfService?: number;
  /** Of `Carrier.setBusyPoll`, in milliseconds. */
  readonly busyPollMs?: number;
  /** Whether a carrier keeps the process alive. */
  readonly referenced?: boolean;
}

const NONE: CarrierOptions = {};
/** Of most sockets: shared, since each has its own otherwise, and its port another. */
const DEFAULTS: CarrierOptions = { busyPollMs: BUSY_POLL_US / 1_000 };

export class CarrierSettings {
  #options = NONE;

  /** Remembers the options and applies them to the carriers there are. Throws what one of them throws. */
  change(options: CarrierOptions, carriers: Iterable<Carrier>): void {
    this.#options = this.#options === NONE ? options : { ...this.#options, ...options };
    for (const carrier of carriers) apply(options, carrier);
  }

  /** Gives a new carrier all that was ever set. It is healthy also where the system refuses a type of service. */
  applyTo(carrier: Carrier): void {
    const { typeOfService, ...options } = this.#options;
    apply({ referenced: true, ...options }, carrier);
    try {
      apply({ ...(typeOfService !== undefined && { typeOfService }) }, carrier);
    } catch {
      // As with net on Windows: best effort.
    }
  }

  get isReferenced(): boolean {
    return this.#options.referenced !== false;
  }

  get typeOfService(): number {
    return this.#options.typeOfService ?? 0;
  }
}

/** What of a socket's options is the carriers'. */
export function carrierOptionsOf(options: SocketOptions): CarrierOptions {
  const { noDelay, keepAlive, keepAliveInitialDelay, typeOfService, busyPollUs } = options;
  const given = {
    ...(noDelay !== undefined && { noDelay: Boolean(noDelay) }),
    ...(keepAlive && { keepAlive: keepAliveOf(true, keepAliveInitialDelay) }),
    ...(typeOfService !== undefined && { typeOfService }),
    ...(busyPollUs !== undefined && { busyPollMs: busyPollUs / 1_000 }),
  };
  return Object.keys(given).length === 0 ? DEFAULTS : { ...DEFAULTS, ...given };
}

function apply(
  { noDelay, keepAlive, typeOfService, busyPollMs, referenced }: CarrierOptions,
  carrier: Carrier,
): void {
  if (noDelay !== undefined) carrier.setNoDelay(noDelay);
  if (keepAlive !== undefined) carrier.setKeepAlive(keepAlive);
  if (busyPollMs !== undefined) carrier.setBusyPoll(busyPollMs);
  if (referenced === true) carrier.ref();
  else if (referenced === false) carrier.unref();
  if (typeOfService !== undefined) carrier.typeOfService = typeOfService;
}
