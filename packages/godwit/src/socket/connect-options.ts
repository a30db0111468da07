/** What `connect` takes: the overloads of net.connect, and the options of a session. */
import type { LookupFunction } from 'node:net';
import type { Transport } from '../carriers/carrier.ts';
import type { Detector } from '../session/index.ts';
import type { Candidate } from '../session/client-events.ts';
import { GodwitError, argumentError } from '../errors.ts';

/** An address as `'host:port'`, `'[::1]:port'` or its parts; `name` is the server's, where it is known. */
export type ServerInput = string | { readonly host: string; readonly port: number; readonly name?: string };

/** Options of `new Socket()`: those of net.Socket. */
export interface SocketOptions {
  /** Default false: the socket ends its side when the peer has ended its own. */
  readonly allowHalfOpen?: boolean;
  /** Bytes the stream buffers in each direction before it asks to wait. Default 65,536. */
  readonly highWaterMark?: number;
  /** The same for reading alone. */
  readonly readableHighWaterMark?: number;
  /** The same for writing alone. */
  readonly writableHighWaterMark?: number;
  /** Default true, unlike net: carriers batch by themselves. */
  readonly noDelay?: boolean;
  /** Of the carriers. Default false. */
  readonly keepAlive?: boolean;
  /** Milliseconds. Default 0: the operating system's. */
  readonly keepAliveInitialDelay?: number;
  /** Destroys the socket when aborted. */
  readonly signal?: AbortSignal;
  /** Where it is stored net's way: not supported, throws ERR_GODWIT_UNSUPPORTED. */
  readonly onread?: unknown;
}

/** Options of `connect`. One of `port` and `servers` is required. */
export interface ConnectOptions extends SocketOptions {
  /** 0 … 65,535, or its decimal text. */
  readonly port?: number | string;
  /** Default `localhost`. */
  readonly host?: string;
  /** The servers to try, in order; with `port` too, that one is first. More come from the server. */
  readonly servers?: readonly ServerInput[];
  /** Not supported: throws ERR_GODWIT_UNSUPPORTED. */
  readonly path?: string;
  /** As in net, for every carrier. */
  readonly localAddress?: string;
  /** As in net, for every carrier; two carriers at once cannot have it. */
  readonly localPort?: number;
  /** As in net: 4, 6, or 0 for both. Default 0. */
  readonly family?: number;
  /** As in net. Default node's `dns.lookup`. */
  readonly lookup?: LookupFunction;
  /** As `setTimeout` after creation, in milliseconds. */
  readonly timeout?: number;
  /** The service to ask for, ≤ 64 bytes. Default ''. */
  readonly service?: string;
  /** When to give up without any server, in milliseconds. Default 10,000. Range 100 … 3,600,000. */
  readonly giveUpTimeoutMs?: number;
  /** Keeps idle carriers to other servers ready. Default true. */
  readonly standby?: boolean;
  /** Standby carriers of one session, at most. Default 2. Range 0 … 8. */
  readonly maxStandbys?: number;
  /** Makes what decides that the server is no good, anew for each session. Default: carrier errors and stalls. */
  readonly detectors?: () => readonly Detector[];
  /** How to reach servers. Default TCP. */
  readonly transport?: Transport;
}

export interface ConnectRequest {
  readonly options: ConnectOptions;
  readonly servers: readonly Candidate[];
  readonly listener: (() => void) | undefined;
}

const PORT_MAX = 65_535;

/** Reads the arguments of `connect` as net does. Throws what net throws, and ERR_GODWIT_UNSUPPORTED for a path. */
export function readConnectArguments(args: readonly unknown[]): ConnectRequest {
  const [first, second] = args;
  const last = args.at(-1);
  const listener = typeof last === 'function' ? (last as () => void) : undefined;
  let options: ConnectOptions;
  if (Array.isArray(first)) {
    // net's own normalised arguments, as tls and http hand them on.
    return readConnectArguments(first.filter((part) => part !== null));
  } else if (typeof first === 'object' && first !== null) options = first;
  else if (typeof first === 'string' && !isPort(first)) options = { path: first };
  else if (first === undefined || typeof first === 'function') options = {};
  else options = { port: first as number, ...(typeof second === 'string' ? { host: second } : {}) };

  if (options.path != null) {
    throw new GodwitError(
      'ERR_GODWIT_UNSUPPORTED',
      `a path ("${options.path}") names no server that a session could move to`,
    );
  }
  return { options, servers: candidatesOf(options), listener };
}

function candidatesOf(options: ConnectOptions): Candidate[] {
  const { port, host, servers = [] } = options;
  if (port === undefined && servers.length === 0) {
    throw argumentError(
      TypeError,
      'ERR_MISSING_ARGS',
      'The "options" or "port" or "servers" argument must be specified',
    );
  }
  const candidates = servers.map(readServer);
  if (port !== undefined) {
    if (host !== undefined && typeof host !== 'string') {
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        `The "options.host" property must be of type string. Received ${typeof host}`,
      );
    }
    candidates.unshift({ name: '', host: host || 'localhost', port: readPort(port) });
  }
  return candidates;
}

/** Throws a coded TypeError or RangeError for what is no address. */
export function readServer(input: ServerInput): Candidate {
  if (typeof input === 'object' && input !== null) {
    if (typeof input.host !== 'string' || input.host === '')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        'A server\'s "host" must be a non-empty string.',
      );
    return { name: input.name ?? '', host: input.host, port: readPort(input.port) };
  }
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(input);
  if (match === null)
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_VALUE',
      `A server is 'host:port', not '${String(input)}'.`,
    );
  return { name: '', host: (match[1] ?? match[2]) as string, port: readPort(match[3]) };
}

function isPort(text: string): boolean {
  return text.trim() !== '' && Number(text) >= 0;
}

function readPort(port: unknown): number {
  if (typeof port !== 'number' && typeof port !== 'string') {
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_TYPE',
      `The "options.port" property must be one of type number or string. Received ${typeof port}`,
    );
  }
  const value = typeof port === 'string' && port.trim() === '' ? NaN : Number(port);
  if (!Number.isInteger(value) || value < 0 || value > PORT_MAX) {
    throw argumentError(
      RangeError,
      'ERR_SOCKET_BAD_PORT',
      `Port should be >= 0 and < 65536. Received ${typeof port} (${String(port)}).`,
    );
  }
  return value;
}
