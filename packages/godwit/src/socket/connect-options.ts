/** What `connect` takes: the overloads of net.connect, and the options of a session. */
import { isIP, type BlockList, type LookupFunction, type OnReadOpts } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { parseAddress, unixAddress } from '../carriers/address.ts';
import type { Transport } from '../carriers/carrier.ts';
import type { Detector } from '../session/index.ts';
import type { Candidate } from '../session/client-events.ts';
import { argumentError } from '../errors.ts';
import { checkOptionNames, type OptionOrigin } from './option-names.ts';
import { checkBoolean, checkFunction, checkInteger, checkNumber, wrongType } from './argument-checks.ts';

/** An address as `'host:port'`, `'[::1]:port'`, `'unix:/path'` or its parts; `name` is the server's, where it is known. */
export type ServerInput = string | { readonly host: string; readonly port: number; readonly name?: string };

/** Options of `new Socket()`: those of net.Socket. */
export interface SocketOptions {
  /** Default false: the socket ends its side when the peer has ended its own. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Bytes the stream buffers in each direction before it asks to wait. Default 65,536. */
  readonly highWaterMark?: number | undefined;
  /** The same for reading alone. */
  readonly readableHighWaterMark?: number | undefined;
  /** The same for writing alone. */
  readonly writableHighWaterMark?: number | undefined;
  /** Default true, unlike net: carriers batch by themselves. */
  readonly noDelay?: boolean | undefined;
  /** Of the carriers. Default false. */
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds. Default 0: the operating system's. */
  readonly keepAliveInitialDelay?: number | undefined;
  /** Of the carriers' packets, 0 … 255. Default 0. */
  readonly typeOfService?: number | undefined;
  /**
   * For how long the process may look for what comes behind a small write before it sleeps, in microseconds, where that has come as
   * quickly as that, and no other process needs the processor: it is awake then, which is worth tens of microseconds to both ends.
   * 0: not at all. Default 100, or 0 on a machine with one processor. Range 0 … 1,000. It is the process that looks, for all of
   * its sockets together.
   */
  readonly busyPollUs?: number | undefined;
  /** Destroys the socket when aborted. */
  readonly signal?: AbortSignal | undefined;
  /**
   * As in net: incoming bytes are copied into `buffer`, or into what it answers, and `callback` is told how many. No 'data'
   * then; the callback pauses by answering false.
   */
  readonly onread?: OnReadOpts | undefined;
  /** As in net, for every carrier: an address on the list is never dialled, ERR_IP_BLOCKED. */
  readonly blockList?: BlockList | undefined;
}

/** Options of `connect`. One of `port`, `path` and `servers` is required. */
export interface ConnectOptions extends SocketOptions {
  /** 0 … 65,535, or its decimal text. */
  readonly port?: number | string | undefined;
  /** Default `localhost`. */
  readonly host?: string | undefined;
  /** The servers to try, in order; with `port` or `path` too, that one is first. More come from the server. */
  readonly servers?: readonly ServerInput[] | undefined;
  /** As in net: of a Unix socket (on Windows, a named pipe). `port` and `host` are not looked at then. */
  readonly path?: string | undefined;
  /** As in net, for every carrier. */
  readonly localAddress?: string | undefined;
  /** As in net, for every carrier; two carriers at once cannot have it. */
  readonly localPort?: number | undefined;
  /** As in net: 4, 6, or 0 for both. Default 0. */
  readonly family?: number | undefined;
  /** As in net: of `dns.lookup`. */
  readonly hints?: number | undefined;
  /** As in net. Default node's `dns.lookup`. */
  readonly lookup?: LookupFunction | undefined;
  /** As in net, for every carrier: of a host with several addresses one after the other is tried. Default node's. */
  readonly autoSelectFamily?: boolean | undefined;
  /** As in net, in milliseconds. Default node's. */
  readonly autoSelectFamilyAttemptTimeout?: number | undefined;
  /** As `setTimeout` after creation, in milliseconds. */
  readonly timeout?: number | undefined;
  /** The service to ask for, ≤ 64 bytes. Default ''. */
  readonly service?: string | undefined;
  /** When to give up without any server, in milliseconds. Default 10,000. Range 100 … 3,600,000. */
  readonly giveUpTimeoutMs?: number | undefined;
  /** Keeps idle carriers to other servers ready. Default true. */
  readonly standby?: boolean | undefined;
  /** Standby carriers of one session, at most. Default 2. Range 0 … 8. */
  readonly maxStandbys?: number | undefined;
  /** Makes what decides that the server is no good, anew for each session. Default: carrier errors and stalls. */
  readonly detectors?: (() => readonly Detector[]) | undefined;
  /**
   * Over TLS: true, or all that node's `tls.connect` takes but addresses. Sessions that are given the same object share
   * standby carriers and TLS sessions. Where servers are known by addresses of several hosts, name what their certificate says
   * (`servername`): node resumes no TLS session at another address than its own, and each move's handshake would be a full one.
   * Default false.
   */
  readonly tls?: boolean | ConnectionOptions | undefined;
  /**
   * Whether the carriers of this session may share a connection with those of others of this process to the same server, beyond the first
   * four, which have connections of their own. What shares comes in the order in which it was sent: a small answer waits behind what of a large
   * one is under way. Default true; those that say how to dial (`localAddress`, `localPort`, `family`, `hints`, `lookup`, `blockList`,
   * `autoSelectFamily`), or have a `typeOfService`, share none.
   */
  readonly shareConnections?: boolean | undefined;
  /** How to reach servers. Default TCP, or TLS where `tls` says so. */
  readonly transport?: Transport | undefined;
}

