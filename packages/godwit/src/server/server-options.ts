/** What `createServer` takes, and what becomes of it. */
import type { BlockList } from 'node:net';
import type { Transport } from '../carriers/carrier.ts';
import { TcpTransport } from '../carriers/tcp.ts';
import type { Fence } from '../cluster/fence.ts';
import { Members, type MembersOption } from '../cluster/members.ts';
import { KeyRing, type KeyInput } from '../crypto/index.ts';
import { argumentError } from '../errors.ts';
import {
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
  type FenceConfig,
  overloadPolicy,
  type OverloadPolicy,
  type ServerLimits,
  type ServerTimers,
} from '../session/index.ts';
import {
  checkFunction,
  checkInteger,
  checkLimits,
  checkNumber,
  checkTimers,
  MAX_TIMER_MS,
  type Ranges,
} from '../socket/argument-checks.ts';
import { readServer } from '../socket/connect-options.ts';
import { checkBlockList, checkBusyPoll } from '../socket/net-habits.ts';
import { checkAllNames, checkOptionNames, type OptionOrigin } from '../socket/option-names.ts';
import { Delivery } from '../wire/index.ts';
import { Authorization, type Authorize } from './authorization.ts';
import { FenceClient } from './fence-client.ts';
import { ServerTls, type ServerTlsOptions } from './server-tls.ts';
import { DEFAULT_HALF_OPEN_LIMITS, HALF_OPEN_RANGES, type HalfOpenLimits } from './half-open.ts';
import { DEFAULT_GATE_LIMITS, type GateLimits, type PlainSettings } from './preface-gate.ts';

