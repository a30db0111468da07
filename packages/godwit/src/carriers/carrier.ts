/**
 * What a carrier is: one reliable byte pipe under a session (protocol.md §3). TCP, TLS, WebSocket and memory all
 * implement these interfaces, and nothing above this folder knows which one it has.
 */
import type { BlockList, LookupFunction, ListenOptions } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/** Bytes waiting to be sent from which on `write` answers false. Memory cost: about as much a stalled carrier. */
export const WRITE_HIGH_WATER_BYTES = 256 * 1024;

/** When to give up on a carrier that was ended and whose peer does not end its side, in milliseconds. */
export const END_TIMEOUT_MS = 5_000;

/** Why a carrier, or an attempt to dial one, is over. */
export interface CarrierClosed {
  /** Node's code where there is one (`ECONNRESET`, `ETIMEDOUT`, …); `ERR_GODWIT_CARRIER_CLOSED` when this side closed it. */
  readonly code: string;
  readonly message: string;
  /** The peer's host said so: a RST, a refusal or the end of the pipe. Without it the peer is merely silent. */
  readonly reset: boolean;
  /** It says nothing of the server: another carrier to it, over another connection, may well do. */
  readonly redial?: true | undefined;
  /** Node's own error, where there is one. */
  readonly cause?: Error | undefined;
}

/** The code of a carrier that this side ended, destroyed or reset itself. */
export const CLOSED_HERE = 'ERR_GODWIT_CARRIER_CLOSED';

/** Whom a carrier tells what happens to it. */
export interface CarrierHandlers {
  /** Bytes as they came. The receiver may keep them, unless the carrier only lends them: `Carrier.lendsChunks`. */
  onData(chunk: Uint8Array): void;
  /** What `write` took has been passed on: write again. May also come without a `write` that answered false. */
  onDrain(): void;
  /**
   * The peer sends no more. True: the handler goes on with what is left of the pipe (`takeStream`); otherwise the carrier
   * is over.
   */
  onEnd?(): boolean;
  /**
   * Called exactly once, whichever side closed, never from within a call of the carrier's own methods. An end of the
   * peer's stream is a reset too: a session that is over says so itself before its carrier ends.
   */
  onClose(closed: CarrierClosed): void;
}

/** One reliable, ordered byte pipe (docs/protocol.md §3.1). */
export interface Carrier {
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: string | undefined;
  /** Keying material that binds proofs to this carrier (RFC 9266); undefined without TLS. */
  readonly exporter: Uint8Array | undefined;
  /** What TLS knows of the peer; undefined without TLS. */
  readonly tls: TLSSocket | undefined;
  /** Bytes that `write` took and the pipe has not. */
  readonly bytesQueued: number;
  /** The chunk that `onData` is called with is valid until that returns, and no longer: its memory takes the next bytes that come. */
  readonly lendsChunks: boolean;

  /**
   * Begins reading. Bytes, and an end, that came before are kept until then. A later call hands the carrier over to
   * other handlers: whoever read the preface gives it on to whom it is for.
   */
  start(handlers: CarrierHandlers): void;
  /**
   * Sends all parts in order, in one system call where the pipe has one. They must not be changed until they are
   * flushed. False: `WRITE_HIGH_WATER_BYTES` are waiting, so wait for `onDrain`. Does nothing on a closed carrier.
   */
  write(parts: readonly Uint8Array[]): boolean;
  /** Stops reading. For bounded memory before authentication only: an attached carrier is always read. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Flushes, then ends the pipe; what still comes in is dropped. Destroyed after `END_TIMEOUT_MS`. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /** Closes at once, and lets the peer know by a RST where the pipe has one. */
  reset(): void;
  /** The carrier keeps the process alive, as it does from the start. */
  ref(): void;
  /** The carrier keeps no process alive. */
  unref(): void;
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(keepAlive: KeepAlive): void;
  /** For how long to look for what comes behind a small write before the process sleeps, in milliseconds. 0, as from the start: not at all. */
  setBusyPoll(busyPollMs: number): void;
  /** Of the packets that leave; 0 where the pipe has none. Throws what the operating system says against it. */
  typeOfService: number;
  /** Of the server: the network for which it counts as half-open (`maxHalfOpen`); undefined when it does not. */
  halfOpenFrom?: string | undefined;
  /**
   * Gives the pipe up to a peer that does not speak Godwit: the raw stream, paused and half-open. No handler is called any
   * more; `end`, `reset` and the settings still work. Only some carriers can.
   */
  takeStream?(): Duplex;
}

/** The keep-alive of TCP. Pipes of other kinds have none. */
export interface KeepAlive {
  readonly enable: boolean;
  /** Silence before the first probe, in milliseconds. 0: the operating system's. */
  readonly initialDelayMs: number;
  /** Between probes, in milliseconds. Default node's: 1,000. */
  readonly intervalMs?: number | undefined;
  /** Probes without an answer after which the peer counts as gone. Default node's: 10. */
  readonly count?: number | undefined;
}

