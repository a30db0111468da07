/** How a session dials its servers, from the options of `connect`. */
import type { DialOptions } from '../carriers/carrier.ts';
import type { ConnectOptions } from '../socket/connect-options.ts';

/** How standbys are dialled, and a name for it: only sessions that dial alike may share one. */
export interface StandbyDialing {
  readonly options: DialOptions;
  readonly key: string;
}

/** `unixSockets` where the application itself has named one. */
export function readDialOptions(
  options: ConnectOptions,
  { timeoutMs, unixSockets }: { timeoutMs: number; unixSockets: boolean },
): DialOptions {
  const { localAddress, localPort, family, hints, lookup, blockList } = options;
  const { autoSelectFamily, autoSelectFamilyAttemptTimeout } = options;
  return {
    timeoutMs,
    unixSockets,
    localAddress,
    localPort,
    family,
    hints,
    lookup,
    blockList,
    autoSelectFamily,
    autoSelectFamilyAttemptTimeout,
  };
}

/** As the session's other carriers, but from any port: two carriers can not have the same one. */
export function standbyDialing({ localPort: _localPort, ...options }: DialOptions): StandbyDialing {
  const values = Object.entries(options).map(([name, value]) =>
    typeof value === 'function' || (typeof value === 'object' && value !== null)
      ? [name, numberOf(value)]
      : [name, value],
  );
  return { options, key: JSON.stringify(values) };
}

const numbers = new WeakMap<object, number>();
let count = 0;

/** Tells functions and lists apart, which have no name. */
function numberOf(value: object): number {
  const number = numbers.get(value) ?? (count += 1);
  numbers.set(value, number);
  return number;
}
