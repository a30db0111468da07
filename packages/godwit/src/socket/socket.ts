/** The socket that applications hold, at either end: a net.Socket in all but name. */
import type { BlockList } from 'node:net';
import { addAbortSignal } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { DialStep } from '../carriers/carrier.ts';
import { argumentError } from '../errors.ts';
import type { Candidate, MigrationReport } from '../session/client-events.ts';
import { AskedMoves } from './asked-moves.ts';
import { carrierOptionsOf, type CarrierOptions } from './carrier-settings.ts';
import {
  readConnectArguments,
  type ConnectOptions,
  type ServerInput,
  type SocketOptions,
} from './connect-options.ts';
import { openSession } from './connector.ts';
import type { AnyListener, SocketEvents } from './events.ts';
import { IdleTimer } from './idle-timer.ts';
import { Inbound } from './inbound.ts';
import {
  brokenPipe,
  checkSocketOptions,
  checkTypeOfService,
  connectedAlready,
  keepAliveOf,
  noteAttempt,
  streamOptions,
  type KeepAliveInput,
  writeAfterEnd,
} from './net-habits.ts';
import { Outbound, type WriteCallback } from './outbound.ts';
import { SocketListener, type Hearing } from './port-listeners.ts';
import { socketAddress, type Addresses, type PortListener, type SessionPort } from './port.ts';
import { TlsShaped } from './tls-shaped.ts';
import { UserBuffer } from './user-buffer.ts';

/**
 * One end of a migratory connection. It has the methods, properties and events of net.Socket, in the same order; what
 * differs is that the server end may live on another machine from one byte to the next.
 *
 * `remoteAddress` and its kin say where the connection was made to; `currentServer` says where the session is now.
 */
export class Socket extends TlsShaped {
  /** From `connect()` to 'connect'. */
  connecting = false;
  /** What `setTimeout` was given, in milliseconds; undefined before. */
  declare timeout?: number;
  /** `address:port` of each attempt, where the host has several addresses; undefined otherwise. Until 'connect'. */
  declare autoSelectFamilyAttemptedAddresses: string[];
  /** The server that accepted the connection; null at the client's end. */
  server: unknown = null;
  #port: SessionPort | undefined;
  /** The last port, which still answers what the session was after the socket is gone. */
  #lastPort: SessionPort | undefined;
  readonly #userBuffer: UserBuffer | undefined;
  #inbound: Inbound;
  #outbound = new Outbound();
  #addresses: Addresses = {};
  readonly #idleTimer = new IdleTimer(this);
  #resetting = false;
  /** Set for the carriers, those to come included. */
  #carrierOptions: CarrierOptions;
  readonly #blockList: BlockList | undefined;
  #migrations = 0;
  readonly #moves = new AskedMoves();

