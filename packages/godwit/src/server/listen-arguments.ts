/** The overloads of net.Server#listen, as far as they concern us: the rest is handed on as it is. */
import { GodwitError } from '../errors.ts';

export interface ListenRequest {
  /** What net's own `listen` gets: without the listener and the signal, which must not act behind our back. */
  readonly args: readonly unknown[];
  readonly listener: (() => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Throws ERR_GODWIT_UNSUPPORTED for a path: no other server could take a session over from there. */
export function readListenArguments(given: readonly unknown[]): ListenRequest {
  const last = given.at(-1);
  const listener = typeof last === 'function' ? (last as () => void) : undefined;
  const args = listener === undefined ? [...given] : given.slice(0, -1);
  const [first] = args;
  if (typeof first === 'string' && !(Number(first) >= 0)) throw noPath(first);
  if (typeof first !== 'object' || first === null) return { args, listener, signal: undefined };
  const { signal, path, ...rest } = first as { signal?: AbortSignal; path?: string };
  if (path != null && !('port' in rest)) throw noPath(path);
  // Only a plain object may be copied: a handle is more than its own properties.
  const isPlain = Object.getPrototypeOf(first) === Object.prototype || Object.getPrototypeOf(first) === null;
  return { args: isPlain ? [rest, ...args.slice(1)] : args, listener, signal };
}

function noPath(path: string): GodwitError {
  return new GodwitError(
    'ERR_GODWIT_UNSUPPORTED',
    `a path ("${path}") is no address that a client elsewhere could reach`,
  );
}
