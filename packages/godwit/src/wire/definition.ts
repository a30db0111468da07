/** What a declaration of a frame consists of, and the fields that several frames share. */
import { fixed, sumOf, text, u16, type Fields, type StructValue } from './schema.ts';
import { MAX_HOST_BYTES, MAX_NAME_BYTES } from './limits.ts';

/** Who may send a frame. */
export type Direction = 'client' | 'server' | 'both';

export interface FrameDefinition<S extends Fields = Fields> {
  readonly type: number;
  readonly from: Direction;
  /** Largest payload, in bytes. */
  readonly max: number;
  readonly fields: S;
}

/** A frame whose fields are all bounded: their largest values make its limit. */
export function define<S extends Fields>(type: number, from: Direction, fields: S): FrameDefinition<S> {
  return { type, from, max: sumOf(fields, 'maxBytes'), fields };
}

/** A frame that ends in a piece of something larger, of at most `maxPieceBytes`. */
export function definePiece<S extends Fields>(
  type: number,
  from: Direction,
  fields: S,
  maxPieceBytes: number,
): FrameDefinition<S> {
  return { type, from, max: sumOf(fields, 'minBytes') + maxPieceBytes, fields };
}

/** Length of a truncated HMAC-SHA-256, in bytes. */
export const MAC_BYTES = 16;
export const SESSION_ID_BYTES = 16;
export const NONCE_BYTES = 16;
export const ATTACH_ID_BYTES = 8;
export const KEY_SHARE_BYTES = 32;

/** Type byte of DATA, whose payload is passed on as it arrives. */
export const DATA_TYPE = 0x10;

/** MAC over the payload before it (§8). */
export const mac = fixed(MAC_BYTES);
/** The session, as its client named it. */
export const sessionId = fixed(SESSION_ID_BYTES);
/** Name of the server, unique within the cluster. */
export const name = text(MAX_NAME_BYTES);
/** What the client asks for; a server of another service refuses. */
export const service = text(MAX_NAME_BYTES);

/** Name and address of a server, as SUPPORT and TRIGGER carry it. */
export const serverFields = {
  name,
  /** Host name or IP address to dial, or `unix:` and a path (§9.5). */
  host: text(MAX_HOST_BYTES),
  /** Port to dial; 0 with a path. */
  port: u16,
};
export type ServerAddress = StructValue<typeof serverFields>;
