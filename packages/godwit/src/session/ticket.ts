/** The plaintext of a ticket head (protocol.md §8.4): everything a server needs to take a session over, but its state. */
import {
  MAX_TICKET_HEAD_BYTES,
  ProtocolError,
  SESSION_ID_BYTES,
  WireCode,
  decodeStruct,
  encodeStruct,
  schema,
} from '../wire/index.ts';

const { fixed, flag, text, u16, u32, u48, u64, u8 } = schema;

/** In wire order. Session id and key id travel in clear before it and are authenticated with it. */
const fields = {
  secret: fixed(32),
  epoch: u48,
  k: u48,
  input: u64,
  output: u64,
  inputFinished: flag,
  outputFinished: flag,
  delivery: u8,
  schema: u32,
  service: text(64),
  server: text(64),
  host: text(128),
  port: u16,
  bodyHash: fixed(32),
  bodyBytes: u32,
  expiresAt: u64,
} as const;

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
  /** Length of the sealed body; 0 when the state is empty. */
  readonly bodyBytes: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export function encodeTicketHead(head: TicketHead): Uint8Array {
  const encoded = encodeStruct(fields, head);
  if (encoded.byteLength > MAX_TICKET_HEAD_BYTES - 64) throw new RangeError('ticket head too long');
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