  /** Throws what net throws for options that can't be, and ERR_GODWIT_UNSUPPORTED for `fd` and `handle`. */
  constructor(options: SocketOptions = {}) {
    checkSocketOptions(options);
    const { signal, allowHalfOpen, onread, blockList, ...rest } = options;
    // 'close' is emitted here, with `hadError`. Strings become bytes at once, so that lengths are bytes everywhere.
    super({
      ...streamOptions(rest),
      allowHalfOpen: Boolean(allowHalfOpen),
      emitClose: false,
      autoDestroy: true,
    });
    this.#userBuffer = UserBuffer.from(onread, this);
    this.#inbound = new Inbound(this, this.#userBuffer);
    this.#blockList = blockList;
    this.#carrierOptions = carrierOptionsOf(options);
    if (signal !== undefined) addAbortSignal(signal, this);
    super.on('end', Socket.#onEnd);
  }

  // --- Connecting -----------------------------------------------------------------------------------------------

  /**
   * Opens a session: `connect(port[, host][, listener])`, `connect(path[, listener])` or `connect(options[, listener])`.
   * Failing is an event, except for arguments that are wrong by themselves: ERR_MISSING_ARGS, ERR_SOCKET_BAD_PORT,
   * ERR_INVALID_ARG_TYPE, ….
   */
  connect(options: ConnectOptions, listener?: () => void): this;
  connect(port: number | string, host?: string, listener?: () => void): this;
  connect(portOrPath: number | string, listener?: () => void): this;
  connect(...args: unknown[]): this {
    const { listener, ...request } = readConnectArguments(args);
    if (listener !== undefined) this.once('connect', listener);
    if (this.#port !== undefined && !this.destroyed) {
      this.destroy(connectedAlready(this.connecting));
      return this;
    }
    if (this.destroyed) this.#revive();
    this.connecting = true;
    this.#idleTimer.refresh();
    // The list is the socket's, as in net, whatever these options say.
    const { blockList: _blockList, ...options } = request.options;
    if (this.#blockList !== undefined) Object.assign(options, { blockList: this.#blockList });
    this.bindPort(openSession({ ...request, options }, this.createListener()));
    return this;
  }

  /** @internal Ties the session to the socket. */
  protected bindPort(port: SessionPort): void {
    this.#port = port;
    this.#lastPort = port;
    port.configure(this.#carrierOptions);
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
    return new SocketListener<Socket>(this, this.#outbound, Socket.#hearing);
  }

  static readonly #hearing: Hearing<Socket> = {
    isUsed: (socket, outbound) => socket.#outbound === outbound && !socket.destroyed,
    dialStep: (socket, step) => socket.#onDialStep(step),
    connected: (socket, addresses) => socket.#onConnected(addresses),
    readable: (socket) => socket.#onReadable(),
    drained: (socket) => {
      socket.#idleTimer.refresh();
      socket.#outbound.pump();
    },
    thawed: (socket) => socket.#onThawed(),
    migrated: (socket, report) => {
      socket.#migrations += 1;
      socket.#moves.moved(report);
      socket.emit('migrated', report);
    },
    migrationFailed: (socket, failure) => socket.#moves.failed(failure),
    closed: (socket, error) => socket.#onClosed(error),
  };

  #onDialStep(step: DialStep): void {
    this.#idleTimer.refresh();
    this.emit(step.event, ...step.args);
    noteAttempt(this, step);
  }

  #onConnected(addresses: Addresses): void {
    this.#addresses = addresses;
    this.connecting = false;
    this.#idleTimer.refresh();
    try {
      this.emit('connect');
      this.emit('ready');
    } finally {
      this.#startFlowing();
    }
  }

  /** What a listener threw before is no reason to keep what the peer waits for. */
  #startFlowing(): void {
    this.#outbound.release();
    // Notices data and the end even while nobody listens, as net does; and not in the turn of 'connect', so that whoever
    // awaits that event can listen first.
    const outbound = this.#outbound;
    setImmediate(() => {
      if (this.#outbound === outbound && !this.destroyed && !this.isPaused()) this.read(0);
    });
  }

  #onReadable(): void {
    this.#idleTimer.refresh();
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

  #onClosed(error: Error | undefined): void {
    if (error !== undefined) {
      this.destroy(error);
      return;
    }
    // Both ends are done. What was read is still the application's to take, so only the writing side is over.
    try {
      this.#inbound.pump();
    } finally {
      if (!this.writableFinished) this.#outbound.abandon(brokenPipe);
      else if (this.readableEnded) this.destroy();
    }
  }

