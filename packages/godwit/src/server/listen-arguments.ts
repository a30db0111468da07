/** The overloads of net.Server#listen, as far as they concern us: the rest is handed on as it is. */
import type { EventEmitter } from 'node:events';
import { wrongType } from '../socket/argument-checks.ts';

export interface ListenRequest {
  /** What net's own `listen` gets: without the listener and the signal, which must not act behind our back. */
  readonly args: readonly unknown[];
  readonly listener: (() => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Throws ERR_INVALID_ARG_TYPE for a signal that is none. */
export function readListenArguments(given: readonly unknown[]): ListenRequest {
  const last = given.at(-1);
  const listener = typeof last === 'function' ? (last as () => void) : undefined;
  const args = listener === undefined ? [...given] : given.slice(0, -1);
  const [first] = args;
  // Only a plain object may be copied: a handle is more than its own properties.
  if (!isPlain(first)) return { args, listener, signal: undefined };
  const { signal, ...rest } = first as { signal?: AbortSignal };
  if (signal !== undefined && !isSignal(signal))
    throw wrongType('options.signal', 'an instance of AbortSignal', signal);
  return { args: [rest, ...args.slice(1)], listener, signal };
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isSignal(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'aborted' in value;
}

/** As net does with a `signal`. */
export function closeOnAbort(
  server: EventEmitter & { readonly close: () => unknown },
  signal: AbortSignal,
): void {
  const onAbort = (): void => void server.close();
  if (signal.aborted) process.nextTick(onAbort);
  else {
    signal.addEventListener('abort', onAbort, { once: true });
    server.once('close', () => signal.removeEventListener('abort', onAbort));
  }
}
