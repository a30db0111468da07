/**
 * Messages between servers (protocol.md §9), inside the encrypted records of a peer link. Same header as client frames,
 * a type space of its own. The comments of frames and fields are what protocol.md says of them.
 */
import {
  bytes,
  fixed,
  flag,
  message,
  rest,
  u16,
  u32,
  u48,
  u64,
  u8,
  type Fields,
  type StructValue,
} from './schema.ts';
import { NONCE_BYTES, define, definePiece, sessionId, type FrameDefinition } from './definition.ts';
import { MAX_MESSAGE_BYTES, MAX_STATE_CHUNK_BYTES, MAX_UNAUTHENTICATED_FRAME_BYTES } from './limits.ts';

/** Peers are alike: each may be the origin of one session and the destination of another. */
function definePeer<S extends Fields>(type: number, fields: S): FrameDefinition<S> {
  return define(type, 'both', fields);
}

/** Chosen by the sender of the PULL, so that none of its former processes is likely to have used it; its answers repeat it. */
const requestId = u32;
/** The nonce of the CHALLENGE that the client answered. */
const nonce = fixed(NONCE_BYTES);
/** Payload of the client's MIGRATE, which the receiver verifies itself. */
const migrate = bytes(MAX_UNAUTHENTICATED_FRAME_BYTES);

export const peerFrames = {
  /** Destination to origin: asks for a session, with the client's own request. */
  pull: definePeer(0x01, {
    requestId,
    sessionId,
    nonce,
    /** Time the origin has to answer. */
    deadlineMs: u32,
    migrate,
  }),
  /** Origin to destination: the frozen session. Body, log and tail follow in STATE_CHUNKs, in that order. */
  state: definePeer(0x02, {
    requestId,
    sessionId,
    /** Epoch of the restart point. */
    epoch: u48,
    /** Number of the restart point. */
    k: u48,
    /** Input consumed at the restart point. */
    input: u64,
    /** Output produced at the restart point. */
    output: u64,
    /** Whether the input's FIN was consumed. */
    inputFinished: flag,
    /** Whether the output's FIN was written. */
    outputFinished: flag,
    /** Whether the session was complete in both directions: no application need start. */
    terminal: flag,
    /** The application's schema version of the state. */
    schema: u32,
    /** Whether the input's FIN follows the log. */
    receivedFin: flag,
    /** Offset of the first byte of the tail. */
    tailFrom: u64,
    /** Length of the state. */
    bodyBytes: u32,
    /** Length of the input log. */
    logBytes: u32,
    /** Length of the output tail. */
    tailBytes: u32,
  }),
  /** Origin to destination: a piece of what STATE announced. */
  stateChunk: definePiece(
    0x03,
    'both',
    {
      requestId,
      /** The piece. */
      bytes: rest,
    },
    MAX_STATE_CHUNK_BYTES,
  ),
  /** Origin to destination: the session is not here. */
  gone: definePeer(0x05, {
    requestId,
    /** Whether it has ended, so that no ticket may restore it. */
    ended: flag,
  }),
  /** Origin to destination: it will not give the session. */
  pullRefused: definePeer(0x06, {
    requestId,
    /** Why (§11). */
    code: u16,
    /** The reason in words, for logs. */
    message: message(MAX_MESSAGE_BYTES),
  }),
  /** Destination to origin: the client confirmed, so the origin drops its copy. */
  confirmed: definePeer(0x07, {
    sessionId,
    /** Epoch of the confirmed attach. */
    epoch: u48,
  }),
  /** Destination to origin: it gave the attach up; the origin stays frozen until the client comes back or time runs out. */
  abort: definePeer(0x08, {
    sessionId,
    /** Epoch of the attach that was given up. */
    epoch: u48,
  }),
  /** Destination to origin: the session lives elsewhere; with the client's own request. */
  release: definePeer(0x09, { sessionId, nonce, migrate }),
  /** Either way: asks for a PEER_PONG. */
  peerPing: definePeer(0x0a, {
    /** Chosen by the sender. */
    token: u64,
  }),
  /** Either way: answers a PEER_PING at once. */
  peerPong: definePeer(0x0b, {
    /** That of the PEER_PING. */
    token: u64,
    /** Load of the sender, for policies: 0 idle … 255 full. */
    load: u8,
  }),
} as const;

export type PeerFrameName = keyof typeof peerFrames;
export type PeerFrameValue<N extends PeerFrameName> = StructValue<(typeof peerFrames)[N]['fields']>;
export type PeerFrame<N extends PeerFrameName = PeerFrameName> = {
  [M in N]: PeerFrameValue<M> & { readonly frame: M; readonly payload: Uint8Array };
}[N];
