/** Limits of the wire format (protocol.md §12). Lengths are checked against these before anything is allocated. */

/** Version of the protocol this code speaks. */
export const PROTOCOL_VERSION = 1;

/** Bytes of a frame header: type (1) and payload length (3). */
export const HEADER_BYTES = 4;

/** Largest payload that a header can announce, in bytes. Only a frame that is skipped may be as large. */
export const MAX_PAYLOAD_BYTES = 2 ** 24 - 1;

/** Largest payload of one DATA frame, in bytes. Payloads are passed on as they arrive and are never gathered. */
export const MAX_DATA_BYTES = 1 << 20;

/** Largest payload of any frame before its sender is authenticated, in bytes (invariant I8). DATA is bounded by credit. */
export const MAX_UNAUTHENTICATED_FRAME_BYTES = 4096;

/**
 * Most frames that come to nothing before their sender is authenticated: of unknown types, and empty DATA. A later version
 * has room for a few; more than that is no greeting.
 */
export const MAX_UNAUTHENTICATED_SKIPPED_FRAMES = 16;

/** Most bytes of such frames together, headers included. Memory cost: none, they are dropped as they come. */
export const MAX_UNAUTHENTICATED_SKIPPED_BYTES = 16 * 1024;

/** No frame but DATA has a larger payload, in bytes. Memory cost: one such buffer a carrier at the most. */
export const MAX_CONTROL_BYTES = 64 * 1024;

/** Largest piece of a ticket in one SNAPSHOT or BODY frame, in bytes. */
export const MAX_SNAPSHOT_CHUNK_BYTES = 16 * 1024;

/** Largest sealed ticket head, in bytes. */
export const MAX_TICKET_HEAD_BYTES = 512;

/** Largest ticket body that rides inside MIGRATE instead of waiting for NEED_BODY, in bytes. */
export const MAX_INLINE_BODY_BYTES = 2048;

/** Largest piece of state in one STATE_CHUNK, in bytes. */
export const MAX_STATE_CHUNK_BYTES = 60 * 1024;

/** Longest name of a server or a service, in bytes of UTF-8. A longer one is refused where it is configured. */
export const MAX_NAME_BYTES = 64;

/** Longest host name or address of a server, in bytes of UTF-8. A longer one is refused where it is configured. */
export const MAX_HOST_BYTES = 128;

/** Longest message in a REFUSE, RESET or PULL_REFUSED, in bytes of UTF-8. Longer ones are cut. */
export const MAX_MESSAGE_BYTES = 256;

/** Most servers in one SUPPORT. */
export const MAX_SERVERS = 16;

/** Most sessions that one WATCH names. */
export const MAX_WATCHED_PER_FRAME = 1024;

/** Highest epoch of an OPEN: a client that was not answered so often gives up. Above it, only MIGRATE and DETACH raise the epoch. */
export const MAX_OPEN_EPOCH = 1024;

/** Input the client may send behind OPEN before SUPPORT grants more, in bytes. Memory cost: as much a session. */
export const INITIAL_CREDIT_BYTES = 64 * 1024;