  static #onEnd(this: Socket): void {
    this.#port?.finConsumed();
    if (!this.allowHalfOpen) this.write = writeAfterEnd;
  }

  #revive(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    Reflect.deleteProperty(this, 'write');
    this.#port = undefined;
    this.#inbound = new Inbound(this, this.#userBuffer);
    this.#outbound = new Outbound();
    this.#addresses = {};
    this.#resetting = false;
    Reflect.deleteProperty(this, 'autoSelectFamilyAttemptedAddresses');
  }

  // --- The stream -----------------------------------------------------------------------------------------------

  // As node declares it: what comes out depends on `setEncoding`.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  override read(size?: number): any {
    // While the session is handed over the application must not go on: its state is being taken.
    if (this.#port?.isFrozen === true) return null;
    this.#inbound.setFlowing(true);
    const chunk: unknown = super.read(size);
    this.#inbound.account();
    return chunk;
  }

  /** As in net; with `onread` too. */
  override pause(): this {
    this.#inbound.setFlowing(false);
    return super.pause();
  }

  /** As in net; with `onread` too. */
  override resume(): this {
    this.#inbound.setFlowing(true);
    return super.resume();
  }

  /** @internal */
  override _read(): void {
    this.#inbound.want();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#canSend(callback)) this.#outbound.writeOne(chunk, callback);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: WriteCallback): void {
    let bytes = 0;
    const batch = chunks.map(({ chunk }) => {
      bytes += chunk.byteLength;
      return chunk;
    });
    if (this.#canSend(callback)) this.#outbound.write(batch, bytes, callback);
  }

  #canSend(callback: WriteCallback): boolean {
    if (this.#port === undefined && !this.connecting) {
      callback(argumentError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
      return false;
    }
    this.#idleTimer.refresh();
    return true;
  }

  /** @internal */
  override _final(callback: WriteCallback): void {
    if (this.#port === undefined && !this.connecting) callback();
    else this.#outbound.final(callback);
  }

  /** @internal */
  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.connecting = false;
    this.#idleTimer.stop();
    const port = this.#port;
    this.#port = undefined;
    this.#inbound.unbind();
    if (this.#resetting) port?.reset();
    else port?.destroy();
    this.#outbound.abandon(() => error ?? argumentError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed'));
    this.#moves.abandon(error);
    callback(error);
    // As net, which says nothing of errors where there was no connection.
    if (port === undefined) process.nextTick(() => this.emit('close'));
    else setImmediate(() => this.emit('close', error != null));
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
    this.#idleTimer.set(timeoutMs, listener);
    return this;
  }

  /** Of the carriers, this one and those to come. */
  setNoDelay(noDelay?: boolean): this {
    return this.#configure({ noDelay: noDelay === undefined ? true : Boolean(noDelay) });
  }

  /** Of the carriers, this one and those to come. Times in milliseconds; 0 leaves the delay to the operating system. */
  setKeepAlive(options: KeepAliveInput): this;
  setKeepAlive(enable?: boolean, initialDelay?: number, interval?: number, count?: number): this;
  setKeepAlive(enable?: boolean | KeepAliveInput, ...times: (number | undefined)[]): this {
    return this.#configure({ keepAlive: keepAliveOf(enable, ...times) });
  }

  /** Of the packets of the carriers, this one and those to come: 0 … 255. Throws what net throws. */
  setTypeOfService(typeOfService: number): this {
    checkTypeOfService(typeOfService, 'tos');
    return this.#configure({ typeOfService });
  }

  /** As the operating system gives it for the present carrier; before there is one, as set. 0 where there is none. */
  getTypeOfService(): number {
    return this.#port?.typeOfService ?? this.#carrierOptions.typeOfService ?? 0;
  }

  /** The session keeps the process alive again, which it does from the start. */
  ref(): this {
    return this.#configure({ referenced: true });
  }

  /** The session no longer keeps the process alive. */
  unref(): this {
    return this.#configure({ referenced: false });
  }

  #configure(options: CarrierOptions): this {
    this.#carrierOptions = { ...this.#carrierOptions, ...options };
    this.#port?.configure(options);
    return this;
  }

  // --- What it is -----------------------------------------------------------------------------------------------

  /** The local end of the carrier the connection was made over; `{}` before. */
  address(): { address: string; family: string; port: number } | Record<string, never> {
    return socketAddress(this.#localAddresses);
  }
  /** As of the carrier the connection was made over. */
  get localAddress(): string | undefined {
    return this.#localAddresses.localAddress;
  }
  /** As `localAddress`. */
  get localPort(): number | undefined {
    return this.#localAddresses.localPort;
  }
  /** As `localAddress`. */
  get localFamily(): string | undefined {
    return this.#localAddresses.localFamily;
  }
  get #localAddresses(): Addresses {
    return this.#port === undefined ? {} : this.#addresses;
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
  get bufferSize(): number {
    // net's types do not tell either that it is undefined without a connection.
    return (this.#port === undefined ? undefined : this.writableLength) as number;
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
  /**
   * Whether this is a session, which can move; net's sockets have no such property. Always true at the client's end, which
   * connects to nobody else. False at a server for a client that does not speak Godwit.
   */
  get migratory(): boolean {
    return true;
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
   * ERR_GODWIT_MIGRATION_FAILED when it can't move, and then goes on where it was; with ERR_GODWIT_MOVED when it went to
   * another server than `to`, which the message names; with ERR_GODWIT_NOT_CONNECTED when there is no session.
   */
  migrate(options: { readonly to?: ServerInput } = {}): Promise<MigrationReport> {
    return this.#moves.ask(this.connecting ? undefined : this.#port, options.to);
  }

  // --- For the server's socket ----------------------------------------------------------------------------------

  /** @internal */
  protected override get tlsSocket(): TLSSocket | undefined {
    return this.#lastPort?.tls;
  }
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
