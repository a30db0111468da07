/**
 * A session at a server (protocol.md §10.2): its streams, its snapshots, what protects it, how it ends. Which carrier it
 * lives on, and how it comes and goes between servers, is the node's business (server-node.ts).
 */
import {
  Delivery,
  NO_MAC,
  ProtocolError,
  UnprotectedReason,
  WireCode,
  encodeFrame,
  encodePayload,
  errorCodeOf,
  framePayload,
  macedPart,
  toHex,
  withMac,
  type Frame,
  type FrameName,
  type Point,
} from '../wire/index.ts';
import type { CryptoBook, MacLabel } from './crypto.ts';
import type { Failure, Incoming } from './client-events.ts';
import { Deadlines } from './deadlines.ts';
import type { ExportReason, ServerEvent } from './server-events.ts';
import type { ServerNodeConfig } from './server-config.ts';
import { Protection } from './protection.ts';
import { SERVER_TRANSITIONS, type ServerState, type ServerTransition } from './server-state.ts';
import type { ServerStreams, SnapshotPoint } from './server-streams.ts';
import { SnapshotSender, type CoveredPoint } from './snapshot-sender.ts';
import { assert, nextState } from './state-table.ts';
import type { TicketHead } from './ticket.ts';

/** What a session needs of its node. */
export interface SessionHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  /** Time of the call that is being served. */
  readonly now: number;
  /** The application calls: its time counts from here on. */
  enter(now: number): void;
  emit(event: ServerEvent): void;
  /** The session has something to transmit, or its timers changed. */
  touch(session: ServerSession): void;
  setBusy(carrierId: number, busy: boolean): void;
  /** Ends the carrier after `last`. */
  hangUp(carrierId: number, last: readonly Uint8Array[]): void;
  /** The client confirmed the attach: the former server is told, the client gets SUPPORT. */
  confirmed(session: ServerSession): void;
  /** The client came back to a frozen session: no hand-over goes on. */
  resumed(session: ServerSession): void;
  /** The application answered a freeze. */
  freezeReady(session: ServerSession): void;
  /** The session is over here; `movedTo` when it lives on elsewhere. */
  ended(session: ServerSession, movedTo: string | undefined): void;
}

type Timer =
  /** When a delayed ACK goes out. */
  | 'ack'
  /** When a snapshot is due by time. */
  | 'snapshot'
  /** When a blocked client goes on unprotected. */
  | 'unprotect'
  /** When re-execution has made no progress for too long. */
  | 'replay'
  /** When an attach that nobody confirmed dies. */
  | 'attach'
  /** When a session without a carrier is destroyed. */
  | 'detached'
  /** When a frozen session nobody came back for is destroyed. */
  | 'frozen'
  /** When an ended session no longer waits for its last acknowledgement. */
  | 'linger'
  /** When a live session gets a fresh ticket. */
  | 'ticket'
  /** When a quiet carrier is probed. */
  | 'ping';

export interface SessionInit {
  readonly sessionId: Uint8Array;
  readonly secret: Uint8Array;
  readonly epoch: number;
  readonly streams: ServerStreams;
  readonly point: SnapshotPoint;
  readonly covered: CoveredPoint;
  readonly state: 'active' | 'offered';
  readonly retainLimitBytes: number;
  readonly maxBodyBytes: number;
  /** The application has finished with it already: only its last bytes are left to deliver. */
  readonly terminal: boolean;
  /** What the client has let go of without a ticket that covers it; undefined while it is protected. */
  readonly lost: { readonly input: number; readonly output: number } | undefined;
  readonly service: string;
}

/** IV and tag of a sealed body (protocol.md §8.4). */
const SEAL_OVERHEAD_BYTES = 28;
const MAX_TRANSMIT_BYTES = 512 * 1024;
/** A piece of a ticket goes out after at most so many data bytes: its guaranteed share of the carrier. */
const DATA_BETWEEN_CHUNKS_BYTES = 64 * 1024;

export class ServerSession {
  readonly sessionId: Uint8Array;
  readonly id: string;
  /** 32 bytes, shared with the client alone. @internal */
  readonly secret: Uint8Array;
  /** @internal */ readonly streams: ServerStreams;
  /** @internal */ readonly snapshots: SnapshotSender;
  readonly service: string;
  readonly #host: SessionHost;
  readonly #timers = new Deadlines<Timer>();
  readonly #control: Uint8Array[] = [];
  readonly #maxBodyBytes: number;
  #state: ServerState;
  #epoch: number;
  /** Highest epoch any authenticated request named: lower ones are stale. */
  #highestEpoch: number;
  #carrierId: number | undefined;
  /** The present attach is confirmed: only then tickets are written. */
  #confirmed: boolean;
  /** The session has lived here with its client's consent: it outlives an attach that nobody confirms. */
  #everConfirmed: boolean;
  #k: number;
  readonly #protection: Protection;
  #ackNow = false;
  #drainWanted = false;
  #exportWanted: ExportReason | undefined;
  #dataBytesAtNewest: number;
  #applicationGone: boolean;
  #finConsumed = false;
  #closeSent = false;
  #pendingReset: { code: number; message: string } | undefined;
  #failure: Failure | undefined;
  #detach: { ready: boolean; sent: boolean } | undefined;
  #acceptPayload: Uint8Array | undefined;
  #established: boolean;
  #lastHeardAt: number;
  #pingOut = false;
  /** @internal Position in the node's heap of deadlines. */
  heapIndex: number | undefined;

