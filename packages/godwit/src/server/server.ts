/** A server of migratory connections: a net.Server in all but name. */
import { EventEmitter } from 'node:events';
import type { AddressInfo, ListenOptions } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { Carrier, Listener } from '../carriers/carrier.ts';
import { Members, parseMember } from '../cluster/members.ts';
import { PeerLinks } from '../cluster/peer-links.ts';
import { GodwitError, argumentError } from '../errors.ts';
import type { Failure, MigrationReport } from '../session/client-events.ts';
import { Crowd } from '../session/roster.ts';
import type { AnyListener } from '../socket/events.ts';
import { readServer, type ServerInput } from '../socket/connect-options.ts';
import { keepAliveOf } from '../socket/net-habits.ts';
import type { Socket } from '../socket/socket.ts';
import { advertisedAddress } from './advertised-address.ts';
import { Arrivals } from './arrivals.ts';
import { drain, type DrainOptions } from './drain.ts';
import { closeOnAbort, readListenArguments } from './listen-arguments.ts';
import { NodeDriver } from './node-driver.ts';
import { Overload } from './overload.ts';
import { PlainConnections } from './plain-connections.ts';
import { PlainPort } from './plain-port.ts';
import type { Refusal, ServerEvents, ServerStats } from './server-events.ts';
import { readServerOptions, type ServerOptions, type ServerSettings } from './server-options.ts';
import { ServerSocket, type ServerSocketSource } from './server-socket.ts';
import { pauseRehearsal, rehearseTakeOverSoon } from './take-over-rehearsal.ts';

/** What exists while the server listens, and until its last session ends. */
interface Running {
  readonly driver: NodeDriver;
  readonly peers: PeerLinks;
  readonly members: Members;
  /** No longer follows the rotations of the key ring. */
  readonly forgetKeys: () => void;
}

export class Server extends EventEmitter {
  /** Connections beyond this are closed with a 'drop' event. Restored sessions are never turned away. */
  declare maxConnections: number;
  /** @deprecated Node's types still declare it; undefined, as in Node itself. Use `getConnections`. */
  declare connections: number;
  /** In net: whether a worker of node:cluster drops what is over `maxConnections` itself. Here it always does. */
  dropMaxConnection: boolean | undefined;
  readonly #settings: ServerSettings;
  readonly #arrivals: Arrivals;
  readonly #plain: PlainConnections;
  readonly #overload: Overload;
  readonly #sockets = new Crowd<ServerSocket>();
  #listener: Listener | undefined;
  #running: Running | undefined;
  #referenced = true;
  #closing = false;
  readonly #counts = { accepted: 0, restored: 0, movedAway: 0, refused: 0 };

