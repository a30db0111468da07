/**
 * Every frame between a client and a server (protocol.md §5), declared once: type, direction, fields in wire order.
 * A frame is a header (type: 1 byte, payload length: 3 bytes) and its payload. Types from 0x80 on are not critical:
 * a receiver that does not know one skips it. The comments of frames and fields are what protocol.md says of them.
 */
import {
  bytes,
  choice,
  fixed,
  flag,
  list,
  message,
  rest,
  u16,
  u32,
  u48,
  u64,
  u8,
  type StructValue,
} from './schema.ts';
import {
  ATTACH_ID_BYTES,
  KEY_SHARE_BYTES,
  NONCE_BYTES,
  define,
  definePiece,
  mac,
  name,
  serverFields,
  service,
  sessionId,
} from './definition.ts';
import {
  MAX_INLINE_BODY_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_SERVERS,
  MAX_SNAPSHOT_CHUNK_BYTES,
  MAX_TICKET_HEAD_BYTES,
  MAX_WATCHED_PER_FRAME,
} from './limits.ts';
import { Delivery, OriginState, Source } from './values.ts';

export const frames = {
  /** The server's answer to the client's preface: part of carrier set-up. */
  challenge: define(0x01, 'server', {
    /** Version that the server goes on with. */
    version: u8,
    /** Fresh for this carrier; proofs of the client cover it. */
    nonce: fixed(NONCE_BYTES),
    /** The server's own name; proofs of the client cover it. */
    serverName: name,
  }),
  /** A new session; data may follow at once. */
  open: define(0x02, 'client', {
    /** The client's random choice, the same when OPEN is repeated. */
    sessionId,
    /** Which OPEN of the session it is, from 1: the session's epoch there. */
    epoch: u48,
    service,
    /** The client's X25519 public key. */
    keyShare: fixed(KEY_SHARE_BYTES),
    /** The client's part of the salt of the session secret. */
    nonce: fixed(NONCE_BYTES),
    /** Output offset up to which the server may send. */
    credit: u64,
    /** Most input that the client retains for a restore. */
    retainLimitBytes: u32,
    /** Largest ticket body that the client takes. */
    maxBodyBytes: u32,
    /** Bits of optional features; unknown ones are ignored. None is defined. */
    features: u32,
  }),
  /** Answer to OPEN (with key share and nonce), and again after each attach and when the list of servers changes. */
  support: define(0x03, 'server', {
    /** Epoch of the OPEN or attach it belongs to. */
    epoch: u48,
    /** Delivery mode: 0 replay, 1 commit. */
    delivery: choice(Delivery),
    /** The server's X25519 public key; empty except in the answer to OPEN. */
    keyShare: bytes(KEY_SHARE_BYTES),
    /** The server's part of the salt of the session secret; empty except in the answer to OPEN. */
    nonce: bytes(NONCE_BYTES),
    /** The cluster key that the trigger key is derived from. */
    triggerKeyId: bytes(8),
    /** The session's trigger key, masked under the session secret. */
    triggerKey: bytes(32),
    /** The other cluster key whose trigger key is still good; empty where there is none. Whatever else was told is not. */
    otherTriggerKeyId: bytes(8),
    /** Input offset up to which the client may send. */
    credit: u64,
    /** Where the session can go, this server included. */
    servers: list(serverFields, MAX_SERVERS),
    mac,
  }),
  /** Makes the carrier a standby; proves possession of one session of this cluster. */
  standby: define(0x04, 'client', {
    service,
    /** Sealed head of a ticket of that session. */
    head: bytes(MAX_TICKET_HEAD_BYTES),
    mac,
  }),
  /** The sessions for which this standby takes TRIGGERs. */
  watch: define(0x05, 'client', {
    /** Sessions from now on. */
    add: list(
      {
        sessionId,
        /** Epoch of its present attach. */
        epoch: u48,
      },
      MAX_WATCHED_PER_FRAME,
    ),
    /** Sessions no longer. */
    remove: list({ sessionId }, MAX_WATCHED_PER_FRAME),
  }),
  /** Asks this server to become the session's server. */
  migrate: define(0x06, 'client', {
    service,
    /** Sealed head of the client's newest whole ticket. */
    head: bytes(MAX_TICKET_HEAD_BYTES),
    /** Its sealed body when that is short; else empty, and sent on NEED_BODY. */
    body: bytes(MAX_INLINE_BODY_BYTES),
    /** Above that of every earlier OPEN, MIGRATE and DETACH of the session. */
    epoch: u48,
    /** Random; ACCEPT is bound to it. */
    attachId: fixed(ATTACH_ID_BYTES),
    /** Output offset up to which the client has everything (R). */
    received: u64,
    /** Output offset up to which the client's application has, or may have, read. */
    delivered: u64,
    /** Epoch of the newest restart point that the client knows. */
    newestEpoch: u48,
    /** Number of the newest restart point that the client knows. */
    newestK: u48,
    /** Output offset from which on `digest` is computed. */
    digestFrom: u64,
    /** CRC-32 of the output from `digestFrom` to `received`; 0 in commit mode. */
    digest: u32,
    /** First input offset that the client still has. */
    retainedFrom: u64,
    /** Name of the server the session leaves. */
    origin: name,
    /** Epoch of the OPEN or attach that is left: another one of that server's is not what the client has. */
    originEpoch: u48,
    /** What the client knows of it: 0 unknown, 1 dead, 2 detached. */
    originState: choice(OriginState),
    /** How the migration came about (§5.3). */
    cause: u8,
    /** How long the client waits for an answer. */
    budgetMs: u32,
    /** Output offset up to which the server may send. */
    credit: u64,
    /** Most input that the client retains for a restore. */
    retainLimitBytes: u32,
    /** Largest ticket body that the client takes. */
    maxBodyBytes: u32,
    mac,
  }),
  /** The session can go on here, from this restart point; the client confirms. */
  accept: define(0x07, 'server', {
    /** That of the MIGRATE. */
    epoch: u48,
    /** Where the state came from: 0 resume, 1 origin, 2 ticket, 3 store. */
    source: choice(Source),
    /** Epoch of the restart point. */
    restartEpoch: u48,
    /** Number of the restart point. */
    restartK: u48,
    /** Output produced at the restart point. */
    restartOutput: u64,
    /** Input offset from which on the client sends on this carrier. */
    inputStart: u64,
    /** Output offset from which on the server sends on this carrier. */
    outputStart: u64,
    /** Input offset up to which the client may send. */
    credit: u64,
    mac,
  }),
  /** Answer to OPEN (epoch 0), STANDBY (epoch 0) or MIGRATE. */
  refuse: define(0x08, 'server', {
    /** That of the MIGRATE, or 0. */
    epoch: u48,
    /** Why (§11). */
    code: u16,
    /** Whether another server may do what this one refuses. */
    tryElsewhere: flag,
    /** The reason in words, for logs. */
    message: message(MAX_MESSAGE_BYTES),
  }),
  /** The attach goes on: the client's wait begins anew. */
  progress: define(0x09, 'server', {
    /** That of the MIGRATE. */
    epoch: u48,
  }),
  /** The client has taken the ACCEPT: from now on this server is the session's. Data may follow at once. */
  confirm: define(0x0a, 'client', {
    /** That of the ACCEPT. */
    epoch: u48,
    /** MAC over the payload of the ACCEPT and the payload before it (§8). */
    mac,
  }),
  /** The server wants the body of the ticket whose head came in MIGRATE. */
  needBody: define(0x0b, 'server', {
    /** That of the MIGRATE. */
    epoch: u48,
  }),
  /** A piece of that body; the pieces follow each other without a gap. */
  body: definePiece(
    0x0c,
    'client',
    {
      /** That of the MIGRATE. */
      epoch: u48,
      /** Where in the body the piece begins. */
      offset: u32,
      /** The piece. */
      bytes: rest,
    },
    MAX_SNAPSHOT_CHUNK_BYTES,
  ),
  /** Everything the sender has received in order, and the offset up to which the other may send. */
  ack: define(0x11, 'both', {
    /** Offset behind the last byte, or FIN, received. */
    received: u64,
    /** Offset up to which the receiver of this frame may send; never lower than before. */
    credit: u64,
  }),
  /** End of the sender's stream. */
  fin: define(0x12, 'both', {
    /** The FIN's own offset: that behind the last byte. */
    offset: u64,
  }),
  /** A piece of the ticket for snapshot k; every piece repeats the metadata. */
  snapshot: definePiece(
    0x13,
    'server',
    {
      /** Epoch of the snapshot. */
      epoch: u48,
      /** Number of the snapshot. */
      k: u48,
      /** Input consumed at the snapshot. */
      input: u64,
      /** Output produced at the snapshot. */
      output: u64,
      /** Length of the head, which comes first in the ticket. */
      headBytes: u16,
      /** Length of the whole ticket. */
      totalBytes: u32,
      /** Where in the ticket the piece begins. */
      offset: u32,
      /** The piece. */
      bytes: rest,
    },
    MAX_SNAPSHOT_CHUNK_BYTES,
  ),
  /** The client holds this ticket whole. */
  snapshotAck: define(0x14, 'client', {
    /** Epoch of the snapshot. */
    epoch: u48,
    /** Number of the snapshot. */
    k: u48,
  }),
  /** No ticket covers what is named here: a restore that would need it is refused. */
  unprotected: define(0x16, 'server', {
    /** Why: 0 the application exports no state, 1 its state is too large. */
    reason: u8,
    /** Input below it may be freed on ACK. */
    input: u64,
    /** Output below it may be delivered uncovered. */
    output: u64,
  }),
  /** From this snapshot on the session can be restored again. */
  protected: define(0x17, 'server', {
    /** Epoch of the snapshot. */
    epoch: u48,
    /** Number of the snapshot. */
    k: u48,
  }),
  /** Ends the session at once, in both directions. */
  reset: define(0x18, 'both', {
    /** Epoch of the present attach. */
    epoch: u48,
    /** Why (§11). */
    code: u16,
    /** The reason in words, for logs. */
    message: message(MAX_MESSAGE_BYTES),
    mac,
  }),
  /** The RESET has come: the session is over on this side too. */
  resetAck: define(0x19, 'both', {}),
  /** The sender is done with the session: its stream has ended, it has consumed or discarded the other. */
  close: define(0x1a, 'both', {
    /** Epoch of the present attach. */
    epoch: u48,
    /** Offset behind the sender's FIN. */
    final: u64,
    mac,
  }),
  /** The CLOSE has come; it need not be repeated after a migration. */
  closeAck: define(0x1b, 'both', {}),
  /** Asks for a PONG: is the other there, and how far away? */
  ping: define(0x20, 'both', {
    /** Chosen by the sender. */
    token: u64,
  }),
  /** Answers a PING at once. */
  pong: define(0x21, 'both', {
    /** That of the PING. */
    token: u64,
  }),
  /** Asks the client to migrate: in-band from the origin, or from any other server over its standby. */
  trigger: define(0x22, 'server', {
    sessionId,
    /** Epoch of the present attach: a trigger for another one is void. */
    epoch: u48,
    /** Above that of every earlier trigger of this epoch. */
    counter: u64,
    /** Why, for reports; the client does as asked whatever it says. */
    reason: u8,
    /** Name of the server that asks. */
    from: name,
    /** Name of the destination. */
    name,
    /** Its host; empty when the client may choose the destination. */
    host: serverFields.host,
    /** Its port. */
    port: serverFields.port,
    /** MAC over the payload before it, made with the session's trigger key (§8). */
    mac,
  }),
  /** Asks the origin to freeze the session, flush its output and a last ticket. */
  detach: define(0x23, 'client', {
    /** Above that of every earlier OPEN, MIGRATE and DETACH of the session. */
    epoch: u48,
    mac,
  }),
  /** It has done so. */
  detached: define(0x24, 'server', {
    /** That of the DETACH. */
    epoch: u48,
    mac,
  }),
  /** The origin has frozen the session for a migration that the client did not see coming. */
  frozen: define(0x25, 'server', {
    /** Epoch of the attach for which it was frozen. */
    epoch: u48,
    mac,
  }),
} as const;

export type FrameName = keyof typeof frames;
export type FrameValue<N extends FrameName> = StructValue<(typeof frames)[N]['fields']>;
/** A decoded frame: its name, its fields, and the payload it was decoded from (MACs are computed over it). */
export type Frame<N extends FrameName = FrameName> = {
  [M in N]: FrameValue<M> & { readonly frame: M; readonly payload: Uint8Array };
}[N];
