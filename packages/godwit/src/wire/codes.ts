/**
 * Codes that REFUSE and RESET carry (protocol.md §11). Numbers never change their meaning; new ones are added at the end.
 */
export const WireCode = {
  /** No error. */
  None: 0,
  /** The peer broke the protocol, or does not speak it. */
  Protocol: 1,
  /** The peer speaks no version in common. */
  Version: 2,
  /** The server offers another service. */
  WrongService: 3,
  /** A proof (MAC, key share or ticket) was wrong. */
  Unauthenticated: 4,
  /** An OPEN or attach with a higher epoch, or another one with the same epoch, was there before. */
  StaleEpoch: 5,
  /** Only a restart point older than one the client knows could be reached. */
  StalePoint: 6,
  /** The ticket is damaged, or its body is not the one its head names. */
  TicketInvalid: 7,
  /** The ticket is past its expiry. */
  TicketExpired: 8,
  /** The session has ended: nothing restores it. */
  SessionEnded: 9,
  /** The destination cannot reach the origin; the client may DETACH there. */
  OriginUnreachable: 10,
  /** Bytes that the restore would need were given up while the session was unprotected. */
  Unprotected: 11,
  /** The re-executed output is not the one the client has. */
  Diverged: 12,
  /** The server's application cannot read a snapshot of this schema version. */
  SchemaMismatch: 13,
  /** The server has no room for another session. */
  Busy: 14,
  /** The server is being emptied and takes no sessions. */
  Draining: 15,
  /** A step took longer than allowed. */
  Timeout: 16,
  /** A named limit was exceeded. */
  LimitExceeded: 17,
  /** The application destroyed its socket. */
  Reset: 18,
  /** A bug of the sender, which ended this one session. */
  Internal: 19,
  /** A ticket or trigger was made with a key that the server does not have. */
  UnknownKey: 20,
  /** The session lives on another server. */
  Moved: 21,
  /** A policy or the application forbids it. */
  Denied: 22,
  /** The fence cannot be reached, and is set to fail closed. */
  FenceUnavailable: 23,
  /** The peer took, or gave, hardly a byte for too long. */
  TooSlow: 24,
  /** The server uses more memory than it may, and ended sessions to come below that. */
  Overloaded: 25,
} as const;
export type WireCode = (typeof WireCode)[keyof typeof WireCode];

/** The `code` strings that applications see, one for each wire code. */
export const ERROR_CODE: Readonly<Record<WireCode, string>> = {
  [WireCode.None]: 'ERR_GODWIT_INTERNAL',
  [WireCode.Protocol]: 'ERR_GODWIT_PROTOCOL',
  [WireCode.Version]: 'ERR_GODWIT_VERSION',
  [WireCode.WrongService]: 'ERR_GODWIT_WRONG_SERVICE',
  [WireCode.Unauthenticated]: 'ERR_GODWIT_UNAUTHENTICATED',
  [WireCode.StaleEpoch]: 'ERR_GODWIT_STALE_EPOCH',
  [WireCode.StalePoint]: 'ERR_GODWIT_STALE_POINT',
  [WireCode.TicketInvalid]: 'ERR_GODWIT_TICKET_INVALID',
  [WireCode.TicketExpired]: 'ERR_GODWIT_TICKET_EXPIRED',
  [WireCode.SessionEnded]: 'ERR_GODWIT_SESSION_ENDED',
  [WireCode.OriginUnreachable]: 'ERR_GODWIT_ORIGIN_UNREACHABLE',
  [WireCode.Unprotected]: 'ERR_GODWIT_UNPROTECTED',
  [WireCode.Diverged]: 'ERR_GODWIT_DIVERGED',
  [WireCode.SchemaMismatch]: 'ERR_GODWIT_SCHEMA_MISMATCH',
  [WireCode.Busy]: 'ERR_GODWIT_BUSY',
  [WireCode.Draining]: 'ERR_GODWIT_DRAINING',
  [WireCode.Timeout]: 'ERR_GODWIT_TIMEOUT',
  [WireCode.LimitExceeded]: 'ERR_GODWIT_LIMIT_EXCEEDED',
  [WireCode.Reset]: 'ECONNRESET',
  [WireCode.Internal]: 'ERR_GODWIT_INTERNAL',
  [WireCode.UnknownKey]: 'ERR_GODWIT_UNKNOWN_KEY',
  [WireCode.Moved]: 'ERR_GODWIT_MOVED',
  [WireCode.Denied]: 'ERR_GODWIT_DENIED',
  [WireCode.FenceUnavailable]: 'ERR_GODWIT_FENCE_UNAVAILABLE',
  [WireCode.TooSlow]: 'ERR_GODWIT_TOO_SLOW',
  [WireCode.Overloaded]: 'ERR_GODWIT_OVERLOADED',
};

/** The `code` string of any number that a peer may send; unknown numbers read as a protocol error. */
export function errorCodeOf(code: number): string {
  return (ERROR_CODE as Readonly<Record<number, string>>)[code] ?? 'ERR_GODWIT_PROTOCOL';
}

/**
 * A peer's fault: ends that session (or that unfinished attach) alone, with a code both sides see (protocol.md §11). It has no
 * stack: that would tell of our own code, and cost whoever must refuse somebody tens of microseconds.
 */
export class ProtocolError extends Error {
  readonly wireCode: WireCode;
  /** Whether another server may succeed where this one refused. */
  readonly tryElsewhere: boolean;
  constructor(wireCode: WireCode, message: string, tryElsewhere = false) {
    // As `withoutStack` does it, within which there may be no call of `super`.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'ProtocolError';
    this.wireCode = wireCode;
    this.tryElsewhere = tryElsewhere;
  }
  /** Stable string, e.g. `ERR_GODWIT_PROTOCOL`. */
  get code(): string {
    return ERROR_CODE[this.wireCode];
  }
}