/** What a session is opened with. */
export interface SessionRequest {
  readonly options: ConnectOptions;
  readonly servers: readonly Candidate[];
}

export interface ConnectRequest extends SessionRequest {
  readonly listener: (() => void) | undefined;
}

/** Every option there is: the compiler sees to it. */
const CONNECT_OPTIONS: Readonly<Record<keyof ConnectOptions | 'server', OptionOrigin>> = {
  servers: 'godwit',
  service: 'godwit',
  giveUpTimeoutMs: 'godwit',
  standby: 'godwit',
  maxStandbys: 'godwit',
  detectors: 'godwit',
  tls: 'godwit',
  shareConnections: 'godwit',
  transport: 'godwit',
  busyPollUs: 'godwit',
  allowHalfOpen: 'net',
  highWaterMark: 'net',
  readableHighWaterMark: 'net',
  writableHighWaterMark: 'net',
  noDelay: 'net',
  keepAlive: 'net',
  keepAliveInitialDelay: 'net',
  typeOfService: 'net',
  signal: 'net',
  onread: 'net',
  blockList: 'net',
  port: 'net',
  host: 'net',
  path: 'net',
  localAddress: 'net',
  localPort: 'net',
  family: 'net',
  hints: 'net',
  lookup: 'net',
  autoSelectFamily: 'net',
  autoSelectFamilyAttemptTimeout: 'net',
  timeout: 'net',
  // TLS has an option of that name.
  server: 'net',
};

const PORT_MAX = 65_535;

/** Reads the arguments of `connect` as net does. Throws what net throws. */
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

  checkOptionNames(options, CONNECT_OPTIONS);
  checkDialing(options);
  const { giveUpTimeoutMs, maxStandbys } = options;
  if (giveUpTimeoutMs !== undefined) checkInteger(giveUpTimeoutMs, 'options.giveUpTimeoutMs', 100, 3_600_000);
  if (maxStandbys !== undefined) checkInteger(maxStandbys, 'options.maxStandbys', 0, 8);
  return { options, servers: candidatesOf(options), listener };
}

/** What `net.connect` throws at once for options that can't be. */
function checkDialing(options: ConnectOptions): void {
  const { host, localAddress, localPort, lookup, autoSelectFamily, autoSelectFamilyAttemptTimeout } = options;
  if (localAddress && !isIP(localAddress))
    throw argumentError(TypeError, 'ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${localAddress}`);
  if (localPort) checkNumber(localPort, 'options.localPort');
  if (autoSelectFamily != null) checkBoolean(autoSelectFamily, 'options.autoSelectFamily');
  if (autoSelectFamilyAttemptTimeout != null) {
    const name = 'options.autoSelectFamilyAttemptTimeout';
    checkInteger(autoSelectFamilyAttemptTimeout, name, 1, 2 ** 31 - 1);
  }
  if (lookup != null && !isIP(host ?? '')) checkFunction(lookup, 'options.lookup');
}

function checkHost(host: unknown): void {
  if (!host) return;
  if (typeof host !== 'string') throw wrongType('options.host', 'of type string', host);
  if (host.includes('\0'))
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_VALUE',
      'The property "options.host" must be a string without null bytes.',
    );
}

function candidatesOf(options: ConnectOptions): Candidate[] {
  const { path, port, host, servers = [] } = options;
  if (path == null && port === undefined && servers.length === 0) {
    throw argumentError(
      TypeError,
      'ERR_MISSING_ARGS',
      'The "options" or "port" or "path" or "servers" argument must be specified',
    );
  }
  const candidates = servers.map(readServer);
  if (path) {
    if (typeof path !== 'string') throw wrongType('options.path', 'of type string', path);
    candidates.unshift({ name: '', ...unixAddress(path) });
  } else if (port !== undefined) {
    checkHost(host);
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
  const address = parseAddress(input);
  if (address === undefined)
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_VALUE',
      `A server is 'host:port', not '${String(input)}'.`,
    );
  return { name: '', host: address.host, port: readPort(address.port) };
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