/** Options of `createServer`; all have a default. */
export interface ServerOptions {
  /**
   * The keys of the cluster, newest first, or a ring of them: 32 bytes each, or their hexadecimal or base64 text. The
   * same on all servers. Without keys the server makes one up: sessions then survive broken connections, but no other
   * server can take them over.
   */
  readonly keys?: KeyRing | KeyInput | readonly KeyInput[] | undefined;
  /**
   * The other servers of the cluster; this one may be among them. A list, or a function or DNS name (`dns:host:port`) that
   * is asked again every ten seconds.
   */
  readonly members?: MembersOption | undefined;
  /**
   * `replay` (default): between snapshots the output is a function of the input bytes and the state. `commit`: output
   * counts only together with a snapshot, so the application need not be deterministic.
   */
  readonly delivery?: 'replay' | 'commit' | undefined;
  /** Only clients that ask for this service are served, ≤ 64 bytes. Default ''. */
  readonly service?: string | undefined;
  /** Unique in the cluster, ≤ 64 bytes. Default `host:port` as advertised. */
  readonly name?: string | undefined;
  /**
   * Where clients and other servers reach this one: `'host'`, `'host:port'` or parts; the port defaults to the one that
   * is listened on. Default: the address that is listened on; for an unspecified one (`0.0.0.0`, `::`) this machine's
   * first address that is not a loopback, or `127.0.0.1` when it has none. In a cluster, better say it.
   */
  readonly advertise?: string | { readonly host: string; readonly port?: number | undefined } | undefined;
  /** Version of the state's schema that `exportState` writes, 0 … 2^32 − 1. Default 0. */
  readonly schema?: number | undefined;
  /** Which versions `importState` can read. Default: only `schema`. */
  readonly canRestore?: ((schema: number) => boolean) | undefined;
  /**
   * Whether a client may begin a session here, or bring one. Asked before anything is made or fetched for it, and again for
   * each migration. Default: whoever has a valid ticket, or opens one.
   */
  readonly authorize?: Authorize | undefined;
  /**
   * What becomes of a client that does not speak Godwit. `refuse` (default): it is closed, and 'refused' says so. `accept`:
   * the listener gets its connection as one that cannot move (`socket.migratory` is false), with every byte it has sent. It
   * counts for `limits.maxMemoryBytes` and `timers.slowReaderTimeoutMs` as a session does.
   * Over TLS it is told by its ALPN: who does not offer `godwit/1` is plain at once; protocols that plain clients may ask for
   * are named in `tls.ALPNProtocols`.
   */
  readonly plain?: 'accept' | 'refuse' | undefined;
  /**
   * With `plain: 'accept'`: a client that has said nothing for so long is plain, in milliseconds: it waits for the server to
   * speak first. Default 1,000; 10 … 60,000. Less, and clients of Godwit whose first packet is lost are taken for plain.
   */
  readonly plainAfterMs?: number | undefined;
  /**
   * What all servers of the cluster agree on: where each session lives, and from which points it may be restored. The same
   * for all of them: `createLocalFence()` within one process. With it no server that was left behind, no old ticket and no
   * client that forks itself makes two servers believe that they have a session. Default: none.
   */
  readonly fence?: Fence | undefined;
  /**
   * Where the fence does not answer within `timers.fenceTimeoutMs`: `flag` (default) goes on without it and says so
   * ('unfenced', `socket.isFenced`); `strict` refuses sessions, with "try elsewhere", and holds tickets back until it does.
   */
  readonly fenceMode?: 'strict' | 'flag' | undefined;
  /**
   * Which tickets the fence still takes. `acknowledged` (default): the newest, or the one before it, because the newest may
   * have been lost with its server. `released`: the newest alone; then a client whose ticket was lost loses its session.
   */
  readonly fenceFloor?: 'acknowledged' | 'released' | undefined;
  /**
   * When there is too much to do: then sessions are sent to other servers, then new ones refused, then some end, the largest of
   * the address that holds most in all. Default `overloadPolicy()`: from shares of `limits.maxMemoryBytes` and
   * `limits.maxHalfOpen` on. 'overload' tells of every step.
   */
  readonly overload?: OverloadPolicy | undefined;
  /** Default false: a socket ends its side when the client has ended its own. */
  readonly allowHalfOpen?: boolean | undefined;
  /** Sockets start paused. Default false. */
  readonly pauseOnConnect?: boolean | undefined;
  /** Bytes that a socket buffers in each direction. Default 65,536. */
  readonly highWaterMark?: number | undefined;
  /** As of `connect`, in microseconds; 0: not at all. Default 100, or 0 on a machine with one processor. Range 0 … 1,000. */
  readonly busyPollUs?: number | undefined;
  /** Of the carriers. Default true. */
  readonly noDelay?: boolean | undefined;
  /** Of the carriers. Default false. */
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds. Default 0: the operating system's. */
  readonly keepAliveInitialDelay?: number | undefined;
  /**
   * Carriers from these addresses are closed unread, and before a TLS handshake: of clients and of other servers. 'refused'
   * says so.
   */
  readonly blockList?: BlockList | undefined;
  /** Limits of memory and counts; each has a default (docs/protocol.md §12.3). */
  readonly limits?: Partial<ServerLimits & GateLimits & HalfOpenLimits> | undefined;
  /** Timers in milliseconds; each has a default (docs/protocol.md §13.2). */
  readonly timers?: Partial<ServerTimers> | undefined;
  /**
   * Over TLS only, with all that node's `tls.createServer` takes, options of net.createServer included: `blockList` and the
   * like. With `requestCert`, a client's certificate is looked at again with every attach.
   */
  readonly tls?: ServerTlsOptions | undefined;
  /** How clients and peers reach this server, and it them. Default TCP, or TLS where `tls` says so. */
  readonly transport?: Transport | undefined;
}

export interface ServerSettings {
  readonly keys: KeyRing;
  readonly members: MembersOption;
  readonly delivery: Delivery;
  readonly service: string;
  readonly name: string | undefined;
  readonly advertise: { readonly host: string; readonly port: number | undefined } | undefined;
  readonly schema: number;
  readonly canRestore: ((schema: number) => boolean) | undefined;
  readonly authorization: Authorization;
  readonly fencing: { readonly config: FenceConfig; readonly client: FenceClient } | undefined;
  readonly pauseOnConnect: boolean;
  readonly socket: Pick<
    ServerOptions,
    'allowHalfOpen' | 'highWaterMark' | 'noDelay' | 'keepAlive' | 'keepAliveInitialDelay' | 'busyPollUs'
  >;
  readonly blockList: BlockList | undefined;
  readonly transport: Transport;
  readonly tls: ServerTls | undefined;
  readonly gate: GateLimits;
  readonly halfOpen: HalfOpenLimits;
  /** Set: clients that do not speak Godwit are served. */
  readonly plain: PlainSettings | undefined;
  readonly overload: OverloadPolicy;
  readonly limits: ServerLimits;
  readonly timers: ServerTimers;
}

