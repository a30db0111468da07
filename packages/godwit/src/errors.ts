/** The one class of errors that applications see, and every code it may have. */
import os from 'node:os';
import type { Failure } from './session/client-events.ts';
import { withoutStack } from './wire/without-stack.ts';

/** What each code means. The codes are stable: programs may compare them. */
export const ERROR_CODES = {
  ERR_GODWIT_INTERNAL: 'A bug in this library; it ended the one session it concerned.',
  ERR_GODWIT_PROTOCOL: 'The peer broke the protocol, or does not speak it.',
  ERR_GODWIT_VERSION: 'The peer speaks another version of the protocol.',
  ERR_GODWIT_WRONG_SERVICE: 'The server offers another service than the client asked for.',
  ERR_GODWIT_UNAUTHENTICATED:
    'A proof was wrong: of the session secret, of a ticket or of a key of the cluster.',
  ERR_GODWIT_STALE_EPOCH: 'A newer attach of the same session has won.',
  ERR_GODWIT_STALE_POINT: 'The server could only restore a point older than one the client knows.',
  ERR_GODWIT_TICKET_INVALID: 'The ticket was damaged or belongs to another cluster.',
  ERR_GODWIT_TICKET_EXPIRED: 'The ticket is too old.',
  ERR_GODWIT_SESSION_ENDED: 'The session has ended, so it can not be restored.',
  ERR_GODWIT_ORIGIN_UNREACHABLE: 'The destination can not reach the server that holds the session.',
  ERR_GODWIT_UNPROTECTED:
    'The server died while the session was unprotected: what it would take to restore it is gone.',
  ERR_GODWIT_DIVERGED:
    'Replay produced other output than the client has: the application is not deterministic.',
  ERR_GODWIT_SCHEMA_MISMATCH: 'The destination can not read a snapshot of this schema version.',
  ERR_GODWIT_BUSY: 'The server has as much to do as it takes on.',
  ERR_GODWIT_DRAINING: 'The server is about to stop and takes no sessions.',
  ERR_GODWIT_TIMEOUT: 'A step of the protocol took too long.',
  ERR_GODWIT_LIMIT_EXCEEDED: 'A named limit was exceeded.',
  ERR_GODWIT_UNKNOWN_KEY: 'A ticket or trigger was made with a key that is not in the ring.',
  ERR_GODWIT_MOVED: 'The session lives on another server now.',
  ERR_GODWIT_DENIED: 'Policy forbids it.',
  ERR_GODWIT_FENCE_UNAVAILABLE: 'The fence can not be reached, and the setting says to fail then.',
  ERR_GODWIT_TOO_SLOW:
    'The peer took hardly a byte of what waited for it, or did not finish a frame it had begun, for too long.',
  ERR_GODWIT_OVERLOADED: 'The server uses more memory than it may, and ended sessions to come below that.',
  ERR_GODWIT_ABANDONED:
    'The client did not take what this server offered, or left it behind for another server.',
  ERR_GODWIT_CARRIER_CLOSED: 'The carrier under the session was closed on this side.',
  ERR_GODWIT_CONSUMED_UNKNOWN:
    'A snapshot was exported without `bytesConsumed` where buffers of the application lie between socket and consumer.',
  ERR_GODWIT_STATE_TOO_LARGE:
    'A state is over `limits.maxStateBytes`; what the exporter answers then leaves the session unprotected.',
  ERR_GODWIT_EXPORT_INVALID: 'An exporter answered something that is no state, such as a promise.',
  ERR_GODWIT_OPTION_UNKNOWN: 'There is no such option; its name is nearly that of one there is.',
  ERR_GODWIT_UNSUPPORTED: 'An option or call of net that a migratory connection can not have.',
  ERR_GODWIT_CERTIFICATE_REJECTED:
    'The certificate of the client is expired, revoked, or of no authority known here: it is looked at with every attach.',
  ERR_GODWIT_KEY_FILE:
    'A file of cluster keys is missing, has no keys, or can be read by others than its owner.',
  ERR_GODWIT_MEMBERS: 'The list of members could not be read; it stays as it was.',
  ERR_GODWIT_NOT_MIGRATORY:
    "A plain connection (`plain: 'accept'`) cannot move: its client does not speak Godwit.",
  ERR_GODWIT_NO_SERVER: 'No other server is known, or none could be reached.',
  ERR_GODWIT_NO_SUCH_SESSION: 'No session with this id lives here.',
  ERR_GODWIT_NOT_CONNECTED: 'The socket has no session yet, or none any more.',
  ERR_GODWIT_MIGRATION_FAILED: 'A planned migration did not happen; the session goes on where it was.',
  ERR_GODWIT_CHECK_NOT_DETERMINISTIC:
    'checkHandler: executed again, the handler wrote other output for the same input: it depends on time, chance or other connections.',
  ERR_GODWIT_CHECK_CHUNKS: 'checkHandler: the output depends on how the input is cut into chunks.',
  ERR_GODWIT_CHECK_RESTORE:
    'checkHandler: restored from its own state, the handler did not go on where it was.',
  ERR_GODWIT_CHECK_STALLED: 'checkHandler: no byte moved for `timeoutMs`.',
  ERR_GODWIT_CHECK_NO_STATE:
    'checkHandler: the handler exported no state, or none that a session could be restored from.',
  ERR_GODWIT_CHECK_HANDLER: 'checkHandler: the handler, or the session, failed.',
  ERR_GODWIT_CHECK_CLIENT: 'checkHandler: the client function failed.',
  ERR_GODWIT_CHECK_EFFECTS:
    'checkHandler: a side effect was doubled, is missing, or was another when executed again.',
  ERR_GODWIT_CHECK_ORACLE:
    'checkHandler: in `commit` mode output differs between runs, and neither `normalize` nor `verify` says what is right.',
  ERR_GODWIT_CHECK_VERIFY: 'checkHandler: `verify` refused the output of a run.',
} as const;

