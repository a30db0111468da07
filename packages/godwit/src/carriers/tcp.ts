/** Carriers over TCP and Unix sockets. */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { unixPathOf } from './address.ts';
import { busyPoll } from './busy-poll.ts';
import { keepFreedMemory } from './freed-memory.ts';
import { Lender } from './lender.ts';
import { youngBuffers } from './young-buffers.ts';
import type { TLSSocket } from 'node:tls';
import {
  ENDED_BY_PEER,
  ENDED_HERE,
  END_TIMEOUT_MS,
  WRITE_HIGH_WATER_BYTES,
  closedBy,
  type Carrier,
  type CarrierClosed,
  type CarrierHandlers,
  type Dial,
  type DialAddress,
  type DialDone,
  type DialOptions,
  type DialStep,
  type KeepAlive,
  type ListenHandlers,
  type ListenTarget,
  type Listener,
  type Transport,
} from './carrier.ts';

export interface SocketCarrierOptions {
  /** Keying material of TLS. */
  readonly exporter?: Uint8Array | undefined;
  readonly tls?: TLSSocket | undefined;
  /** Of a socket that was made with its `onread`. */
  readonly lender?: Lender | undefined;
}

/** node reads no more at once, unless it is given memory for it: whoever sees a chunk like that has a bulk stream. */
const BULK_CHUNK_BYTES = 64 * 1024;

/** Where a socket names the carrier that is made of it: so all sockets share their listeners. */
const CARRIER = Symbol('carrier');

interface OwnedSocket extends net.Socket {
  [CARRIER]: SocketCarrier;
}

/** A carrier around a connected stream socket. */
export class SocketCarrier implements Carrier {
  readonly exporter: Uint8Array | undefined;
  readonly tls: TLSSocket | undefined;
  readonly #socket: net.Socket;
  #handlers: CarrierHandlers | undefined;
  /** Why it is over, once that is known: the first cause counts. */
  #closed: CarrierClosed | undefined;
  #reported = false;
  readonly #lender: Lender | undefined;
  #busyPollMs = 0;
  /** A turn of the event loop that is to come would keep the process alive. */
  #isReferenced = true;
  /** Told when nothing is left of it. */
  whenClosed: (() => void) | undefined;
  halfOpenFrom: string | undefined;

