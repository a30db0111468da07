/** The socket that applications hold, at either end: a net.Socket in all but name. */
import { Duplex, addAbortSignal } from 'node:stream';
import { GodwitError, argumentError, errorFromFailure } from '../errors.ts';
import type { Candidate, Failure, MigrationReport } from '../session/client-events.ts';
import {
  readConnectArguments,
  type ConnectOptions,
  type ServerInput,
  type SocketOptions,
} from './connect-options.ts';
import { openSession } from './connector.ts';
import type { AnyListener, SocketEvents } from './events.ts';
import { Inbound } from './inbound.ts';
import { brokenPipe, notConnected, refuseUnsupported, streamOptions, writeAfterEnd } from './net-habits.ts';
import { Outbound, type WriteCallback } from './outbound.ts';
import type { Addresses, PortListener, SessionPort } from './port.ts';

/** Longest `setTimeout`, in milliseconds. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

interface Waiting {
  resolve(report: MigrationReport): void;
  reject(error: Error): void;
}

/**
 * One end of a migratory connection. It has the methods, properties and events of net.Socket, in the same order; what
 * differs is that the server end may live on another machine from one byte to the next.
 *
 * `remoteAddress` and its kin say where the connection was made to; `currentServer` says where the session is now.
 */
export class Socket extends Duplex {
  /** True: this connection can move. net's sockets have no such property. */
  readonly migratory = true;
  /** From `connect()` to 'connect'. */
  connecting = false;
  /** What `setTimeout` was given, in milliseconds; undefined before. */
  timeout: number | undefined;
  /** Always empty: which of a name's addresses was tried is the carrier's affair. */
  readonly autoSelectFamilyAttemptedAddresses: string[] = [];
  /** The server that accepted the connection; null at the client's end. */
  server: unknown = null;
  #port: SessionPort | undefined;
  /** The last port, which still answers what the session was after the socket is gone. */
  #lastPort: SessionPort | undefined;
  #inbound = new Inbound(this);
  #outbound = new Outbound();
  #addresses: Addresses = {};
  #timer: NodeJS.Timeout | undefined;
  #resetting = false;
  #referenced = true;
  #noDelay: boolean | undefined;
  #keepAlive: { readonly enable: boolean; readonly initialDelayMs: number } | undefined;
  #migrations = 0;
  /** Where the move that is under way was asked to go. */
  #askedTarget = '';
  #waiting: Waiting[] = [];

