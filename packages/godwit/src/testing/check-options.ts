/** What `checkHandler` takes, and what becomes of it. */
import { argumentError } from '../errors.ts';
import type { ServerOptions } from '../server/server-options.ts';
import type { ServerSocket } from '../server/server-socket.ts';
import type { ConnectOptions } from '../socket/connect-options.ts';
import type { Socket } from '../socket/socket.ts';
import type { Effects } from './effects.ts';

/** What a handler under test gets besides its socket. */
export interface HandlerContext {
  /** Where its side effects go; see `Effects`. */
  readonly effects: Effects;
  /** 0 for the first execution of a session, 1 for the one after the first crash or move, and so on. */
  readonly execution: number;
}

/** What is given to `createServer`. It may use the second argument, or not. */
export type Handler = (socket: ServerSocket, context: HandlerContext) => unknown;

/** Options of the servers of a check. */
export type CheckServerOptions = Omit<
  ServerOptions,
  'advertise' | 'delivery' | 'keys' | 'members' | 'name' | 'transport'
>;

/** The next version of a handler, on servers with options of their own, such as `schema` and `canRestore`. */
export interface Successor {
  readonly handler: Handler;
  readonly server?: CheckServerOptions;
}

/** What `verify` gets besides the output. */
export interface VerifyContext {
  /** What the client sent. */
  readonly input: Buffer;
  /** What was recorded, by key; the session's id in a key reads `session`. */
  readonly effects: ReadonlyMap<string, unknown>;
}

/** Options of `checkHandler`. One of `input` and `client` is required. */
export interface CheckOptions {
  /** What the client sends; then it ends its side, and reads until the handler has ended the other. */
  readonly input?: string | Uint8Array;
  /**
   * A client that talks: it gets the client's socket, and what it sends may depend on what it reads. It must send the same
   * when it reads the same. Where it neither ends nor destroys the socket, that is done when it is through. What it throws fails the check.
   */
  readonly client?: (socket: Socket) => unknown;
  /** As for `createServer`. Default `replay`. */
  readonly delivery?: 'replay' | 'commit';
  /**
   * Runs in which the server is killed once: at every byte of input and of output and at every ticket, or at so many of
   * these, spread evenly. Some runs with planned moves and with several faults are added. Default 128.
   */
  readonly crashes?: 'every-offset' | number;
  /** Runs without a fault in which input is cut into pieces drawn from the seed, after one with single bytes. Default 4, at least 1. */
  readonly rechunk?: number;
  /** Determines every run. Default 1. */
  readonly seed?: number;
  /** Does this run alone, after those without a fault: the number that an error names. */
  readonly only?: number;
  /** How long no byte may move, in milliseconds, before the handler is said to hang. Default 5,000. */
  readonly timeoutMs?: number;
  /**
   * For `commit`: makes of the output what must be the same whenever the same input is executed, by replacing what may
   * differ (`output.toString().replace(UUID, '<uuid>')`).
   */
  readonly normalize?: (output: Buffer) => string | Uint8Array;
  /** Throws if the output of a run is not right for its input. In `commit` mode instead of a comparison, or besides it. */
  readonly verify?: (output: Buffer, context: VerifyContext) => unknown;
  /** `optional` accepts a handler that exports no state. Default `required`. */
  readonly exports?: 'required' | 'optional';
  /** `Date` jumps between executions, so that what depends on it is noticed. Default true. */
  readonly shiftClock?: boolean;
  /** Options of the servers, such as `allowHalfOpen` and `schema`. */
  readonly server?: CheckServerOptions;
  /**
   * The version to be deployed next: sessions begin with `handler`, and go on with this one after the first crash or move.
   * It must read its predecessor's states, and make the same output.
   */
  readonly successor?: Successor;
  /** Options of the client, such as `allowHalfOpen`. */
  readonly connect?: Pick<
    ConnectOptions,
    'allowHalfOpen' | 'highWaterMark' | 'readableHighWaterMark' | 'writableHighWaterMark' | 'giveUpTimeoutMs'
  >;
}