  /** Throws `TypeError`, `RangeError` for options that make no sense. */
  constructor(
    options?: ServerOptions | ((socket: ServerSocket) => void) | null,
    listener?: (socket: ServerSocket) => void,
  ) {
    super();
    if (typeof options === 'function') {
      listener = options;
      options = {};
    }
    if (options != null && typeof options !== 'object')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        `The "options" argument must be of type Object. Received ${typeof options}`,
      );
    this.#settings = readServerOptions(options ?? {});
    if (typeof listener === 'function') this.on('connection', listener);
    this.#arrivals = new Arrivals(this.#settings, {
      isListening: () => this.#listener !== undefined,
      arrived: (carrier) => this.#onArrived(carrier),
      acceptClient: (carrier, behind) => this.#node.driver.acceptClient(carrier, behind),
      acceptPeer: (carrier, received) => this.#node.peers.accept(carrier, received),
      acceptPlain: (carrier, unread) => this.#plain.accept(carrier, unread),
      refused: (failure, { address, port }) =>
        this.#report({ ...failure, remoteAddress: address, remotePort: port }),
    });
    this.#plain = new PlainConnections(this.#settings, {
      node: () => this.#node.driver,
      createSocket: (source) => this.#createSocket(source),
      announce: (socket) => this.#announce(socket),
      refused: (carrier, failure) => this.#onRefused(failure, carrier),
      settled: (carrier) => this.#arrivals.settled(carrier),
    });
    this.#overload = new Overload(this.#settings.overload, {
      load: () => this.#load(),
      sessions: () => this.#running?.driver.sockets ?? [],
      members: () => this.#otherServers(),
      setFull: (full) => this.#running?.driver.setFull(full),
      plain: () => this.#plain.all,
      end: (holder) => {
        if (holder instanceof PlainPort) this.#plain.giveUp(holder);
        else this.#running?.driver.giveUp(holder);
      },
      changed: (change) => process.nextTick(() => this.emit('overload', change)),
    });
  }

  // --- Listening ------------------------------------------------------------------------------------------------

  /**
   * Listens, with the overloads of net.Server#listen: at a port, a path, a handle or a descriptor. Throws
   * ERR_SERVER_ALREADY_LISTEN, ERR_SOCKET_BAD_PORT and the like. A port in use is an 'error' event.
   */
  listen(options: ListenOptions, listener?: () => void): this;
  listen(port?: number | string, host?: string, backlog?: number, listener?: () => void): this;
  listen(port?: number | string, host?: string, listener?: () => void): this;
  listen(portOrPath?: number | string, backlog?: number, listener?: () => void): this;
  listen(portOrPath?: number | string, listener?: () => void): this;
  listen(handle: object, backlog?: number, listener?: () => void): this;
  listen(listener?: () => void): this;
  listen(...given: unknown[]): this {
    const { args, listener, signal } = readListenArguments(given);
    if (this.#listener !== undefined)
      throw argumentError(
        Error,
        'ERR_SERVER_ALREADY_LISTEN',
        'Listen method has been called more than once without closing.',
      );
    if (listener !== undefined) this.once('listening', listener);
    this.#closing = false;
    const opened = this.#settings.transport.listen(
      { args },
      {
        onCarrier: (carrier) => this.#onCarrier(carrier),
        onHandshake: (peer) => this.#arrivals.handshake(peer),
        onListening: () => {
          if (this.#listener !== opened) return;
          this.#running ??= this.#start(opened);
          this.emit('listening');
        },
        onError: (error) => {
          if (this.#listener === opened && !opened.listening) this.#listener = undefined;
          this.emit('error', error);
        },
        onRefused: ({ code, message }, { address, port }) =>
          this.#report({ code, message, remoteAddress: address, remotePort: port }),
      },
    );
    this.#listener = opened;
    if (!this.#referenced) opened.unref();
    if (signal !== undefined) closeOnAbort(this, signal);
    return this;
  }

  /**
   * Other certificates, authorities and lists of revocations (`crl`) from now on, for handshakes and attaches to come. Throws
   * ERR_GODWIT_UNSUPPORTED on a server without TLS, and what node throws.
   */
  setSecureContext(context: SecureContextOptions): void {
    if (this.#settings.tls === undefined)
      throw new GodwitError('ERR_GODWIT_UNSUPPORTED', 'the server has no TLS: createServer takes `tls`');
    this.#settings.tls.setSecureContext(context);
  }

  /** From 'listening' to `close`. */
  get listening(): boolean {
    return this.#listener?.listening ?? false;
  }

  /** Where it listens; null before and after. */
  address(): AddressInfo | string | null {
    return this.#listener?.address() ?? null;
  }

  /**
   * Takes no more connections. 'close' is emitted, and `callback` called, when every session has ended. Sessions go on
   * until then; to send them elsewhere, `drain` first. The callback gets ERR_SERVER_NOT_RUNNING when it was not listening.
   */
  close(callback?: (error?: Error) => void): this {
    const listener = this.#listener;
    if (typeof callback === 'function') {
      if (listener === undefined)
        this.once('close', () =>
          callback(argumentError(Error, 'ERR_SERVER_NOT_RUNNING', 'Server is not running.')),
        );
      else this.once('close', callback);
    }
    this.#listener = undefined;
    this.#closing = true;
    listener?.close();
    this.#emitCloseIfDone();
    return this;
  }

  /** Resets every connection; meant for tests and for after a drain. */
  closeAllConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /**
   * @internal Gone at once, as after `kill -9`: carriers and links close without a word, no timer is left, and the sockets
   * hear nothing. For `godwit/testing`.
   */
  kill(): void {
    const listener = this.#listener;
    const running = this.#running;
    this.#listener = undefined;
    this.#running = undefined;
    listener?.close();
    this.#arrivals.kill();
    this.#overload.stop();
    this.#plain.kill();
    running?.driver.stop();
    running?.peers.close();
    running?.members.close();
    running?.forgetKeys();
  }

  /** Closes and waits for 'close'. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#listener === undefined) return;
    await new Promise<void>((resolve) => {
      this.close(() => resolve());
    });
  }

  /** The number of connections that live here, plain ones included. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this.#sockets.size);
    return this;
  }

  /** The server keeps the process alive again, which it does from the start. */
  ref(): this {
    this.#referenced = true;
    this.#listener?.ref();
    return this;
  }
  /** The server no longer keeps the process alive; its sessions do. */
  unref(): this {
    this.#referenced = false;
    this.#listener?.unref();
    return this;
  }

  // --- Sessions -------------------------------------------------------------------------------------------------

  /** The sockets of all sessions that live here; plain connections are none. */
  get sessions(): Iterable<ServerSocket> {
    return [...this.#sockets].filter(({ migratory }) => migratory);
  }

  /** Counts, for logs and metrics. */
  get stats(): ServerStats {
    return {
      ...this.#counts,
      sessions: this.#sockets.size - this.#plain.size,
      plain: this.#plain.size,
      carriers: this.#running?.driver.carrierCount ?? 0,
      halfOpen: this.#arrivals.halfOpen,
      trunks: this.#arrivals.trunks,
      tombstones: this.#running?.driver.tombstones ?? 0,
      memoryBytes: (this.#running?.driver.heldBytes ?? 0) + this.#plain.heldBytes,
      shed: this.#overload.moved,
      relief: this.#overload.relief,
    };
  }

  /** The name and the address that clients and other servers use; undefined before 'listening'. */
  get advertised(): { readonly name: string; readonly host: string; readonly port: number } | undefined {
    return this.#running?.driver.address;
  }

  /**
   * Moves a session: its client is asked to go to `to` (a member's name or address), or wherever it likes. Resolves when
   * it has moved; rejects with ERR_GODWIT_MIGRATION_FAILED, and the session goes on here; or with ERR_GODWIT_MOVED: it has
   * left, but for another server than `to`, which the message names.
   */
  async migrate(
    session: Socket | string,
    options: { readonly to?: ServerInput } = {},
  ): Promise<MigrationReport> {
    const socket = typeof session === 'string' ? this.#find(session) : session;
    return socket.migrate(options);
  }

  /** Asks the client of a session that lives on another server to move, over its standby here. False: there is none. */
  trigger(sessionId: string, options: { readonly to: ServerInput }): boolean {
    const { to } = options;
    return (
      this.#running?.driver.trigger(
        Buffer.from(sessionId, 'hex'),
        typeof to === 'string' ? to : readServer(to),
      ) ?? false
    );
  }

  /**
   * Moves every session away, and takes no new ones: before a deploy. Resolves with the number of sessions that moved;
   * those that could not within the time are still here (`server.sessions`) and go on.
   */
  drain(options: DrainOptions = {}): Promise<number> {
    this.#running?.driver.setDraining(true);
    return drain(this, this.#otherServers(), options);
  }

  #find(sessionId: string): ServerSocket {
    for (const socket of this.#sockets) if (socket.sessionId === sessionId) return socket;
    throw argumentError(Error, 'ERR_GODWIT_NO_SUCH_SESSION', `no session ${sessionId} lives here`);
  }

  // --- Within ---------------------------------------------------------------------------------------------------

  get #node(): Running {
    return (this.#running ??= this.#start(this.#listener as Listener));
  }

  #start(listener: Listener): Running {
    const settings = this.#settings;
    const { host, port } = advertisedAddress(settings.advertise, listener.address());
    // Unnamed, it is called as its peers call it.
    const self = parseMember({ name: settings.name, host, port });
    const peers = new PeerLinks({
      ring: settings.keys,
      transport: settings.transport,
      self: () => self,
      onFrame: (peer, frame) => driver.handlePeerFrame(peer, frame),
      onLost: (peerName) => driver.handlePeerLost(peerName),
      onFailure: ({ code, message, remoteAddress }) =>
        this.#report({ code, message, remoteAddress, remotePort: undefined }),
    });
    const driver = new NodeDriver(
      { ...settings, ...self },
      {
        createSocket: (source) => this.#createSocket(source),
        announce: (socket) => this.#announce(socket),
        refused: (failure, carrier) => this.#onRefused(failure, carrier),
        attaching: () => pauseRehearsal(settings.transport),
        settled: (carrier) => this.#arrivals.settled(carrier),
        peerSend: (peer, bytes) => peers.send(peer, bytes),
        peerFlush: () => peers.flush(),
      },
    );
    const members = new Members(settings.members, {
      self: () => self,
      onChange: (list) => driver.setMembers(list),
      onError: ({ message }) => this.#onRefused({ code: 'ERR_GODWIT_MEMBERS', message }, undefined),
    });
    void members.start();
    rehearseTakeOverSoon((options, onSession) => new Server(options, onSession));
    const forget = [
      settings.keys.subscribe(() => driver.keysChanged()),
      settings.tls?.follow(settings.keys) ?? ((): void => undefined),
    ];
    const forgetKeys = (): void => forget.forEach((each) => each());
    return { driver, peers, members, forgetKeys };
  }

  #onCarrier(carrier: Carrier): void {
    // A handshake of TLS may end after the server was closed.
    if (this.#listener === undefined && this.#running === undefined) carrier.destroy();
    else this.#arrivals.accept(carrier);
  }

  #onArrived(carrier: Carrier): void {
    this.#overload.wake();
    const { noDelay, keepAlive, keepAliveInitialDelay } = this.#settings.socket;
    if (noDelay === false) carrier.setNoDelay(false);
    if (keepAlive) carrier.setKeepAlive(keepAliveOf(true, keepAliveInitialDelay));
  }

  #load(): ReturnType<ConstructorParameters<typeof Overload>[1]['load']> {
    const driver = this.#running?.driver;
    if (driver === undefined) return undefined;
    const { maxMemoryBytes } = this.#settings.limits;
    const { maxHalfOpen } = this.#settings.halfOpen;
    const { halfOpen } = this.#arrivals;
    const { sessionCount: sessions } = driver;
    const { size: plain } = this.#plain;
    const memoryBytes = driver.heldBytes + this.#plain.heldBytes;
    return { sessions, plain, memoryBytes, maxMemoryBytes, halfOpen, maxHalfOpen };
  }

  #createSocket(source: ServerSocketSource): ServerSocket {
    const { allowHalfOpen, highWaterMark, busyPollUs } = this.#settings.socket;
    const options = {
      ...(allowHalfOpen !== undefined && { allowHalfOpen }),
      ...(highWaterMark !== undefined && { highWaterMark }),
      ...(busyPollUs !== undefined && { busyPollUs }),
    };
    const socket = new ServerSocket(options, source);
    socket.server = this;
    return socket;
  }

  #announce(socket: ServerSocket): void {
    const { maxConnections } = this;
    if (maxConnections !== undefined && this.#sockets.size >= maxConnections && !socket.restored) {
      const { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily } = socket;
      socket.destroy();
      const data = { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily };
      this.emit('drop', ...(remoteAddress === undefined ? [] : [data]));
      return;
    }
    const place = this.#sockets.add(socket);
    this.#counts.accepted += 1;
    if (socket.restored) this.#counts.restored += 1;
    socket.once('migrated', () => {
      this.#counts.movedAway += 1;
    });
    socket.whenDestroyed = () => {
      place.leave();
      this.#emitCloseIfDone();
    };
    if (this.#settings.pauseOnConnect) socket.pause();
    this.emit('connection', socket);
    // As net: data and the end are noticed even while nobody listens.
    if (!socket.destroyed && !socket.isPaused()) socket.read(0);
  }

  #emitCloseIfDone(): void {
    if (!this.#closing || this.#listener !== undefined || this.#sockets.size > 0) return;
    this.#closing = false;
    this.#overload.stop();
    // What is left are standbys, links to peers and last acknowledgements: none of them holds the server.
    this.#running?.driver.closeStandbys();
    this.#arrivals.close();
    this.#running?.peers.close();
    this.#running?.members.close();
    this.#running?.forgetKeys();
    this.#running = undefined;
    process.nextTick(() => this.emit('close'));
  }

  #onRefused({ code, message }: Failure, carrier: Carrier | undefined): void {
    const { remoteAddress, remotePort } = carrier ?? {};
    this.#report({ code, message, remoteAddress, remotePort });
  }

  #report(refusal: Refusal): void {
    this.#counts.refused += 1;
    // In a tick of its own: what a listener throws must not keep anybody from hanging up.
    process.nextTick(() => this.emit('refused', refusal));
  }

  #otherServers(): readonly string[] {
    return (this.#running?.driver.members ?? []).map(({ name }) => name);
  }

  /** With `captureRejections`: a listener's promise that rejects costs its connection, as in net. */
  override [EventEmitter.captureRejectionSymbol](
    error: Error,
    event: string | symbol,
    ...args: unknown[]
  ): void {
    if (event === 'connection') (args[0] as ServerSocket).destroy(error);
    else this.emit('error', error);
  }

  // --- Typed events ---------------------------------------------------------------------------------------------

  override on<E extends keyof ServerEvents>(event: E, listener: (...args: ServerEvents[E]) => void): this;
  override on(event: string | symbol, listener: AnyListener): this;
  override on(event: string | symbol, listener: AnyListener): this {
    return super.on(event, listener);
  }
  override once<E extends keyof ServerEvents>(event: E, listener: (...args: ServerEvents[E]) => void): this;
  override once(event: string | symbol, listener: AnyListener): this;
  override once(event: string | symbol, listener: AnyListener): this {
    return super.once(event, listener);
  }
}

/** `createServer([options][, listener])`; the listener is called for every session that starts here, new or restored. */
export function createServer(
  options?: ServerOptions | ((socket: ServerSocket) => void),
  listener?: (socket: ServerSocket) => void,
): Server {
  return new Server(options, listener);
}
