/** The server application's end of a session: a socket whose state can be exported, and started from elsewhere. */
import type { Readable } from 'node:stream';
import { random } from '../crypto/index.ts';
import { GodwitError } from '../errors.ts';
import type { RestartPoint, ServerSession } from '../session/index.ts';
import type { SocketOptions } from '../socket/connect-options.ts';
import type { Outbound } from '../socket/outbound.ts';
import type { Addresses, PortListener, SessionPort } from '../socket/port.ts';
import { Socket } from '../socket/socket.ts';
import { now } from '../socket/timers.ts';
import { WireCode, toHex } from '../wire/index.ts';
import { HeldWrites } from './held-writes.ts';
import {
  SnapshotExporter,
  type ExportedState,
  type Exporter,
  type ExporterHost,
  type ExportOptions,
} from './snapshot-exporter.ts';

/** What a server's socket is made from. */
export interface ServerSocketSource {
  /** Undefined: the client speaks no Godwit, so there is no session. */
  readonly session: ServerSession | undefined;
  readonly restart: RestartPoint | undefined;
  readonly addresses: Addresses;
  /** The server's schema version. */
  readonly schema: number;
  /** Makes the port; the listener is what the session calls. */
  bind(listener: PortListener): SessionPort;
  /** After any call that may make the core speak. */
  wake(): void;
}

/** A guard for work in flight: while one is held no snapshot is asked for. Call it, or dispose of it, to let go. */
export interface Hold extends Disposable {
  (): void;
}

/**
 * A connection as the server's application has it. It may have begun elsewhere: then `restored` is true, and `importState`
 * answers what it goes on from.
 */
export class ServerSocket extends Socket {
  /** True when the session was restored, here, from another server or another run: `importState` says from what. */
  readonly restored: boolean;
  /** The version of the state's schema that this server writes. */
  readonly schema: number;
  /** @internal The server's. */
  whenDestroyed: (() => void) | undefined;
  readonly #session: ServerSession | undefined;
  readonly #restart: RestartPoint | undefined;
  readonly #exporter: SnapshotExporter | undefined;
  /** Made when the session is handed over for the first time. */
  #heldWrites: HeldWrites | undefined;
  /** Made when the application asks for its signal: most never do. */
  #abort: AbortController | undefined;
  /** Why the session is over, for a signal that is asked for later. */
  #over: { readonly error: Error | undefined } | undefined;
  readonly #inputBase: number;
  /** What idempotency keys begin with. */
  #name: string | undefined;

  /** What its exporter sees of a socket; of a class, since closures would take several times the memory. */
  static readonly #ExporterSide = class implements ExporterHost {
    readonly stream: ServerSocket;
    readonly session: ServerSession;
    readonly #source: ServerSocketSource;

    constructor(stream: ServerSocket, session: ServerSession, source: ServerSocketSource) {
      this.stream = stream;
      this.session = session;
      this.#source = source;
    }