/** Where to dial. */
export interface DialAddress {
  /** A name or IP address; `unix:` and a path, with port 0, is a Unix socket. */
  readonly host: string;
  readonly port: number;
}

/** How to dial; what a transport does not know it ignores. */
export interface DialOptions {
  /** When to give up, in milliseconds; the error's code is `ETIMEDOUT`. */
  readonly timeoutMs: number;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly family?: number | undefined;
  readonly hints?: number | undefined;
  readonly lookup?: LookupFunction | undefined;
  /**
   * Whether to dial Unix sockets. Default false, ERR_GODWIT_DENIED: who tells others of servers could make them speak to any
   * service of their own machine.
   */
  readonly unixSockets?: boolean | undefined;
  readonly autoSelectFamily?: boolean | undefined;
  readonly autoSelectFamilyAttemptTimeout?: number | undefined;
  /** A dial of one of these addresses is done with code `ERR_IP_BLOCKED`. */
  readonly blockList?: BlockList | undefined;
  /** An aborted dial is done with code `ABORT_ERR`. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each step, before `done`. */
  readonly onStep?: ((step: DialStep) => void) | undefined;
}

/** A step of a dial: an event of net.Socket, with its arguments. */
export type DialStep =
  | {
      readonly event: 'lookup';
      readonly args: readonly [
        error: Error | null,
        address: string | undefined,
        family: number | undefined,
        host: string,
      ];
    }
  | {
      readonly event: 'connectionAttempt';
      readonly args: readonly [address: string, port: number, family: number];
      /** The host has several addresses, which are tried in turn. */
      readonly isOneOfSeveral: boolean;
    }
  | {
      readonly event: 'connectionAttemptFailed';
      readonly args: readonly [address: string, port: number, family: number, error: Error];
    }
  | {
      readonly event: 'connectionAttemptTimeout';
      readonly args: readonly [address: string, port: number, family: number];
    };

/** Called once, unless the dial was cancelled, and never before `dial` returned. */
export type DialDone = (error: CarrierClosed | undefined, carrier: Carrier | undefined) => void;

/** A dial under way. */
export interface Dial {
  /** Gives the dial up; `done` will not be called. Does nothing once it is done. */
  cancel(): void;
}

/** Where somebody comes from; nothing is known of peers over Unix sockets. */
export interface ListenPeer {
  readonly address: string | undefined;
  readonly port: number | undefined;
}

/** Whom a listener tells what happens. */
export interface ListenHandlers {
  /** The carrier is not read before its `start`. */
  onCarrier(carrier: Carrier): void;
  /**
   * A handshake begins, before there is a carrier; the answer is called when it is over. Undefined: the peer is to be closed
   * at once.
   */
  onHandshake?(peer: ListenPeer): (() => void) | undefined;
  onListening?(): void;
  /** It could not listen, or could not accept a connection. */
  onError?(error: Error): void;
  /** Somebody came to nothing before there was a carrier: a TLS handshake that failed. */
  onRefused?(closed: CarrierClosed, peer: ListenPeer): void;
  /** The listener is closed and all its carriers are too. */
  onClose?(): void;
}

/** Where to listen: node's options, or the very arguments of `net.Server#listen` (a handle, a descriptor, a path). */
export type ListenTarget = Readonly<ListenOptions> | { readonly args: readonly unknown[] };

/** What takes carriers in. */
export interface Listener {
  /** From 'listening' to `close`. */
  readonly listening: boolean;
  /** Carriers accepted and not yet closed. */
  readonly connections: number;
  /** Where it listens; null before and after. */
  address(): { readonly address: string; readonly family: string; readonly port: number } | string | null;
  /** Stops accepting; open carriers live on. */
  close(): void;
  ref(): void;
  unref(): void;
}

/** A way to make carriers. */
export interface Transport {
  /** Sets a carrier up; `done` is told the outcome. */
  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial;
  /** Takes carriers in until the listener is closed. */
  listen(target: ListenTarget, handlers: ListenHandlers): Listener;
}

const RESET_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'ECONNREFUSED', 'ENOENT', 'EPIPE']);

/** A carrier's end from an error of node. */
export function closedBy(error: Error & { readonly code?: unknown }): CarrierClosed {
  const code = typeof error.code === 'string' ? error.code : 'ECONNRESET';
  return { code, message: messageOf(error) || code, reset: RESET_CODES.has(code), cause: error };
}

/** Where several addresses were tried, node gives one error for all of them, without a message of its own. */
function messageOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message;
  return error.errors.map((each: Error) => each.message).join('; ');
}

/** The end that a peer's FIN makes. */
export const ENDED_BY_PEER: CarrierClosed = {
  code: 'ECONNRESET',
  message: 'the peer ended the carrier',
  reset: true,
};

/** The end that this side made. */
export const ENDED_HERE: CarrierClosed = {
  code: CLOSED_HERE,
  message: 'the carrier was closed on this side',
  reset: false,
};