/** Every option there is: the compiler sees to it. */
const SERVER_OPTIONS: Readonly<Record<keyof ServerOptions, OptionOrigin>> = {
  keys: 'godwit',
  members: 'godwit',
  delivery: 'godwit',
  service: 'godwit',
  name: 'godwit',
  advertise: 'godwit',
  schema: 'godwit',
  canRestore: 'godwit',
  authorize: 'godwit',
  plain: 'godwit',
  plainAfterMs: 'godwit',
  fence: 'godwit',
  fenceMode: 'godwit',
  fenceFloor: 'godwit',
  overload: 'godwit',
  limits: 'godwit',
  timers: 'godwit',
  tls: 'godwit',
  transport: 'godwit',
  busyPollUs: 'godwit',
  allowHalfOpen: 'net',
  pauseOnConnect: 'net',
  highWaterMark: 'net',
  noDelay: 'net',
  keepAlive: 'net',
  keepAliveInitialDelay: 'net',
  blockList: 'net',
};

/** Least and most, where there is more to say than that it is a number. */
const RANGES: Ranges = {
  prefaceTimeoutMs: [10, 600_000],
  ...HALF_OPEN_RANGES,
  maxSessionsPerAddress: [0, Number.MAX_SAFE_INTEGER],
  maxStandbys: [0, Number.MAX_SAFE_INTEGER],
  maxStandbysPerAddress: [0, Number.MAX_SAFE_INTEGER],
  maxOpensPerSecond: [0, 1_000_000],
  maxMigratesPerSecond: [0, 1_000_000],
  maxPullsPerSecond: [0, 1_000_000],
  snapshotsPerSecond: [0, 1_000_000],
  maxMemoryBytes: [0, Number.MAX_SAFE_INTEGER],
  minBytesPerSecond: [0, 1_000_000_000],
};

/** Of those that 0 turns off. */
/** One that is always due would be asked for without an end where the application has none. */
const TIMER_RANGES: Ranges = { snapshotIntervalMs: [1, MAX_TIMER_MS] };
const TIMEOUT_RANGE = [100, 86_400_000] as const;
const OPTIONAL_TIMEOUTS = ['slowReaderTimeoutMs', 'slowWriterTimeoutMs'] as const;

const NAME_BYTES_MAX = 64;
const SCHEMA_MAX = 2 ** 32 - 1;

/** Throws `TypeError` and `RangeError` with net's codes, ERR_GODWIT_OPTION_UNKNOWN, and whatever the key ring throws. */
export function readServerOptions(given: ServerOptions): ServerSettings {
  checkOptionNames(given, SERVER_OPTIONS);
  const options = { ...netOptionsOf(given.tls), ...given };
  checkAllNames('limits', options.limits, {
    ...DEFAULT_SERVER_LIMITS,
    ...DEFAULT_GATE_LIMITS,
    ...DEFAULT_HALF_OPEN_LIMITS,
  });
  checkLimits(options.limits, RANGES);
  checkAllNames('timers', options.timers, DEFAULT_SERVER_TIMERS);
  checkTimers(options.timers, TIMER_RANGES);
  for (const name of OPTIONAL_TIMEOUTS) {
    const value = options.timers?.[name];
    if (value !== 0) checkTimers({ [name]: value }, { [name]: TIMEOUT_RANGE });
  }
  checkSocketsOptions(options);
  const { delivery = 'replay', service = '', name, schema = 0, limits = {}, timers = {} } = options;
  checkChoice('delivery', delivery, ['replay', 'commit']);
  checkName('service', service);
  if (name !== undefined) checkName('name', name);
  if (!Number.isInteger(schema) || schema < 0 || schema > SCHEMA_MAX)
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `The value of "options.schema" is out of range. It must be an integer >= 0 && <= ${SCHEMA_MAX}. Received ${String(schema)}`,
    );
  const plain = readPlain(options);
  const gate = { ...DEFAULT_GATE_LIMITS, ...limits };
  const tlsSettings = { servesPlain: plain !== undefined, handshakeTimeoutMs: gate.prefaceTimeoutMs };
  const tls = options.tls === undefined ? undefined : new ServerTls(options.tls, tlsSettings);
  return {
    keys: options.keys === undefined ? KeyRing.generate() : KeyRing.from(options.keys),
    members: checkMembers(options.members ?? []),
    delivery: delivery === 'commit' ? Delivery.Commit : Delivery.Replay,
    service,
    name,
    advertise: readAdvertise(options.advertise),
    schema,
    canRestore: options.canRestore,
    authorization: new Authorization(service, tls, checkAuthorize(options.authorize)),
    fencing: readFencing(options),
    pauseOnConnect: Boolean(options.pauseOnConnect),
    socket: options,
    blockList: options.blockList,
    transport: options.transport ?? tls?.transport ?? new TcpTransport(),
    tls,
    gate,
    halfOpen: { ...DEFAULT_HALF_OPEN_LIMITS, ...limits },
    plain,
    overload: checkOverload(options.overload ?? overloadPolicy()),
    limits: { ...DEFAULT_SERVER_LIMITS, ...limits },
    timers: { ...DEFAULT_SERVER_TIMERS, ...timers },
  };
}