    get outbound(): Outbound {
      return this.stream.outbound;
    }
    consumedInput(): number {
      return this.stream.bytesConsumed;
    }
    wake(): void {
      this.#source.wake();
    }
    leaving(): void {
      this.stream.#holdWrites();
    }
    fail(error: Error): void {
      // Output that no snapshot will cover, or a state that does not fit, must not go on as if it did.
      this.session.reset(now(), WireCode.Internal, `the server's exporter failed: ${error.message}`);
      this.stream.destroy(error);
    }
  };

  constructor(options: SocketOptions, source: ServerSocketSource) {
    super(options);
    const { session, restart } = source;
    this.#session = session;
    this.#restart = restart;
    this.restored = restart !== undefined;
    this.schema = source.schema;
    this.#inputBase = session?.received ?? 0;
    this.#exporter = session && new SnapshotExporter(new ServerSocket.#ExporterSide(this, session, source));
    this.bindPort(source.bind(this.createListener()));
    this.startConnected(source.addresses);
  }

  /**
   * False for a client that does not speak Godwit (`plain: 'accept'`): this connection cannot move, and dies with its
   * server. It has the same methods: nothing is imported or exported, and `migrate` rejects.
   */
  override get migratory(): boolean {
    return this.#session !== undefined;
  }

  // --- State ----------------------------------------------------------------------------------------------------

  /**
   * The state the session starts from, decoded; undefined when there is none: a new session, or one that is restored
   * from its very beginning.
   */
  importState(): Buffer | undefined;
  importState<T>(decode: (state: Buffer) => T): T | undefined;
  importState<T>(decode?: (state: Buffer) => T): T | Buffer | undefined {
    const restart = this.#restart;
    if (restart === undefined || (restart.k === 0 && restart.state.byteLength === 0)) return undefined;
    const state = Buffer.from(restart.state);
    return decode === undefined ? state : decode(state);
  }

  /**
   * Makes a restart point: from here the session goes on with `state` after a move or a crash. It covers every byte
   * that `write` has accepted, and all input the application has consumed: what was handed out, unless
   * `bytesConsumed` says otherwise. In `commit` mode this is what lets the output be delivered.
   *
   * Throws ERR_GODWIT_CONSUMED_UNKNOWN where buffers of the application lie in between (`pipe`, async iteration,
   * `setEncoding`, `unshift`) and `bytesConsumed` is missing; ERR_OUT_OF_RANGE when that is more than was handed out
   * or less than at the last snapshot, or the state is too large.
   */
  exportState(state: Uint8Array | string, options: ExportOptions = {}): void {
    this.#exporter?.push(state, options);
  }

  /**
   * Registers the function that is asked for a state when one is due: by bytes, by time, and before a move. It is never
   * called from within a call of the application's. It answers the state, or the state with `bytesConsumed`, or
   * undefined for "not now". It must be synchronous: a promise is ERR_GODWIT_EXPORT_INVALID, as an 'error' event.
   */
  onExportState(exporter: Exporter): this {
    this.#exporter?.setExporter(exporter);
    return this;
  }

  /** Asks for no state, and does not move, until the guard is let go: for work that is in flight. */
  hold(): Hold {
    const release = this.#exporter?.hold() ?? ((): void => undefined);
    return Object.assign(() => release(), { [Symbol.dispose]: release });
  }

  /**
   * Input the application has consumed, as an offset in the session: handed out, less what waits in the stream's
   * buffer. With `pipe`, async iteration, `setEncoding` or `unshift` it is only an upper bound.
   */
  get bytesConsumed(): number {
    return this.#inputBase + this.inbound.handedOutBytes - this.readableLength;
  }

  /**
   * Whether the fence, which could be reached when it was last asked, says that the session lives here. False without a fence,
   * and until the client has confirmed.
   */
  get isFenced(): boolean {
    return this.#session?.isFenced ?? false;
  }

  /** Aborted when the session has moved away or ended; `reason` is a GodwitError. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#over !== undefined) this.#abort.abort(this.#over.error ?? sessionEnded());
    }
    return this.#abort.signal;
  }

  /**
   * Names the request that begins at this input offset, the same whenever the same input is executed again. By default
   * where the application stands. A plain connection is never executed again: its keys are good for it alone.
   */
  idempotencyKey(offset?: number): string {
    this.#name ??= this.#session?.id ?? `plain-${toHex(random(16))}`;
    return `${this.#name}:${offset ?? this.bytesConsumed}`;
  }

  /** Number of the newest snapshot. */
  get snapshotNumber(): number {
    return this.#session?.snapshotNumber ?? 0;
  }

  /** @internal Undefined for a client that does not speak Godwit. */
  get sessionHere(): ServerSession | undefined {
    return this.#session;
  }

  /** @internal Memory that the session takes. */
  get heldBytes(): number {
    return this.#session?.heldBytes ?? 0;
  }

  /** @internal The address that its place counts for. */
  get place(): string | undefined {
    return this.#session?.place;
  }

  /** @internal Whether its client has ever answered, and so may answer a TRIGGER. */
  get isEstablished(): boolean {
    return this.#session?.isEstablished ?? false;
  }

  /** @internal Whether another server is about to take it over. */
  get isLeaving(): boolean {
    return this.#session?.isHandedOver ?? false;
  }

  // --- What makes `bytesConsumed` inexact -----------------------------------------------------------------------

  /** As in net; from now on `exportState` needs `bytesConsumed`. */
  override pipe<T extends NodeJS.WritableStream>(destination: T, options?: { end?: boolean }): T {
    this.#exporter?.consumedUnknown('pipe');
    return super.pipe(destination, options);
  }
  /** As in net; from now on `exportState` needs `bytesConsumed`. */
  override setEncoding(encoding: BufferEncoding): this {
    this.#exporter?.consumedUnknown('setEncoding');
    return super.setEncoding(encoding);
  }
  /** As in net; from now on `exportState` needs `bytesConsumed`. */
  override unshift(chunk: unknown, encoding?: BufferEncoding): void {
    this.#exporter?.consumedUnknown('unshift');
    super.unshift(chunk, encoding);
  }
  /** As in net; from now on `exportState` needs `bytesConsumed`. */
  override [Symbol.asyncIterator](): ReturnType<Readable[typeof Symbol.asyncIterator]> {
    this.#exporter?.consumedUnknown('asynchronous iteration');
    return super[Symbol.asyncIterator]();
  }
  /** As in net; from now on `exportState` needs `bytesConsumed`. */
  override iterator(options?: { destroyOnReturn?: boolean }): ReturnType<Readable['iterator']> {
    this.#exporter?.consumedUnknown('asynchronous iteration');
    return super.iterator(options);
  }

  // --- For the server -------------------------------------------------------------------------------------------

  /** @internal */
  exportDue(reason: string, deadline: number | undefined): void {
    this.#exporter?.due(reason === 'freeze', deadline);
  }

  /** @internal The hand-over was given up. */
  handOverEnded(): void {
    this.#exporter?.cancelFreeze();
    this.#heldWrites?.release();
  }

  #holdWrites(): void {
    this.#heldWrites ??= new HeldWrites(this);
    this.#heldWrites.hold();
  }

  /** @internal The session lives elsewhere. An application that listens for no error must not die of that. */
  movedAway(to: string): void {
    const error = GodwitError.withoutStack('ERR_GODWIT_MOVED', `the session has moved to ${to}`);
    this.#end(error);
    if (this.listenerCount('error') > 0) this.destroy(error);
    else this.destroy();
  }

  /** @internal */
  /** The first reason counts. */
  #end(error: Error | undefined): void {
    if (this.#over !== undefined) return;
    this.#over = { error };
    this.#abort?.abort(error ?? sessionEnded());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#exporter?.stop();
    this.#end(error ?? undefined);
    super._destroy(error, callback);
    this.whenDestroyed?.();
  }
}

function sessionEnded(): GodwitError {
  return new GodwitError('ERR_GODWIT_SESSION_ENDED', 'the session has ended');
}

export type { ExportedState, Exporter, ExportOptions };