  constructor(host: SessionHost, init: SessionInit) {
    this.#host = host;
    this.sessionId = init.sessionId;
    this.id = toHex(init.sessionId);
    this.secret = init.secret;
    this.service = init.service;
    this.streams = init.streams;
    this.#maxBodyBytes = init.maxBodyBytes;
    this.#state = init.state;
    this.#confirmed = init.state === 'active';
    this.#everConfirmed = this.#confirmed;
    this.#established = init.state === 'offered';
    this.#epoch = init.epoch;
    this.#highestEpoch = init.epoch;
    this.#k = init.point.k;
    this.#applicationGone = init.terminal;
    this.#finConsumed = init.point.inputFinished;
    this.#lastHeardAt = host.now;
    this.snapshots = new SnapshotSender(host.config.limits, host.config.timers, host.config.delivery, init.point, init.covered, host.now);
    this.#protection = new Protection({
      delivery: host.config.delivery,
      streams: init.streams,
      snapshots: this.snapshots,
      retainLimitBytes: init.retainLimitBytes,
      lost: init.lost,
    });
    this.#dataBytesAtNewest = this.#dataBytes;
    this.#timers.set('ping', host.now + host.config.timers.pingIdleMs);
    this.#timers.set('ticket', host.now + host.config.timers.ticketLifetimeMs / 2);
    if (init.state === 'offered') this.#timers.set('attach', host.now + host.config.timers.attachTimeoutMs);
    if (this.streams.isRegenerating) this.#timers.set('replay', host.now + host.config.timers.replayTimeoutMs);
  }

  // --- what the application sees ---------------------------------------------------------------------------------

  get state(): ServerState {
    return this.#state;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get snapshotNumber(): number {
    return this.#k;
  }
  get isFrozen(): boolean {
    return this.#state === 'frozen';
  }
  get isProtected(): boolean {
    return this.#protection.isProtected;
  }
  /** The session has lived here with its client's consent (and is not merely an offer to take it). */
  get isConfirmed(): boolean {
    return this.#everConfirmed;
  }
  /** The client has answered since it opened the session. */
  get isEstablished(): boolean {
    return this.#established;
  }
  get carrierId(): number | undefined {
    return this.#carrierId;
  }
  get highestEpoch(): number {
    return this.#highestEpoch;
  }
  /** Only its last bytes are left to deliver; the application has let go of it. */
  get isTerminal(): boolean {
    return this.#applicationGone;
  }
  /** The application, or a fault, ended it at once: no other server may take it over. */
  get isResetting(): boolean {
    return this.#pendingReset !== undefined;
  }
  /** Output offset: bytes that `write` took, since the session's offset 0. */
  get produced(): number {
    return this.streams.produced;
  }
  /** Input offset up to which `read` handed out bytes, since the session's offset 0. */
  get received(): number {
    return this.streams.receive.handed - (this.streams.receive.finHanded && this.#restoredFinished ? 1 : 0);
  }
  get #restoredFinished(): boolean {
    return this.streams.receive.finOffset !== undefined && this.streams.receive.handed > this.streams.receive.finOffset;
  }
  get inputFinished(): boolean {
    return this.#finConsumed;
  }
  get outputFinished(): boolean {
    return this.streams.finished;
  }
  /**
   * Bytes that `write` should be given at once at the most. In `commit` mode as many as the client has room to stage, so
   * that the snapshot the application makes next covers no more than that.
   */
  get writeRoom(): number {
    if (this.#host.config.delivery !== Delivery.Commit) return Number.MAX_SAFE_INTEGER;
    return Math.max(0, this.streams.send.credit - this.streams.send.end);
  }
  get wantsWrite(): boolean {
    const { send } = this.streams;
    const wants = this.#state !== 'frozen' && send.retainedBytes < this.#host.config.limits.outputTailBytes && this.writeRoom > 0;
    if (!wants) this.#drainWanted = true;
    return wants;
  }
  get #dataBytes(): number {
    return this.streams.produced + this.streams.receive.received;
  }
  get #now(): number {
    return this.#host.now;
  }

  /** Takes output; the bytes are copied. While frozen the caller must wait (`isFrozen`), but for bytes its last snapshot covers. */
  write(now: number, bytes: Uint8Array): void {
    this.#host.enter(now);
    if (this.#state === 'ended' || this.#applicationGone) return;
    this.#guarded(() => {
      this.streams.write(bytes);
      if (this.#timers.has('replay')) {
        if (this.streams.isRegenerating) this.#timers.set('replay', this.#now + this.#host.config.timers.replayTimeoutMs);
        else this.#timers.cancel('replay');
      }
      this.#progress();
    });
  }

  /** No more output: FIN. In `commit` mode the application is asked for a last snapshot. */
  end(now: number): void {
    this.#host.enter(now);
    if (this.#state === 'ended' || this.streams.finished) return;
    this.#guarded(() => {
      this.streams.finish();
      this.#timers.cancel('replay');
      if (this.#host.config.delivery === Delivery.Commit && !this.#applicationGone) this.#want('end');
    });
  }

  /** The next input, `'end'` once after the FIN, or undefined; nothing while frozen. */
  read(): Uint8Array | 'end' | undefined {
    if (this.#state === 'frozen') return undefined;
    return this.streams.receive.read();
  }

  /** The application took so many bytes out of its stream. */
  consumed(now: number, bytes: number): void {
    this.#host.enter(now);
    const { receive } = this.streams;
    if (this.#state === 'ended' || this.#applicationGone) return;
    receive.consume(bytes);
    if (receive.ackDue) this.#ackNow = true;
    else if (receive.ackPending) this.#timers.start('ack', this.#now + this.#host.config.timers.ackDelayMs);
    this.#progress();
  }

  /** The application saw the end of its input. */
  finConsumed(now: number): void {
    this.#host.enter(now);
    this.#finConsumed = true;
    this.#host.touch(this);
  }

  /**
   * A snapshot at (input, output), both session offsets without FINs. Throws `RangeError` when `output` is not what
   * `write` took, or `input` is above what was handed out or below the last snapshot's.
   */
  exportState(now: number, options: { state: Uint8Array; input: number; output: number }): void {
    this.#host.enter(now);
    if (this.#state === 'ended') return;
    const { state, input, output } = options;
    const last = this.snapshots.newest;
    if (output !== this.produced) throw new RangeError(`snapshot at output ${output}, but the core has ${this.produced}`);
    const lastInput = last.input - (last.inputFinished ? 1 : 0);
    if (input > this.received || input < lastInput) throw new RangeError(`snapshot at input ${input}, not in ${lastInput} … ${this.received}`);
    if (state.byteLength > this.#host.config.limits.maxStateBytes) throw new RangeError(`state of ${state.byteLength} bytes is over the limit of ${this.#host.config.limits.maxStateBytes}`);
    const inputFinished = this.#finConsumed && input === this.streams.receive.finOffset;
    const point: SnapshotPoint = {
      epoch: this.#epoch,
      k: this.#k + 1,
      input: input + (inputFinished ? 1 : 0),
      output: this.streams.outputNext,
      inputFinished,
      outputFinished: this.streams.finished,
      state: state.slice(),
      schema: this.#host.config.schema,
    };
    this.#k = point.k;
    this.#protection.exported();
    this.snapshots.offer(point, this.streams.send.credit);
    this.#dataBytesAtNewest = this.#dataBytes;
    this.streams.trimLog(input);
    this.#exportWanted = undefined;
    this.#timers.cancel('unprotect');
    this.#pump();
  }

  /** No snapshot follows the last `exportDue`. */
  exportDeclined(now: number, options: { hasExporter: boolean }): void {
    this.#host.enter(now);
    this.#exportWanted = undefined;
    this.#protection.declined(options.hasExporter);
    this.#dataBytesAtNewest = this.#dataBytes; // ask again after as much again
    if (this.#hasUncommitted) this.#timers.start('snapshot', this.#now + this.#host.config.timers.snapshotIntervalMs);
    this.#checkBlocked();
  }

  /** The application's last snapshot before a hand-over was exported, or there is none. */
  freezeReady(now: number): void {
    this.#host.enter(now);
    this.#freezeReady();
  }

  #freezeReady(): void {
    if (this.#state !== 'frozen') return;
    if (this.#detach) {
      this.#detach.ready = true;
      this.snapshots.force();
      this.#pump();
      this.#host.touch(this);
      return;
    }
    this.#host.freezeReady(this);
  }

  /** The application is gone: what was written still reaches the client, then the session ends. */
  destroy(now: number): void {
    this.#host.enter(now);
    if (this.#state === 'ended' || this.#applicationGone) return;
    this.#guarded(() => {
      if (!this.streams.finished) this.streams.finish();
      this.#applicationGone = true;
      this.#finConsumed = true;
      this.streams.receive.discard();
      this.#timers.cancel('replay');
      this.#timers.set('linger', this.#now + this.#host.config.timers.lingerMs);
    });
  }

  /** Ends the session at once; the client's application gets ECONNRESET. */
  reset(now: number, code: number = WireCode.Reset, message = 'reset by the server'): void {
    this.#host.enter(now);
    this.#reset(code, message);
  }

  #reset(code: number, message: string): void {
    if (this.#state === 'ended' || this.#pendingReset) return;
    this.#pendingReset = { code, message };
    this.#applicationGone = true;
    this.streams.receive.discard();
    this.#timers.set('linger', this.#now + this.#host.config.timers.lingerMs);
    this.#sendReset();
  }

  // --- attach and hand-over (called by the node) -----------------------------------------------------------------

  /** @internal A higher epoch asked for the session: lower ones are stale from now on. */
  noteEpoch(epoch: number): void {
    this.#highestEpoch = Math.max(this.#highestEpoch, epoch);
  }

  /** @internal The carrier of a new session, or of an offer whose ACCEPT is `acceptPayload`. */
  attach(carrierId: number, acceptPayload: Uint8Array | undefined): void {
    this.#carrierId = carrierId;
    this.#acceptPayload = acceptPayload;
    this.#closeSent = false;
    this.#pingOut = false;
    this.#lastHeardAt = this.#now;
    this.#timers.cancel('detached');
    this.#host.emit({ type: 'attached', session: this, carrierId });
  }

  /** @internal The client came back to this server: `frozen`, `detached` or on a second carrier. */
  resume(options: { carrierId: number; epoch: number; received: number; credit: number; named: Point; acceptPayload: Uint8Array }): void {
    const wasFrozen = this.#state === 'frozen';
    const isInBand = this.#carrierId === options.carrierId;
    this.#setState('resume');
    const old = this.#carrierId;
    if (old !== undefined && old !== options.carrierId) {
      this.#carrierId = undefined;
      this.#host.hangUp(old, []);
    }
    this.#control.length = 0;
    this.noteEpoch(options.epoch);
    this.#epoch = options.epoch;
    this.#confirmed = false;
    this.#detach = undefined;
    const { send, receive } = this.streams;
    if (!this.streams.isRegenerating) {
      send.rewind(options.received, options.credit);
      send.trim(options.received);
    } else send.grant(options.credit);
    receive.reposition(receive.received);
    this.snapshots.reattached(options.named);
    this.attach(options.carrierId, options.acceptPayload);
    this.#ackNow = true;
    this.#timers.cancel('frozen');
    this.#timers.set('attach', this.#now + this.#host.config.timers.attachTimeoutMs);
    if (this.#pendingReset) this.#sendReset();
    this.#host.resumed(this);
    if (wasFrozen || isInBand) this.#host.emit({ type: 'thawed', session: this });
    this.#drain();
    this.#host.touch(this);
  }

  /** @internal CONFIRM was verified, or the client named this server as its origin. */
  confirm(): void {
    if (this.#confirmed || this.#state === 'ended') return;
    if (this.#state === 'offered') this.#setState('confirm');
    this.#confirmed = true;
    this.#everConfirmed = true;
    this.#acceptPayload = undefined;
    this.#timers.cancel('attach');
    this.#host.confirmed(this);
    this.#host.emit({ type: 'confirmed', session: this });
    if (!this.#protection.isProtected) {
      this.queue(this.#protection.frame(this.#epoch));
      this.#tellUnprotected();
    }
    if (this.snapshots.isBehind) this.snapshots.force();
    this.#pump();
    this.#progress();
    if (this.streams.receive.canRead) this.#host.emit({ type: 'readable', session: this });
  }

  /** @internal */
  get acceptPayload(): Uint8Array | undefined {
    return this.#acceptPayload;
  }

  /** @internal Stops emitting and feeding; the application is asked for a last snapshot until `deadline`. */
  freeze(deadline: number, announce: boolean): void {
    const already = this.#state === 'frozen';
    this.#setState('freeze');
    this.#timers.cancel('attach');
    this.#timers.cancel('detached');
    this.#timers.cancel('unprotect');
    this.#timers.set('frozen', this.#now + this.#host.config.timers.frozenTimeoutMs);
    if (announce && this.#carrierId !== undefined) {
      this.sendMaced('frozen', encodePayload('frozen', { epoch: this.#highestEpoch, mac: NO_MAC }), 'frozen');
    }
    if (already) {
      this.#freezeReady();
      return;
    }
    this.#host.emit({ type: 'frozen', session: this });
    if (this.#applicationGone) this.#freezeReady();
    else this.#host.emit({ type: 'exportDue', session: this, reason: 'freeze', deadline });
  }

  /** @internal The session lives at `to` now. */
  release(to: string): void {
    this.#setState('release');
    const carrierId = this.#carrierId;
    this.#carrierId = undefined;
    this.#timers.clear();
    if (carrierId !== undefined) this.#host.hangUp(carrierId, []);
    if (!this.#applicationGone) this.#host.emit({ type: 'moved', session: this, to });
    this.#host.ended(this, to);
  }

  /** @internal The newest point is sealed again and sent again: its ticket is getting old, or its key is. */
  refreshTicket(): void {
    this.snapshots.refresh();
    this.#timers.set('ticket', this.#now + this.#host.config.timers.ticketLifetimeMs / 2);
    this.#pump();
  }

  /** @internal An attach nobody confirmed, or a copy the client left behind: nothing of it may go on. */
  abandon(failure: Failure): void {
    this.#finish(failure, [], false);
  }

  /** @internal */
  carrierLost(): void {
    this.#carrierId = undefined;
    this.#control.length = 0;
    if (this.#state === 'ended') return;
    this.#setState('carrierLost');
    this.#timers.cancel('ack');
    if (this.#everConfirmed && this.#state !== 'frozen') this.#timers.set('detached', this.#now + this.#host.config.timers.detachedTimeoutMs);
    this.#host.emit({ type: 'detached', session: this });
    this.#host.touch(this);
  }

  // --- frames ----------------------------------------------------------------------------------------------------

  /** @internal A frame on the session's carrier. Throws `ProtocolError` for the peer's faults. */
  handleFrame(frame: Incoming): void {
    this.#lastHeardAt = this.#now;
    this.#pingOut = false;
    // Input may come before SUPPORT has reached the client; nothing else does.
    if (frame.frame !== 'data' && frame.frame !== 'fin') this.#established = true;
    this.#dispatch(frame);
    this.#host.touch(this);
  }

  #dispatch(frame: Incoming): void {
    const { send, receive } = this.streams;
    switch (frame.frame) {
      case 'data':
        if (this.#state === 'frozen') return; // the client sends it again to wherever it attaches
        if (!this.streams.acceptData(frame.bytes)) return;
        if (this.#applicationGone) receive.discard();
        if (receive.ackDue) this.#ackNow = true;
        else this.#timers.start('ack', this.#now + this.#host.config.timers.ackDelayMs);
        if (receive.canRead) this.#host.emit({ type: 'readable', session: this });
        this.#progress();
        return;
      case 'fin':
        if (this.#state === 'frozen' || !receive.acceptFin(frame.offset)) return;
        if (this.#applicationGone) receive.discard();
        this.#ackNow = true;
        if (receive.canRead) this.#host.emit({ type: 'readable', session: this });
        return;
      case 'ack':
        if (frame.received > send.acknowledged && this.#timers.has('linger') && !this.#pendingReset) {
          this.#timers.set('linger', this.#now + this.#host.config.timers.lingerMs); // it still takes what is left
        }
        send.acknowledge(frame.received);
        send.grant(frame.credit);
        send.trim(frame.received);
        this.#drain();
        this.#checkBlocked();
        return;
      case 'snapshotAck':
        if (this.snapshots.acknowledge(frame)) this.#covered();
        return;
      case 'ping':
        this.queue(encodeFrame('pong', { token: frame.token }));
        return;
      case 'pong':
        return;
      case 'closeAck':
        if (this.#closeSent) this.#finish(undefined, [], true);
        return;
      case 'resetAck':
        if (this.#pendingReset) this.#finish(this.#failure, [], true);
        return;
      case 'close':
        this.#verified('close-client', frame, () => {
          if (this.#state === 'frozen') return; // input was dropped meanwhile; the client says it again to wherever it attaches
          if (frame.final !== receive.received) throw new ProtocolError(WireCode.Protocol, `CLOSE at ${frame.final}, but ${receive.received} were received`);
          this.#finish(undefined, [encodeFrame('closeAck', { epoch: frame.epoch })], true);
        });
        return;
      case 'reset':
        this.#verified('reset-client', frame, () => {
          this.#finish({ code: errorCodeOf(frame.code), message: frame.message }, [encodeFrame('resetAck', { epoch: frame.epoch })], true);
        });
        return;
      case 'confirm':
        this.#handleConfirm(frame);
        return;
      case 'detach':
        this.#verified('detach', frame, () => {
          if (frame.epoch <= this.#highestEpoch) return;
          this.confirm(); // whoever detaches the session has our ACCEPT
          this.noteEpoch(frame.epoch);
          this.#detach = { ready: false, sent: false };
          this.freeze(this.#now + this.#host.config.timers.pullTimeoutMs / 4, false);
        });
        return;
      default:
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} within a session`);
    }
  }

  #handleConfirm(frame: Frame<'confirm'>): void {
    const accept = this.#acceptPayload;
    if (!accept || frame.epoch !== this.#epoch) return; // of an earlier attach
    this.#verified('confirm', frame, () => {
      if (this.#acceptPayload !== accept) return;
      this.confirm();
    }, [accept]);
  }

  #covered(): void {
    if (this.#protection.covered()) {
      this.queue(encodeFrame('protected', { epoch: this.snapshots.covered.epoch, k: this.snapshots.covered.k }));
      this.#host.emit({ type: 'protected', session: this });
    }
    this.#timers.cancel('unprotect');
    this.#pump();
    this.#checkBlocked();
  }

  // --- snapshots and protection ----------------------------------------------------------------------------------

  /** Bytes moved: is a snapshot due, or is the client about to be blocked by the lack of one? */
  #progress(): void {
    if (this.#state !== 'active' || this.#applicationGone) {
      this.#host.touch(this);
      return;
    }
    // Whether output must wait for snapshots at all is to be known before the client waits for one.
    const isUnknown = this.#protection.isExporterUnknown && this.#hasUncommitted;
    if (isUnknown || this.snapshots.exportDue(this.#now, this.#dataBytes, this.#dataBytesAtNewest)) this.#want('cadence');
    else this.#timers.start('snapshot', this.#now + this.#host.config.timers.snapshotIntervalMs);
    this.#checkBlocked();
    this.#pump();
  }

  #want(reason: ExportReason): void {
    if (this.#exportWanted !== undefined && reason !== 'end') return;
    this.#exportWanted = reason;
    this.#host.emit({ type: 'exportDue', session: this, reason, deadline: undefined });
  }

  /** Seals and sends the newest point when it is due. An unconfirmed attach writes no ticket. */
  #pump(): void {
    this.#host.touch(this);
    if (!this.#confirmed || this.#carrierId === undefined || this.#state === 'ended') return;
    if (this.#state === 'frozen' && !this.#detach?.ready) return;
    if (!this.snapshots.sendDue(this.#now, this.#dataBytes, this.streams.send.credit)) {
      const dueAt = this.snapshots.dueAt;
      if (dueAt !== undefined) this.#timers.start('snapshot', dueAt);
      return;
    }
    const point = this.snapshots.begin(this.#now, this.#dataBytes, this.streams.send.credit);
    if (point.state.byteLength + SEAL_OVERHEAD_BYTES > this.#maxBodyBytes) {
      this.snapshots.refuse(point);
      this.#checkBlocked();
      return;
    }
    this.#host.crypto.ask({ op: 'seal', head: this.ticketHead(point), body: point.state }, ({ head, body }) => {
      this.snapshots.sealed(point, head, body);
      this.#host.touch(this);
    });
  }

  /** @internal The plaintext of a ticket for `point`. */
  ticketHead(point: SnapshotPoint): TicketHead {
    const { config } = this.#host;
    return {
      sessionId: this.sessionId,
      secret: this.secret,
      epoch: point.epoch,
      k: point.k,
      input: point.input,
      output: point.output,
      inputFinished: point.inputFinished,
      outputFinished: point.outputFinished,
      delivery: config.delivery,
      schema: point.schema,
      service: this.service,
      server: config.name,
      host: config.host,
      port: config.port,
      bodyHash: new Uint8Array(32),
      bodyBytes: 0,
      expiresAt: Math.floor(config.wallClock() + config.timers.ticketLifetimeMs),
    };
  }

  /** The client can't go on without a snapshot (protocol.md §6.4): ask for one, and where none comes, degrade. */
  #checkBlocked(): void {
    if (this.#state !== 'active' || this.#carrierId === undefined || this.#applicationGone) return;
    if (!this.#protection.isBlocked) {
      this.#timers.cancel('unprotect');
      if (this.#protection.isUnderPressure && this.#exportWanted === undefined && this.#dataBytes > this.#dataBytesAtNewest) this.#pressure();
      return;
    }
    if (this.#protection.isCoverComing) {
      this.snapshots.force();
      this.#pump();
      return;
    }
    if (this.#protection.isHopeless) this.#degrade();
    else {
      this.#pressure();
      this.#timers.start('unprotect', this.#now + this.#host.config.timers.unprotectAfterMs);
    }
  }

  #pressure(): void {
    this.snapshots.force();
    if (this.#dataBytes > this.#dataBytesAtNewest) this.#want('pressure');
    this.#pump();
  }

  /** `commit` mode: output waits for a snapshot, which the application has not made yet. */
  get #hasUncommitted(): boolean {
    return this.#host.config.delivery === Delivery.Commit && this.streams.outputNext > this.snapshots.newest.output && !this.#protection.neverExports;
  }

  #degrade(): void {
    const wasProtected = this.#protection.isProtected;
    this.#protection.degrade();
    this.#timers.cancel('unprotect');
    this.queue(this.#protection.frame(this.#epoch));
    if (wasProtected) this.#tellUnprotected();
    this.#host.touch(this);
  }

  #tellUnprotected(): void {
    const reason = this.#protection.reason === UnprotectedReason.NoExport ? 'the application exports no state' : 'the state is too large for the client';
    this.#host.emit({ type: 'unprotected', session: this, reason });
  }

  // --- out -------------------------------------------------------------------------------------------------------

  /** @internal */
  queue(frame: Uint8Array): void {
    if (this.#carrierId === undefined) return;
    this.#control.push(frame);
    this.#host.touch(this);
  }

  /** @internal */
  sendMaced(name: FrameName, payload: Uint8Array, label: MacLabel, context: readonly Uint8Array[] = [], then?: () => void): void {
    const carrierId = this.#carrierId;
    this.#host.crypto.ask({ op: 'mac', secret: this.secret, label, data: [...context, macedPart(payload)] }, ({ mac }) => {
      if (this.#carrierId !== carrierId) return;
      this.queue(framePayload(name, withMac(payload, mac)));
      then?.();
    });
  }

  /** @internal Everything that can go out now, in one piece. */
  transmit(): Uint8Array[] {
    if (this.#host.config.delivery === Delivery.Commit && this.#mayEmit) this.#checkBlocked();
    const parts = this.#control.splice(0);
    if (this.#state === 'ended' || this.#pendingReset || this.#carrierId === undefined) return parts;
    if (this.#state === 'frozen') {
      if (this.#detach?.ready && !this.#detach.sent) this.#transmitDetach(parts);
      return parts;
    }
    const { send, receive } = this.streams;
    const canSend = send.canTransmit && this.#mayEmit;
    if (receive.ackPending && (this.#ackNow || parts.length > 0 || canSend)) {
      parts.push(encodeFrame('ack', receive.takeAck()));
      this.#ackNow = false;
      this.#timers.cancel('ack');
    }
    if (this.#mayEmit) {
      this.#transmitStreams(parts, MAX_TRANSMIT_BYTES);
      if (this.#canClose && !this.#closeSent && send.sent === send.next) this.#sendClose();
    }
    return parts;
  }

  /** Re-created output is checked first; until then nothing goes out. */
  get #mayEmit(): boolean {
    return !this.streams.isRegenerating;
  }

  /** Data and the pieces of a ticket by turns; the first piece waits for the output it covers. */
  #transmitStreams(parts: Uint8Array[], maxBytes: number): void {
    const { send } = this.streams;
    let taken = 0;
    for (;;) {
      const stopAt = this.snapshots.position;
      const wantsPiece = stopAt !== undefined;
      const share = wantsPiece ? Math.min(DATA_BETWEEN_CHUNKS_BYTES, maxBytes - taken) : maxBytes - taken;
      const before = send.sent;
      if (share > 0) taken += send.transmit(parts, share, wantsPiece && stopAt > send.sent ? stopAt : undefined);
      const piece = this.snapshots.transmit(parts, send.sent);
      if (!piece && send.sent === before) return;
      if (taken >= maxBytes && !piece) return;
      if (taken >= maxBytes && this.snapshots.position === undefined) return;
    }
  }

  #transmitDetach(parts: Uint8Array[]): void {
    const detach = this.#detach;
    const { send } = this.streams;
    this.#transmitStreams(parts, MAX_TRANSMIT_BYTES);
    const { newest } = this.snapshots;
    if (!detach || send.sent < Math.min(newest.output, send.next) || !this.snapshots.isFlushed) return;
    detach.sent = true;
    this.sendMaced('detached', encodePayload('detached', { epoch: this.#highestEpoch, input: newest.input, output: newest.output, mac: NO_MAC }), 'detached');
  }

  get #canClose(): boolean {
    return this.streams.finished && (this.#applicationGone || this.#finConsumed) && this.#confirmed;
  }

  #sendClose(): void {
    this.#closeSent = true;
    this.sendMaced('close', encodePayload('close', { epoch: this.#epoch, final: this.streams.send.next, mac: NO_MAC }), 'close-server');
    this.#timers.start('linger', this.#now + this.#host.config.timers.lingerMs);
  }

  #sendReset(): void {
    const reset = this.#pendingReset;
    if (!reset || this.#carrierId === undefined) return;
    const payload = encodePayload('reset', { epoch: this.#epoch, code: reset.code, message: reset.message, mac: NO_MAC });
    this.sendMaced('reset', payload, 'reset-server', [], () => {
      if (this.#failure) this.#finish(this.#failure, [], true);
    });
  }

  #drain(): void {
    if (this.#drainWanted && this.wantsWrite) {
      this.#drainWanted = false;
      this.#host.emit({ type: 'drain', session: this });
    }
  }

  // --- time and ends ---------------------------------------------------------------------------------------------

  /** @internal */
  get nextTimeout(): number | undefined {
    return this.#timers.earliest;
  }

  /** @internal */
  handleTimeout(): void {
    for (let timer = this.#timers.takeDue(this.#now); timer !== undefined; timer = this.#timers.takeDue(this.#now)) this.#handleTimer(timer);
    this.#host.touch(this);
  }

  #handleTimer(timer: Timer): void {
    const timedOut = (what: string): Failure => ({ code: 'ETIMEDOUT', message: what });
    switch (timer) {
      case 'ack':
        if (this.streams.receive.ackPending) this.#ackNow = true;
        return;
      case 'snapshot':
        if (this.#state !== 'active' || this.#applicationGone) return;
        if (this.#dataBytes > this.#dataBytesAtNewest || this.#hasUncommitted) this.#want('cadence');
        this.#pump();
        if (this.#dataBytes === this.#dataBytesAtNewest && !this.snapshots.isBehind) this.streams.shrink();
        return;
      case 'unprotect':
        if (this.#protection.isBlocked && !this.#protection.isCoverComing) this.#degrade();
        return;
      case 'replay':
        if (this.streams.isRegenerating) this.#fault(new ProtocolError(WireCode.Diverged, 'the application made no progress re-creating the output the client has'));
        return;
      case 'attach':
        this.#attachExpired();
        return;
      case 'detached':
        this.#finish(timedOut('the client did not come back'), [], this.#pendingReset !== undefined);
        return;
      case 'frozen':
        this.#finish(timedOut('nobody took over the frozen session'), [], false);
        return;
      case 'linger':
        this.#finish(this.#failure, [], true);
        return;
      case 'ticket':
        this.refreshTicket();
        return;
      case 'ping':
        this.#ping();
        return;
    }
  }

  /** An offer dies; a session that lived here before goes on waiting for its client. */
  #attachExpired(): void {
    if (this.#confirmed) return;
    if (!this.#everConfirmed) {
      this.abandon({ code: 'ERR_GODWIT_ABANDONED', message: 'the client did not confirm the attach' });
      return;
    }
    const carrierId = this.#carrierId;
    if (carrierId === undefined) return;
    this.#host.hangUp(carrierId, []);
    this.carrierLost();
  }

  #ping(): void {
    const { pingIdleMs } = this.#host.config.timers;
    const silentMs = this.#now - this.#lastHeardAt;
    if (this.#carrierId !== undefined && silentMs >= pingIdleMs) {
      if (this.#pingOut && silentMs >= 3 * pingIdleMs) {
        const carrierId = this.#carrierId;
        this.#host.hangUp(carrierId, []);
        this.carrierLost();
      } else this.queue(encodeFrame('ping', { token: 0 }));
      this.#pingOut = true;
    }
    this.#timers.set('ping', this.#now + pingIdleMs);
  }

  /** The application's own fault (divergence) ends the session with a code at both sides. */
  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fault(error);
    }
    this.#host.touch(this);
  }

  /** @internal A fault of either side that ends the session: RESET with its code, and the same error here. */
  #fault(error: ProtocolError): void {
    this.#failure = { code: error.code, message: error.message };
    this.#timers.clear();
    const isResetting = this.isResetting;
    this.#reset(error.wireCode, error.message);
    if (this.#carrierId === undefined || isResetting) this.#finish(this.#failure, [], true);
  }

  /** @internal */
  fault(error: ProtocolError): void {
    this.#fault(error);
  }

  #finish(failure: Failure | undefined, last: readonly Uint8Array[], entomb: boolean): void {
    if (this.#state === 'ended') return;
    this.#setState('end');
    this.#timers.clear();
    const carrierId = this.#carrierId;
    this.#carrierId = undefined;
    if (carrierId !== undefined) this.#host.hangUp(carrierId, [...this.#control.splice(0), ...last]);
    this.#host.emit({ type: 'closed', session: this, failure });
    if (entomb && this.#everConfirmed) this.#host.ended(this, undefined);
    else this.#host.ended(this, '');
  }

  #verified(label: MacLabel, frame: Frame & { readonly mac: Uint8Array }, then: () => void, context: readonly Uint8Array[] = []): void {
    const carrierId = this.#carrierId;
    assert(carrierId !== undefined, 'a frame without a carrier');
    this.#host.setBusy(carrierId, true);
    const data = [...context, macedPart(frame.payload)];
    this.#host.crypto.ask({ op: 'verify', secret: this.secret, label, data, mac: frame.mac }, ({ ok }) => {
      this.#host.setBusy(carrierId, false);
      if (this.#carrierId !== carrierId || this.#state === 'ended') return;
      this.#guarded(() => {
        if (!ok) throw new ProtocolError(WireCode.Unauthenticated, `${frame.frame.toUpperCase()} with a wrong MAC`);
        then();
      });
    });
  }

  #setState(event: ServerTransition): void {
    this.#state = nextState(SERVER_TRANSITIONS, this.#state, event);
  }
}