/** A code of this library's own. Where net has a code for the case (`ECONNREFUSED`, `ECONNRESET`, …) that one is used. */
export type GodwitErrorCode = keyof typeof ERROR_CODES;

/** Where a system error happened, in the words of net. */
export interface SystemErrorPlace {
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
}

/** An error of a connection. `code` is stable; with a code of the operating system it has what net's errors have. */
export class GodwitError extends Error {
  /** One of `ERROR_CODES`, or the code that net would give. */
  readonly code: string;
  /** The operating system's number for `code`, negative, as in net; only for codes such as `ECONNREFUSED`. */
  declare readonly errno?: number;
  /** `connect`, `read`, `write`, …; only for codes of the operating system. */
  declare readonly syscall?: string;
  /** Of the server that could not be reached; only with `syscall` `connect`. */
  declare readonly address?: string;
  /** As `address`. */
  declare readonly port?: number;
  /** The name that could not be resolved; only with `syscall` `getaddrinfo`. */
  declare readonly hostname?: string;
  /** One for each address, where a host has several and none could be reached. */
  declare readonly errors?: readonly Error[];

  constructor(code: string, message: string, options: { readonly cause?: unknown } & SystemErrorPlace = {}) {
    const { cause, ...place } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'GodwitError';
    this.code = code;
    const errno = (os.constants.errno as Readonly<Record<string, number>>)[code];
    if (errno !== undefined) Object.assign(this, { errno: -errno, ...place });
  }

  /**
   * @internal For what is no failure, and comes by the thousands: whoever drains a server knows the way here, and node puts
   * the text of a stack together for each error that a stream is destroyed with.
   */
  static withoutStack(code: string, message: string): GodwitError {
    return withoutStack(() => new GodwitError(code, message));
  }
}

/** `connect ECONNREFUSED 127.0.0.1:7000`, as net words it. */
const CONNECT_MESSAGE = /^connect E[A-Z]+ (.+):(\d+)$/;

/** What node's errors of the system tell besides their code. */
const SYSTEM_FIELDS = [
  'errno',
  'syscall',
  'hostname',
  'address',
  'port',
  'localAddress',
  'localPort',
] as const;

/** The error for an end of a session. A code of the operating system gets the fields that net gives it. */
export function errorFromFailure(failure: Failure, syscall?: string): GodwitError {
  const { code, message, cause } = failure;
  // net words it so too, and programs are known to compare messages.
  if (code === 'ECONNRESET' && syscall === 'read')
    return new GodwitError(code, 'read ECONNRESET', { syscall, cause: cause ?? message });
  const place = cause instanceof Error ? fieldsOf(cause) : placeIn(message);
  const error = new GodwitError(code, message, {
    ...(syscall !== undefined && { syscall }),
    ...(cause !== undefined && { cause }),
  });
  return Object.assign(error, place);
}

function fieldsOf(cause: Error): object {
  const fields = Object.entries(cause).filter(([name]) =>
    (SYSTEM_FIELDS as readonly string[]).includes(name),
  );
  return { ...Object.fromEntries(fields), ...(cause instanceof AggregateError && { errors: cause.errors }) };
}

function placeIn(message: string): object {
  const [, address, port] = CONNECT_MESSAGE.exec(message) ?? [];
  return port === undefined ? {} : { syscall: 'connect', address, port: Number(port) };
}

/** An argument that net refuses with a `TypeError` or `RangeError` and a code. */
export function argumentError(
  kind: typeof TypeError | typeof RangeError | typeof Error,
  code: string,
  message: string,
): Error {
  return Object.assign(new kind(message), { code });
}