  constructor(socket: net.Socket, { exporter, tls, lender }: SocketCarrierOptions = {}) {
    this.#socket = socket;
    this.#lender = lender;
    if (lender !== undefined) socket.pause();
    this.exporter = exporter;
    this.tls = tls;
    (socket as OwnedSocket)[CARRIER] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }
  get localPort(): number | undefined {
    return this.#socket.localPort;
  }
  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }
  get remoteFamily(): string | undefined {
    return this.#socket.remoteFamily;
  }
  get bytesQueued(): number {
    return this.#socket.writableLength;
  }
  get lendsChunks(): boolean {
    return this.#lender?.isLending ?? false;
  }

  start(handlers: CarrierHandlers): void {
    const isFirst = this.#handlers === undefined;
    this.#handlers = handlers;
    if (!isFirst) return;
    const socket = this.#socket;
    if (socket.closed) {
      queueMicrotask(() => {
        this.#report(ENDED_HERE);
      });
      return;
    }
    if (this.#lender === undefined) socket.on('data', onData);
    else this.#lender.lendTo(this);
    socket.on('drain', onDrain);
    socket.on('end', onEnd);
    socket.resume();
  }

  write(parts: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (this.#closed !== undefined || parts.length === 0) return true;
    let bytes = 0;
    if (parts.length === 1) {
      const part = parts[0] as Uint8Array;
      bytes = part.byteLength;
      socket.write(part);
    } else {
      // Corked writes leave in one writev when the cork is drawn.
      socket.cork();
      for (const part of parts) {
        bytes += part.byteLength;
        socket.write(part);
      }
      socket.uncork();
    }
    if (this.#isReferenced) busyPoll.wrote(bytes, this.#busyPollMs);
    return !socket.writableNeedDrain;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#handlers !== undefined) this.#socket.resume();
  }

  end(): void {
    if (this.#closed !== undefined) return;
    this.#closed = ENDED_HERE;
    this.#finish();
  }

  destroy(): void {
    this.#closed ??= ENDED_HERE;
    this.#socket.destroy();
  }

  reset(): void {
    this.#closed ??= ENDED_HERE;
    // Only TCP has a RST; elsewhere node throws. What is cut off without TLS's own goodbye is taken for a reset by the peer.
    if (this.tls !== undefined || this.#socket.remoteAddress === undefined) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  ref(): void {
    this.#isReferenced = true;
    this.#socket.ref();
  }
  unref(): void {
    this.#isReferenced = false;
    this.#socket.unref();
  }
  setNoDelay(noDelay: boolean): void {
    this.#socket.setNoDelay(noDelay);
  }
  setKeepAlive({ enable, initialDelayMs, intervalMs, count }: KeepAlive): void {
    this.#socket.setKeepAlive(enable, initialDelayMs, intervalMs, count);
  }
  setBusyPoll(busyPollMs: number): void {
    this.#busyPollMs = busyPollMs;
  }
  get typeOfService(): number {
    // Node 22 does not know it.
    return (this.#socket as Partial<net.Socket>).getTypeOfService?.() ?? 0;
  }
  set typeOfService(typeOfService: number) {
    (this.#socket as Partial<net.Socket>).setTypeOfService?.(typeOfService);
  }

  takeStream(): Duplex {
    const socket = this.#socket;
    this.#reported = true;
    socket.pause();
    socket.off('data', onData);
    socket.off('drain', onDrain);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    socket.off('error', onError);
    return socket;
  }

  /** @internal Bytes that came. */
  take(chunk: Uint8Array): void {
    if (this.#lender === undefined) {
      if (chunk.byteLength >= BULK_CHUNK_BYTES) keepFreedMemory();
      youngBuffers.took(chunk.byteLength);
    }
    busyPoll.read();
    if (this.#closed === undefined) this.#handlers?.onData(chunk);
  }

  /** @internal What was written is passed on. */
  drained(): void {
    if (this.#closed === undefined) this.#handlers?.onDrain();
  }

  /** @internal The socket is about to close; but for some errors of TLS, behind which node leaves it open. */
  failed(error: Error): void {
    this.#lender?.flush();
    this.#closed ??= closedBy(error);
    this.#socket.destroy();
  }

  /** The peer sends no more. What we owe it still goes out, so that its last reads are not cut short by a RST. @internal */
  endedByPeer(): void {
    this.#lender?.flush();
    if (this.#closed !== undefined || this.#handlers?.onEnd?.() === true) return;
    this.#closed = ENDED_BY_PEER;
    this.#finish();
    this.#report(ENDED_BY_PEER);
  }

  /** @internal The socket is closed. */
  socketClosed(): void {
    this.whenClosed?.();
    this.#lender?.flush();
    this.#report(ENDED_BY_PEER);
  }

  /** Flushes, ends and goes on reading into nothing: closing a socket with unread input would reset it. */
  #finish(): void {
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), END_TIMEOUT_MS).unref();
    socket.once('close', () => {
      clearTimeout(timer);
    });
    socket.end();
    socket.resume();
  }

  #report(otherwise: CarrierClosed): void {
    if (this.#reported || this.#handlers === undefined) return;
    this.#reported = true;
    this.#handlers.onClose(this.#closed ?? otherwise);
  }
}

function onData(this: net.Socket, chunk: Uint8Array): void {
  (this as OwnedSocket)[CARRIER].take(chunk);
}

function onDrain(this: net.Socket): void {
  (this as OwnedSocket)[CARRIER].drained();
}

function onError(this: net.Socket, error: Error): void {
  (this as OwnedSocket)[CARRIER].failed(error);
}

function onEnd(this: net.Socket): void {
  (this as OwnedSocket)[CARRIER].endedByPeer();
}

function onClose(this: net.Socket): void {
  (this as OwnedSocket)[CARRIER].socketClosed();
}

export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  highWaterMark: WRITE_HIGH_WATER_BYTES,
} as const;

export class TcpTransport implements Transport {
  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    const { timeoutMs: _timeoutMs, signal: _signal, unixSockets, onStep, ...given } = options;
    const where = targetOf(address, unixSockets);
    if (where === undefined) return failLater(deniedDial(address), done);
    const connect = { ...SOCKET_OPTIONS, ...definedIn(given), ...where };
    const lender = new Lender();
    const socket = new net.Socket({ ...connect, onread: lender.onread });
    if (onStep !== undefined) tellSteps(socket, onStep);
    try {
      socket.connect(connect);
    } catch (error) {
      // A port out of range and the like: reported as every other failure is.
      socket.destroy();
      return failLater(closedBy(error as Error), done);
    }
    return watchDial(socket, 'connect', options, done, () => new SocketCarrier(socket, { lender }));
  }

  listen(target: ListenTarget, handlers: ListenHandlers): Listener {
    const server = net.createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true });
    return listenOn(server, 'connection', target, handlers, (socket) => new SocketCarrier(socket));
  }
}

/** An address as node dials it; undefined for a Unix socket where none may be dialled. */
export function targetOf(
  { host, port }: DialAddress,
  unixSockets: boolean | undefined,
): { readonly host: string; readonly port: number } | { readonly path: string } | undefined {
  const path = unixPathOf(host);
  if (path === undefined) return { host, port };
  return unixSockets === true ? { path } : undefined;
}

export function deniedDial({ host }: DialAddress): CarrierClosed {
  return { code: 'ERR_GODWIT_DENIED', message: `dialling ${host} is not allowed here`, reset: true };
}

/** Where a socket keeps who hears of the steps of its dial, until that is done. */
const ON_STEP = Symbol('onStep');

interface TellingSocket extends net.Socket {
  [ON_STEP]: ((step: DialStep) => void) | undefined;
}

/** Tells of the steps of a connecting socket, which node's names are for. The listeners live as long as the socket, so all share them. */
export function tellSteps(socket: net.Socket, onStep: (step: DialStep) => void): void {
  (socket as TellingSocket)[ON_STEP] = onStep;
  socket.on('lookup', tellLookup);
  socket.on('connectionAttempt', tellAttempt);
  socket.on('connectionAttemptFailed', tellFailure);
  socket.on('connectionAttemptTimeout', tellTimeout);
}

function forgetSteps(socket: net.Socket): void {
  (socket as TellingSocket)[ON_STEP] = undefined;
}

function tellLookup(
  this: net.Socket,
  error: Error | null,
  address: string | undefined,
  family: string | number | null,
  host: string,
): void {
  const args = [error, address, family as number, host] as const;
  (this as TellingSocket)[ON_STEP]?.({ event: 'lookup', args });
}

function tellAttempt(this: net.Socket, ...args: [address: string, port: number, family: number]): void {
  // The list is there only while several addresses are tried.
  const attempted = this.autoSelectFamilyAttemptedAddresses as readonly string[] | undefined;
  const isOneOfSeveral = attempted !== undefined;
  (this as TellingSocket)[ON_STEP]?.({ event: 'connectionAttempt', args, isOneOfSeveral });
}

function tellFailure(
  this: net.Socket,
  ...args: [address: string, port: number, family: number, error: Error]
): void {
  (this as TellingSocket)[ON_STEP]?.({ event: 'connectionAttemptFailed', args });
}

function tellTimeout(this: net.Socket, ...args: [address: string, port: number, family: number]): void {
  (this as TellingSocket)[ON_STEP]?.({ event: 'connectionAttemptTimeout', args });
}

/** Follows a connecting socket up to `event`; shared by every transport that is made of node's sockets. */
export function watchDial(
  socket: net.Socket,
  event: string,
  { timeoutMs, signal }: DialOptions,
  done: DialDone,
  wrap: () => Carrier,
  objection?: () => CarrierClosed | undefined,
): Dial {
  let over = false;
  const settle = (error: CarrierClosed | undefined): void => {
    over = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    socket.off(event, onReady);
    socket.off('error', onError);
    socket.off('close', onEarlyClose);
    forgetSteps(socket);
    if (error === undefined) return;
    // Sockets that die of being destroyed still report errors, which nobody waits for any more.
    socket.on('error', () => undefined);
    socket.destroy();
  };
  const fail = (error: CarrierClosed): void => {
    if (over) return;
    settle(error);
    done(error, undefined);
  };
  const onReady = (): void => {
    const objected = objection?.();
    if (objected !== undefined) {
      fail(objected);
      return;
    }
    settle(undefined);
    done(undefined, wrap());
  };
  const onError = (error: Error): void => fail(closedBy(error));
  const onEarlyClose = (): void => fail(ENDED_BY_PEER);
  const onAbort = (): void => fail({ code: 'ABORT_ERR', message: 'the dial was aborted', reset: false });
  const timer = setTimeout(() => {
    fail({ code: 'ETIMEDOUT', message: `no connection within ${timeoutMs} ms`, reset: false });
  }, timeoutMs);
  socket.once(event, onReady);
  socket.once('error', onError);
  socket.once('close', onEarlyClose);
  if (signal?.aborted === true) queueMicrotask(onAbort);
  else signal?.addEventListener('abort', onAbort, { once: true });
  return {
    cancel: () => {
      if (!over) settle(ENDED_HERE);
    },
  };
}

/** Listens with a server of node; shared like `watchDial`. */
export function listenOn<S extends net.Socket>(
  server: net.Server,
  event: string,
  target: ListenTarget,
  handlers: ListenHandlers,
  wrap: (socket: S) => Carrier,
): Listener {
  let connections = 0;
  const onClose = (): void => {
    connections -= 1;
  };
  server.on(event, (socket: S) => {
    connections += 1;
    socket.on('close', onClose);
    handlers.onCarrier(wrap(socket));
  });
  server.on('listening', () => handlers.onListening?.());
  server.on('error', (error) => handlers.onError?.(error));
  server.on('close', () => handlers.onClose?.());
  const args = 'args' in target ? target.args : [target];
  (server.listen as (...listenArgs: unknown[]) => unknown).apply(server, [...args]);
  return {
    get listening() {
      return server.listening;
    },
    get connections() {
      return connections;
    },
    address: () => server.address(),
    close: () => {
      server.close();
    },
    ref: () => {
      server.ref();
    },
    unref: () => {
      server.unref();
    },
  };
}

/** A dial that failed before it began. */
export function failLater(error: CarrierClosed, done: DialDone): Dial {
  const immediate = setImmediate(() => done(error, undefined));
  return {
    cancel: () => {
      clearImmediate(immediate);
    },
  };
}

/** node reads an option that is there and undefined differently from one that is missing. */
export function definedIn<T extends object>(options: T): Partial<T> {
  const defined: Partial<T> = {};
  for (const name of Object.keys(options) as (keyof T)[])
    if (options[name] !== undefined) defined[name] = options[name];
  return defined;
}