export interface CheckSettings {
  readonly handler: Handler;
  readonly input: Buffer;
  readonly client: ((socket: Socket) => unknown) | undefined;
  readonly delivery: 'replay' | 'commit';
  readonly crashes: 'every-offset' | number;
  readonly rechunk: number;
  readonly seed: number;
  readonly only: number | undefined;
  readonly timeoutMs: number;
  readonly normalize: CheckOptions['normalize'];
  readonly verify: CheckOptions['verify'];
  readonly exportsRequired: boolean;
  readonly shiftClock: boolean;
  readonly service: string;
  readonly server: CheckServerOptions;
  readonly successor: Successor | undefined;
  readonly connect: NonNullable<CheckOptions['connect']>;
}

const CRASHES_DEFAULT = 128;
const RECHUNK_DEFAULT = 4;
const TIMEOUT_DEFAULT_MS = 5000;
const RUNS_MAX = 1_000_000;
const TIMEOUT_MAX_MS = 600_000;
const SEED_MAX = 2 ** 32 - 1;

/** Throws `TypeError` and `RangeError` with net's codes. */
export function readCheckOptions(handler: Handler, options: CheckOptions): CheckSettings {
  if (typeof handler !== 'function') throw invalid('handler', 'of type function', handler);
  if (typeof options !== 'object' || options === null) throw invalid('options', 'of type Object', options);
  const { input, client, delivery = 'replay', crashes = CRASHES_DEFAULT, normalize, verify } = options;
  if ((input === undefined) === (client === undefined))
    throw argumentError(
      TypeError,
      'ERR_MISSING_ARGS',
      'One of "options.input" and "options.client" must be specified',
    );
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array))
    throw invalid('options.input', 'a string or bytes', input);
  for (const [name, value] of Object.entries({ client, normalize, verify }))
    if (value !== undefined && typeof value !== 'function')
      throw invalid(`options.${name}`, 'of type function', value);
  if (delivery !== 'replay' && delivery !== 'commit')
    throw invalid('options.delivery', `'replay' or 'commit'`, delivery);
  if (normalize !== undefined && delivery === 'replay')
    throw invalid(
      'options.normalize',
      `left out with delivery 'replay', in which output must be the same byte for byte`,
      normalize,
    );
  const { exports = 'required', successor } = options;
  if (successor !== undefined && typeof successor?.handler !== 'function')
    throw invalid('options.successor.handler', 'of type function', successor?.handler);
  if (exports !== 'required' && exports !== 'optional')
    throw invalid('options.exports', `'required' or 'optional'`, exports);
  return {
    handler,
    input: typeof input === 'string' ? Buffer.from(input) : Buffer.from(input ?? ''),
    client,
    delivery,
    crashes: crashes === 'every-offset' ? crashes : within('crashes', crashes, 0, RUNS_MAX),
    rechunk: within('rechunk', options.rechunk ?? RECHUNK_DEFAULT, 1, RUNS_MAX),
    seed: within('seed', options.seed ?? 1, 0, SEED_MAX),
    only: options.only === undefined ? undefined : within('only', options.only, 0, Number.MAX_SAFE_INTEGER),
    timeoutMs: within('timeoutMs', options.timeoutMs ?? TIMEOUT_DEFAULT_MS, 10, TIMEOUT_MAX_MS),
    normalize,
    verify,
    exportsRequired: exports === 'required',
    shiftClock: options.shiftClock ?? true,
    service: options.server?.service ?? '',
    server: options.server ?? {},
    successor,
    connect: options.connect ?? {},
  };
}

function within(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number') throw invalid(`options.${name}`, 'of type number', value);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw argumentError(
    RangeError,
    'ERR_OUT_OF_RANGE',
    `The value of "options.${name}" is out of range. It must be an integer >= ${least} && <= ${most}. Received ${value}`,
  );
}

function invalid(name: string, wanted: string, value: unknown): Error {
  const received = typeof value === 'string' ? `'${value}'` : typeof value;
  return argumentError(
    TypeError,
    'ERR_INVALID_ARG_VALUE',
    `"${name}" must be ${wanted}. Received ${received}`,
  );
}
