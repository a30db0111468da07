/** The plaintext of a ticket head (protocol.md §8.4): everything a server needs to take a session over, but a long state. */
import {
  MAX_TICKET_HEAD_BYTES,
  ProtocolError,
  SESSION_ID_BYTES,
  WireCode,
  decodeStruct,
  encodeStruct,
  schema,
} from '../wire/index.ts';

const { bytes, fixed, flag, sumOf, text, u16, u32, u48, u64, u8 } = schema;

/** In wire order. Session id and key id travel in clear before it and are authenticated with it. */
const fields = {
  secret: fixed(32),
  epoch: u48,
  k: u48,
  input: u64,
  output: u64,
  inputFinished: flag,
  outputFinished: flag,
  terminal: flag,
  delivery: u8,
  schema: u32,
  service: text(64),
  server: text(64),
  host: text(128),
  port: u16,
  bodyHash: fixed(32),
  bodyBytes: u32,
  expiresAt: u64,
  state: bytes(MAX_TICKET_HEAD_BYTES),
} as const;

/** Kept free in a sealed head: version, key id, session id, nonce and tag take 53 bytes. */
const SEAL_BYTES = 64;
/** Of UTF-8, for each unit of a string's length. */
const MAX_BYTES_PER_UNIT = 3;
const MIN_BYTES = sumOf(fields, 'minBytes');

export interface TicketHead {
  readonly sessionId: Uint8Array;
  /** Session secret, 32 bytes. */
  readonly secret: Uint8Array;
  readonly epoch: number;
  readonly k: number;
  /** Input consumed at the restart point, the FIN included once it was consumed. */
  readonly input: number;
  /** Output produced at the restart point, the FIN included once it was written. */
  readonly output: number;
  readonly inputFinished: boolean;
  readonly outputFinished: boolean;
  /** The application has let go of the session: whoever restores it delivers what is left, and starts no other. */
  readonly terminal: boolean;
  readonly delivery: number;
  /** The application's schema version of the state. */
  readonly schema: number;
  readonly service: string;
  /** The server that sealed it. */
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** SHA-256 of the sealed body; zeros in a request to seal, where the provider fills it in. */
  readonly bodyHash: Uint8Array;
  /** Length of the sealed body; 0 when the state is empty, or in the head. */
  readonly bodyBytes: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** The state, where it is short: then there is no body. Empty in a request to seal, where the provider fills it in. */
  readonly state: Uint8Array;
}

/** So long may a state be that goes into this head, in bytes. Names may take more room than they need, but not less. */
export function roomForState({ service, server, host }: TicketHead): number {
  const names = MAX_BYTES_PER_UNIT * (service.length + server.length + host.length);
  return Math.max(0, MAX_TICKET_HEAD_BYTES - SEAL_BYTES - MIN_BYTES - names);
}

export function encodeTicketHead(head: TicketHead): Uint8Array {
  const encoded = encodeStruct(fields, head);
  if (encoded.byteLength > MAX_TICKET_HEAD_BYTES - SEAL_BYTES) throw new RangeError('ticket head too long');
  return encoded;
}

/** Throws `ProtocolError` (Protocol) when the bytes are no ticket head. */
export function decodeTicketHead(sessionId: Uint8Array, plaintext: Uint8Array): TicketHead {
  if (sessionId.byteLength !== SESSION_ID_BYTES) throw new RangeError('session id');
  return { sessionId, ...decodeStruct(fields, plaintext) };
}

/** Where the session id stands in a sealed head: behind the version (1) and the key id (8). */
const SESSION_ID_AT = 9;

/** The session a sealed head claims to belong to; only opening it proves that. Throws `ProtocolError` (TicketInvalid). */
export function claimedSessionId(sealedHead: Uint8Array): Uint8Array {
  if (sealedHead.byteLength < SESSION_ID_AT + SESSION_ID_BYTES)
    throw new ProtocolError(WireCode.TicketInvalid, 'no ticket');
  return sealedHead.slice(SESSION_ID_AT, SESSION_ID_AT + SESSION_ID_BYTES);
}