/** As node's `tls.createServer` does, `tls` takes the options of net.createServer, too; those beside it come first. */
function netOptionsOf(tls: ServerTlsOptions | undefined): Partial<ServerOptions> {
  const isNets = ([name]: [string, unknown]): boolean =>
    SERVER_OPTIONS[name as keyof ServerOptions] === 'net';
  return Object.fromEntries(Object.entries(tls ?? {}).filter(isNets));
}

function readPlain({ plain = 'refuse', plainAfterMs = 1_000 }: ServerOptions): PlainSettings | undefined {
  checkChoice('plain', plain, ['accept', 'refuse']);
  checkInteger(plainAfterMs, 'options.plainAfterMs', 10, 60_000);
  return plain === 'accept' ? { afterMs: plainAfterMs } : undefined;
}

/** Throws `TypeError` for what is no fence, and for modes there are none of. */
function readFencing(options: ServerOptions): ServerSettings['fencing'] {
  const { fence, fenceMode = 'flag', fenceFloor = 'acknowledged', timers = {} } = options;
  checkChoice('fenceMode', fenceMode, ['strict', 'flag']);
  checkChoice('fenceFloor', fenceFloor, ['acknowledged', 'released']);
  if (fence === undefined) return undefined;
  if (typeof (fence as Partial<Fence> | null)?.compareAndSet !== 'function')
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_TYPE',
      'The "options.fence" property must be a fence, such as createLocalFence().',
    );
  const { fenceTimeoutMs, ticketLifetimeMs } = { ...DEFAULT_SERVER_TIMERS, ...timers };
  return {
    config: { mode: fenceMode, floor: fenceFloor },
    client: new FenceClient({ fence, timeoutMs: fenceTimeoutMs, lifetimeMs: 2 * ticketLifetimeMs }),
  };
}

function checkChoice(option: string, given: unknown, choices: readonly string[]): void {
  if (choices.includes(given as string)) return;
  const listed = choices.map((choice) => `'${choice}'`).join(' or ');
  throw argumentError(
    TypeError,
    'ERR_INVALID_ARG_VALUE',
    `The property 'options.${option}' must be ${listed}. Received '${String(given)}'`,
  );
}

function checkSocketsOptions(options: ServerOptions): void {
  const { highWaterMark, keepAliveInitialDelay, busyPollUs, blockList } = options;
  if (keepAliveInitialDelay !== undefined)
    checkNumber(keepAliveInitialDelay, 'options.keepAliveInitialDelay');
  if (highWaterMark !== undefined) checkNumber(highWaterMark, 'options.highWaterMark');
  checkBusyPoll(busyPollUs);
  checkBlockList(blockList);
}

/** Throws what `Members` throws, at once rather than when the server listens. */
function checkMembers(members: MembersOption): MembersOption {
  new Members(members, { self: () => ({ name: '', host: '', port: 0 }), onChange: () => undefined }).close();
  return members;
}

function checkAuthorize(authorize: unknown): Authorize | undefined {
  if (authorize === undefined || typeof authorize === 'function') return authorize as Authorize | undefined;
  throw argumentError(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    'The "options.authorize" property must be of type function.',
  );
}

function checkOverload(policy: OverloadPolicy): OverloadPolicy {
  checkFunction((policy as Partial<OverloadPolicy> | null)?.judge, 'options.overload.judge');
  return policy;
}

function readAdvertise(advertise: ServerOptions['advertise']): ServerSettings['advertise'] {
  if (advertise === undefined) return undefined;
  if (typeof advertise !== 'string') return { host: advertise.host, port: advertise.port };
  if (/:\d+$/.test(advertise)) {
    const { host, port } = readServer(advertise);
    return { host, port };
  }
  return { host: advertise, port: undefined };
}

function checkName(option: string, name: unknown): void {
  if (typeof name !== 'string')
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_TYPE',
      `The "options.${option}" property must be of type string.`,
    );
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `The value of "options.${option}" is out of range. It must have at most ${NAME_BYTES_MAX} bytes.`,
    );
}