  /** Throws ERR_INVALID_ARG_VALUE for object mode, and ERR_GODWIT_UNSUPPORTED for `onread`, `fd` and `handle`. */
  constructor(options: SocketOptions = {}) {
    refuseUnsupported(options);
    const { signal, keepAlive, keepAliveInitialDelay, noDelay, allowHalfOpen, ...rest } = options;
    // 'close' is emitted here, with `hadError`. Strings become bytes at once, so that lengths are bytes everywhere.
    super({
      ...streamOptions(rest),
      allowHalfOpen: Boolean(allowHalfOpen),
      emitClose: false,
      autoDestroy: true,
    });
    if (noDelay !== undefined) this.#noDelay = noDelay;
    if (keepAlive === true) this.#keepAlive = { enable: true, initialDelayMs: keepAliveInitialDelay ?? 0 };
    if (signal !== undefined) addAbortSignal(signal, this);
    super.on('end', () => this.#onEnd());
  }

  // --- Connecting -----------------------------------------------------------------------------------------------

  /**
   * Opens a session: `connect(port[, host][, listener])` or `connect(options[, listener])`. Failing is an event, except
   * for arguments that are wrong by themselves: ERR_MISSING_ARGS, ERR_SOCKET_BAD_PORT, ERR_INVALID_ARG_TYPE, and
   * ERR_GODWIT_UNSUPPORTED for a path.
   */
  connect(options: ConnectOptions, listener?: () => void): this;
  connect(port: number | string, host: string, listener?: () => void): this;
  connect(port: number | string, listener?: () => void): this;
  connect(...args: unknown[]): this {
    const request = readConnectArguments(args);
    if (this.#port !== undefined && !this.destroyed) {
      this.destroy(new GodwitError('EISCONN', 'connect EISCONN', { syscall: 'connect' }));
      return this;
    }
    if (request.listener !== undefined) this.once('connect', request.listener);
    if (this.destroyed) this.#revive();
    this.connecting = true;
    this.#timer?.refresh();
    this.bindPort(openSession(request, this.createListener()));
    return this;
  }

  /** @internal Ties the session to the socket. */
  protected bindPort(port: SessionPort): void {
    this.#port = port;
    this.#lastPort = port;
    if (this.#noDelay !== undefined) port.setNoDelay(this.#noDelay);
    if (this.#keepAlive !== undefined)
      port.setKeepAlive(this.#keepAlive.enable, this.#keepAlive.initialDelayMs);
    if (!this.#referenced) port.setReferenced(false);
    this.#inbound.bind(port);
    this.#outbound.bind(port);
  }

  /** @internal The server's end starts connected. */
  protected startConnected(addresses: Addresses): void {
    this.#addresses = addresses;
    this.#outbound.release();
  }

  /** @internal What the session calls. */
  protected createListener(): PortListener {
    // A session that outlives this use of the socket must not reach the next one.
    const outbound = this.#outbound;
    const whenOurs =
      <A extends unknown[]>(run: (...args: A) => void) =>
      (...args: A): void => {
        if (this.#outbound === outbound && !this.destroyed) run(...args);
      };
    return {
      connected: whenOurs((addresses) => this.#onConnected(addresses)),
      readable: whenOurs(() => this.#onReadable()),
      drained: whenOurs(() => {
        this.#timer?.refresh();
        outbound.pump();
      }),
      thawed: whenOurs(() => this.#onThawed()),
      migrating: whenOurs((cause, from, to) => this.emit('migrating', { cause, from, to })),
      migrated: whenOurs((report) => {
        this.#migrations += 1;
        this.#settleMigrations((waiting) => waiting.resolve(report));
        this.emit('migrated', report);
      }),
      migrationFailed: whenOurs((failure) => this.#onMigrationFailed(failure)),
      unprotected: whenOurs((reason) => this.emit('unprotected', reason)),
      protected: whenOurs(() => this.emit('protected')),
      servers: whenOurs((servers) => this.emit('servers', servers)),
      closed: whenOurs((error) => this.#onClosed(error)),
    };
  }

  #onConnected(addresses: Addresses): void {
    this.#addresses = addresses;
    this.connecting = false;
    this.#timer?.refresh();
    this.emit('connect');
    this.emit('ready');
    this.#outbound.release();
    // Notices data and the end even while nobody listens, as net does; and not in the turn of 'connect', so that whoever
    // awaits that event can listen first.
    const outbound = this.#outbound;
    setImmediate(() => {
      if (this.#outbound === outbound && !this.destroyed && !this.isPaused()) this.read(0);
    });
  }

  #onReadable(): void {
    this.#timer?.refresh();
    this.#inbound.pump();
  }

  #onThawed(): void {
    this.#outbound.pump();
    this.read(0);
    // The flow stopped at a read that answered null, and nothing but us will start it again.
    while (this.readableFlowing === true && this.read() !== null);
    if (this.readableFlowing !== true && this.readableLength > 0) this.emit('readable');
    this.#inbound.pump();
  }

  #onMigrationFailed(failure: Failure): void {
    this.#settleMigrations((waiting) => waiting.reject(migrationFailed(failure)));
  }

  #settleMigrations(settle: (waiting: Waiting) => void): void {
    const all = this.#waiting;
    this.#waiting = [];
    all.forEach(settle);
  }

  #onClosed(error: Error | undefined): void {
    if (error !== undefined) {
      this.destroy(error);
      return;
    }
    // Both ends are done. What was read is still the application's to take, so only the writing side is over.
    this.#inbound.pump();
    if (!this.writableFinished) this.#outbound.abandon(brokenPipe());
    else if (this.readableEnded) this.destroy();
  }

  #onEnd(): void {
    this.#port?.finConsumed();
    if (!this.allowHalfOpen) this.write = writeAfterEnd;
  }

  #revive(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    Reflect.deleteProperty(this, 'write');
    this.#port = undefined;
    this.#inbound = new Inbound(this);
    this.#outbound = new Outbound();
    this.#addresses = {};
    this.#resetting = false;
  }

  // --- The stream -----------------------------------------------------------------------------------------------

  // As node declares it: what comes out depends on `setEncoding`.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  override read(size?: number): any {
    // While the session is handed over the application must not go on: its state is being taken.
    if (this.#port?.isFrozen === true) return null;
    const chunk: unknown = super.read(size);
    this.#inbound.account();
    return chunk;
  }

  /** @internal */
  override _read(): void {
    this.#inbound.want();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#send([chunk], chunk.byteLength, callback);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: WriteCallback): void {
    let bytes = 0;
    const batch = chunks.map(({ chunk }) => {
      bytes += chunk.byteLength;
      return chunk;
    });
    this.#send(batch, bytes, callback);
  }

  #send(batch: readonly Buffer[], bytes: number, callback: WriteCallback): void {
    if (this.#port === undefined && !this.connecting) {
      callback(argumentError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
      return;
    }
    this.#timer?.refresh();
    this.#outbound.write(batch, bytes, callback);
  }

  /** @internal */
  override _final(callback: WriteCallback): void {
    if (this.#port === undefined && !this.connecting) callback();
    else this.#outbound.final(callback);
  }

  /** @internal */
  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.connecting = false;
    clearTimeout(this.#timer);
    const port = this.#port;
    this.#port = undefined;
    this.#inbound.unbind();
    if (this.#resetting) port?.reset();
    else port?.destroy();
    this.#outbound.abandon(error ?? argumentError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    this.#settleMigrations((waiting) => waiting.reject(error ?? notConnected()));
    callback(error);
    const emitClose = (): void => {
      this.emit('close', error != null);
    };
    if (port === undefined) process.nextTick(emitClose);
    else setImmediate(emitClose);
  }

  /** Ends the writing side, then destroys the socket once everything is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Ends the session at once: the peer's application gets ECONNRESET. While connecting it waits for the connection. */
  resetAndDestroy(): this {
    if (this.connecting) this.once('connect', () => this.#reset());
    else if (this.#port !== undefined) this.#reset();
    else this.destroy(argumentError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    return this;
  }

  #reset(): void {
    this.#resetting = true;
    this.destroy();
  }

  // --- Options of the connection --------------------------------------------------------------------------------

  /**
   * Emits 'timeout' after so many milliseconds without a read or write; 0 turns it off. Throws ERR_INVALID_ARG_TYPE and
   * ERR_OUT_OF_RANGE. Does not end the connection by itself.
   */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = timeoutMs;
    if (typeof timeoutMs !== 'number')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        `The "msecs" argument must be of type number. Received ${typeof timeoutMs}`,
      );
    if (!(timeoutMs >= 0 && Number.isFinite(timeoutMs)))
      throw argumentError(
        RangeError,
        'ERR_OUT_OF_RANGE',
        `The value of "msecs" is out of range. It must be a non-negative finite number. Received ${timeoutMs}`,
      );
    if (listener !== undefined && typeof listener !== 'function')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        'The "callback" argument must be of type function.',
      );
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (timeoutMs === 0) {
      if (listener !== undefined) this.removeListener('timeout', listener);
      return this;
    }
    this.#timer = setTimeout(() => this.emit('timeout'), Math.min(timeoutMs, TIMEOUT_MAX_MS)).unref();
    if (listener !== undefined) this.once('timeout', listener);
    return this;
  }

  /** Of the carriers, this one and those to come. */
  setNoDelay(noDelay?: boolean): this {
    this.#noDelay = noDelay === undefined ? true : Boolean(noDelay);
    this.#port?.setNoDelay(this.#noDelay);
    return this;
  }

  /** Of the carriers, this one and those to come. `initialDelayMs` 0 leaves the delay to the operating system. */
  setKeepAlive(enable?: boolean | { enable?: boolean; initialDelay?: number }, initialDelayMs = 0): this {
    this.#keepAlive =
      typeof enable === 'object' && enable !== null
        ? { enable: Boolean(enable.enable), initialDelayMs: enable.initialDelay ?? 0 }
        : { enable: Boolean(enable), initialDelayMs };
    this.#port?.setKeepAlive(this.#keepAlive.enable, this.#keepAlive.initialDelayMs);
    return this;
  }

  /** The session keeps the process alive again, which it does from the start. */
  ref(): this {
    this.#referenced = true;
    this.#port?.setReferenced(true);
    return this;
  }

  /** The session no longer keeps the process alive. */
  unref(): this {
    this.#referenced = false;
    this.#port?.setReferenced(false);
    return this;
  }

  // --- What it is -----------------------------------------------------------------------------------------------

  /** The local end of the carrier the connection was made over; `{}` before. */
  address(): { address: string; family: string; port: number } | Record<string, never> {
    const { localAddress: address, localFamily: family = 'IPv4', localPort: port = 0 } = this.#addresses;
    return this.#port === undefined || address === undefined ? {} : { address, family, port };
  }
  /** As of the carrier the connection was made over. */
  get localAddress(): string | undefined {
    return this.#addresses.localAddress;
  }
  /** As `localAddress`. */
  get localPort(): number | undefined {
    return this.#addresses.localPort;
  }
  /** As `localAddress`. */
  get localFamily(): string | undefined {
    return this.#addresses.localFamily;
  }
  /** What it was when the connection was made, however often the session has moved since. */
  get remoteAddress(): string | undefined {
    return this.#addresses.remoteAddress;
  }
  /** As `remoteAddress`. */
  get remotePort(): number | undefined {
    return this.#addresses.remotePort;
  }
  /** As `remoteAddress`. */
  get remoteFamily(): string | undefined {
    return this.#addresses.remoteFamily;
  }
  /** Bytes handed to this socket; what a session received elsewhere is not counted. */
  get bytesRead(): number {
    return this.#inbound.handedOutBytes;
  }
  /** Bytes that `write` accepted, those still waiting included. */
  get bytesWritten(): number {
    return this.destroyed ? this.#outbound.fedBytes : this.#outbound.completedBytes + this.writableLength;
  }
  /** Bytes waiting in the socket. Deprecated in net too: use `writableLength`. */
  get bufferSize(): number | undefined {
    return this.#port === undefined ? undefined : this.writableLength;
  }
  /** True until 'connect', and after the end. */
  get pending(): boolean {
    return this.#port === undefined || this.connecting;
  }
  /** As in net. */
  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }
  /** The session's id, 32 hexadecimal digits, the same at both ends and for its whole life; undefined before `connect`. */
  get sessionId(): string | undefined {
    return this.#lastPort?.sessionId;
  }
  /** Raised with every attach: the fencing token of stores that compare. 0 before `connect`. */
  get epoch(): number {
    return this.#lastPort?.epoch ?? 0;
  }
  /** Whether the death of the server would be survived. */
  get isProtected(): boolean {
    return this.#port?.isProtected ?? false;
  }
  /** The server that has the session. */
  get currentServer(): Candidate | undefined {
    return this.#lastPort?.currentServer;
  }
  /** How often the session has moved since this socket was connected. */
  get migrations(): number {
    return this.#migrations;
  }

  /**
   * Moves the session, to `to` (a server's name or address) or wherever the session thinks best. Rejects with
   * ERR_GODWIT_MIGRATION_FAILED when it can't move, and then goes on where it was; with ERR_GODWIT_NOT_CONNECTED when
   * there is no session.
   */
  migrate(options: { readonly to?: ServerInput } = {}): Promise<MigrationReport> {
    const port = this.#port;
    if (port === undefined || this.connecting) return Promise.reject(notConnected());
    const target = JSON.stringify(options.to ?? null);
    // Who asks for the move that is under way gets its outcome; who asks for another one is told so, alone.
    if (this.#waiting.length === 0 || target !== this.#askedTarget) {
      const failure = port.migrate(
        options.to === undefined || typeof options.to === 'string' ? options.to : { name: '', ...options.to },
      );
      if (failure !== undefined) return Promise.reject(migrationFailed(failure));
      this.#askedTarget = target;
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  // --- For the server's socket ----------------------------------------------------------------------------------

  /** @internal */
  protected get outbound(): Outbound {
    return this.#outbound;
  }
  /** @internal */
  protected get inbound(): Inbound {
    return this.#inbound;
  }

  // --- Typed events ---------------------------------------------------------------------------------------------

  override on<E extends keyof SocketEvents>(event: E, listener: (...args: SocketEvents[E]) => void): this;
  override on(event: string | symbol, listener: AnyListener): this;
  override on(event: string | symbol, listener: AnyListener): this {
    return super.on(event, listener);
  }
  override once<E extends keyof SocketEvents>(event: E, listener: (...args: SocketEvents[E]) => void): this;
  override once(event: string | symbol, listener: AnyListener): this;
  override once(event: string | symbol, listener: AnyListener): this {
    return super.once(event, listener);
  }
}

function migrationFailed(failure: Failure): GodwitError {
  const message = `the session stays where it is: ${failure.message}`;
  return new GodwitError('ERR_GODWIT_MIGRATION_FAILED', message, { cause: errorFromFailure(failure) });
}
