/**
 * A session at a server (protocol.md §10.2), as the application and the node see it. Its parts each have a file: what it
 * sends (session-output.ts), its snapshots (snapshot-cadence.ts), where it lives (session-attachment.ts), what its client
 * says (session-frames.ts), its timers (session-clock.ts), how it ends (session-end.ts). Which carrier it lives on, and
 * how it comes and goes between servers, is the node's business (server-node.ts).
 */
import { Delivery, WireCode, toHex, type FrameName, type ProtocolError } from '../wire/index.ts';
import type { Failure, Incoming } from './client-events.ts';
import type { MacLabel } from './crypto.ts';
import type { FenceAnswer } from './fence-rules.ts';
import type { ServerState } from './server-state.ts';
import type { ServerStreams, SnapshotPoint } from './server-streams.ts';
import { SessionAttachment, type ResumeOptions } from './session-attachment.ts';
import { SessionClock } from './session-clock.ts';
import { SessionCore } from './session-core.ts';
import { SessionEnd } from './session-end.ts';
import type { SessionFence } from './session-fence.ts';
import { SessionFrames } from './session-frames.ts';
import type { SessionHost, SessionInit } from './session-host.ts';
import { SessionOutput } from './session-output.ts';
import { SnapshotCadence } from './snapshot-cadence.ts';
import type { SnapshotSender } from './snapshot-sender.ts';
import type { TicketHead } from './ticket.ts';
import { NO_HANDLE } from './time-heap.ts';

export type { SessionHost, SessionInit } from './session-host.ts';

/** What a session that holds nothing takes, in bytes, its socket included. */
const SESSION_BYTES = 8 * 1024;

export class ServerSession {
  readonly sessionId: Uint8Array;
  readonly id: string;
  /** 32 bytes, shared with the client alone. @internal */
  readonly secret: Uint8Array;
  /** @internal */ readonly streams: ServerStreams;
  /** @internal */ readonly snapshots: SnapshotSender;
  readonly service: string;
  readonly #core: SessionCore;
  readonly #output: SessionOutput;
  readonly #cadence: SnapshotCadence;
  readonly #end: SessionEnd;
  readonly #attachment: SessionAttachment;
  readonly #frames: SessionFrames;
  readonly #clock: SessionClock;
  /** @internal What the node counts of `heldBytes`. */
  accountedBytes: number | undefined;
  /** @internal The address that its place at the node counts for. */
  place: string | undefined;
  /** @internal The node has yet to look at it. */
  isTouched = false;
  /** What whoever drives the node knows of the session. */
  owner: object | undefined;
  /** @internal Position in the node's heap of deadlines. */
  deadlineHandle = NO_HANDLE;

  constructor(host: SessionHost, init: SessionInit) {
    const core = new SessionCore(this, host, init);
    this.sessionId = init.sessionId;
    this.id = toHex(init.sessionId);
    this.secret = init.secret;
    this.service = init.service;
    this.streams = init.streams;
    this.snapshots = core.snapshots;
    this.#core = core;
    this.#output = new SessionOutput(core);
    this.#cadence = new SnapshotCadence(core, this.#output);
    this.#end = new SessionEnd(core, this.#output);
    this.#attachment = new SessionAttachment(core, this.#output, this.#cadence, this.#end);
    this.#frames = new SessionFrames(core, this.#output, this.#cadence, this.#end, this.#attachment);
    this.#clock = new SessionClock(core, this.#output, this.#cadence, this.#end, this.#attachment);
  }

  // --- what the application sees ---------------------------------------------------------------------------------------

  get state(): ServerState {
    return this.#core.state;
  }
  get epoch(): number {
    return this.#core.epoch;
  }
  get snapshotNumber(): number {
    return this.#core.k;
  }
  get isFrozen(): boolean {
    return this.#core.state === 'frozen';
  }
  /** Another server has asked for it, and it waits to be released. */
  get isHandedOver(): boolean {
    return this.isFrozen && this.#core.detach === undefined;
  }
  /** Largest state `exportState` takes, in bytes. */
  get maxStateBytes(): number {
    return this.#core.host.config.limits.maxStateBytes;
  }
  get isProtected(): boolean {
    return this.#core.protection.isProtected;
  }
  /** The session has lived here with its client's consent (and is not merely an offer to take it). */
  get isConfirmed(): boolean {
    return this.#core.everConfirmed;
  }
  /** There is a fence, it was reached when it was last asked, and says that the session lives here. */
  get isFenced(): boolean {
    return this.#core.fence?.isHeld ?? false;
  }
  /** @internal */
  get fence(): SessionFence | undefined {
    return this.#core.fence;
  }
  /**
   * @internal Whether a client that leaves this server's OPEN or attach of that epoch has this copy. If not, it left what a
   * former process of this name had, and never took what it is offered here.
   */
  isKnownAs(originEpoch: number): boolean {
    return this.#core.everConfirmed || this.#core.epoch === originEpoch;
  }
  /** The client has answered since it opened the session. */
  get isEstablished(): boolean {
    return this.#core.established;
  }
  get carrierId(): number | undefined {
    return this.#core.carrierId;
  }
  get highestEpoch(): number {
    return this.#core.highestEpoch;
  }
  /** Only its last bytes are left to deliver; the application has let go of it. */
  get isTerminal(): boolean {
    return this.#core.applicationGone;
  }
  /** The application, or a fault, ended it at once: no other server may take it over. */
  get isResetting(): boolean {
    return this.#core.pendingReset !== undefined;
  }
  /** Output offset: bytes that `write` took, since the session's offset 0. */
  get produced(): number {
    return this.streams.produced;
  }
  /** Input offset up to which `read` handed out bytes, since the session's offset 0. */
  get received(): number {
    return this.#core.received;
  }
  get inputFinished(): boolean {
    return this.#core.finConsumed;
  }
  get outputFinished(): boolean {
    return this.streams.finished;
  }
  /**
   * Bytes that `write` should be given at once at the most. In `commit` mode as many as the client has room to stage, so
   * that the snapshot the application makes next covers no more than that.
   */
  get writeRoom(): number {
    return this.#output.writeRoom;
  }
  get wantsWrite(): boolean {
    return this.#output.wantsWrite;
  }
  /** Memory that the session takes, in bytes: input not consumed, the log, the output tail, states, tickets, and itself. */
  get heldBytes(): number {
    return SESSION_BYTES + this.streams.heldBytes + this.snapshots.heldBytes;
  }
  /** Output bytes written but not on the present carrier yet. */
  get bytesUnsent(): number {
    return this.#core.streams.send.unsentBytes;
  }

  /** Output bytes that the client could take and has not acknowledged. */
  get bytesUnacknowledged(): number {
    const { send, isRegenerating } = this.#core.streams;
    if (this.#core.state !== 'active' || isRegenerating) return 0;
    return send.next - send.acknowledged;
  }
  /** Output offset up to which the client has acknowledged what came from here. */
  get acknowledged(): number {
    return this.streams.send.acknowledged;
  }

  /**
   * Takes output; the bytes are copied. While frozen the caller must wait (`isFrozen`), but for bytes its last snapshot covers.
   * Answers whether anything may follow from it now: a client waits while what it has is made again, so that is quick.
   */
  write(now: number, bytes: Uint8Array): boolean {
    this.#core.host.enter(now);
    if (this.#core.state === 'ended' || this.#core.applicationGone) return false;
    this.#core.writes += 1;
    if (this.streams.recreate(bytes)) {
      this.#core.replay.note();
      return this.#cadence.recreated();
    }
    if (!this.streams.isRegenerating) {
      this.streams.write(bytes);
      this.#cadence.progress();
      return true;
    }
    this.#end.guarded(() => {
      this.streams.write(bytes);
      if (this.#core.timers.has('replay')) this.#core.replay.progress();
      this.#cadence.progress();
    });
    return true;
  }

  /** No more output: FIN. In `commit` mode the application is asked for a last snapshot. */
  end(now: number): void {
    this.#core.host.enter(now);
    if (this.#core.state === 'ended' || this.streams.finished) return;
    this.#end.guarded(() => {
      this.streams.finish();
      this.#core.timers.cancel('replay');
      if (this.#core.host.config.delivery === Delivery.Commit && !this.#core.applicationGone)
        this.#cadence.want('end');
    });
  }

  /** The next input, `'end'` once after the FIN, or undefined; nothing while frozen. */
  read(): Uint8Array | 'end' | undefined {
    if (this.#core.state === 'frozen') return undefined;
    return this.streams.receive.read();
  }

  /** The application took so many bytes out of its stream. */
  consumed(now: number, bytes: number): void {
    this.#core.host.enter(now);
    const { receive } = this.streams;
    if (this.#core.state === 'ended' || this.#core.applicationGone) return;
    receive.consume(bytes);
    this.#acknowledge();
    this.#cadence.progress();
  }

  /** The client may have waited for what was just granted. */
  #acknowledge(): void {
    const { receive } = this.streams;
    if (receive.ackDue) this.#core.ackNow = true;
    else if (receive.ackPending)
      this.#core.timers.start('ack', this.#core.now + this.#core.host.config.timers.ackDelayMs);
  }

  /** The application saw the end of its input. */
  finConsumed(now: number): void {
    this.#core.host.enter(now);
    this.#core.finConsumed = true;
    this.#core.touch();
  }

  /**
   * A snapshot at (input, output), both session offsets without FINs. Throws `RangeError` when `output` is not what
   * `write` took, or `input` is above what was handed out or below the last snapshot's.
   */
  exportState(now: number, options: { state: Uint8Array; input: number; output: number }): void {
    this.#core.host.enter(now);
    this.#cadence.exportState(options);
  }

  /** No snapshot follows the last `exportDue`. */
  exportDeclined(now: number, options: { hasExporter: boolean; tooLarge?: boolean }): void {
    this.#core.host.enter(now);
    this.#cadence.exportDeclined(options);
  }

  /** The application's last snapshot before a hand-over was exported, or there is none. */
  freezeReady(now: number): void {
    this.#core.host.enter(now);
    this.#attachment.freezeReady();
  }

  /** The application is gone: what was written still reaches the client, then the session ends. */
  destroy(now: number): void {
    this.#core.host.enter(now);
    if (this.#core.state === 'ended' || this.#core.applicationGone) return;
    this.#end.guarded(() => {
      if (!this.streams.finished) this.streams.finish();
      this.#core.applicationGone = true;
      this.#core.finConsumed = true;
      this.streams.receive.discard();
      this.#acknowledge();
      this.#core.timers.cancel('replay');
      this.#core.timers.set('linger', this.#core.now + this.#core.host.config.timers.lingerMs);
    });
  }

  /** Ends the session at once; the client's application gets ECONNRESET. */
  reset(now: number, code: number = WireCode.Reset, message = 'reset by the server'): void {
    this.#core.host.enter(now);
    this.#end.reset(code, message);
  }

  /**
   * Ends the session here, whatever becomes of it. With `elsewhere`, a protected one is simply gone from here, as after a crash:
   * its client restores it at another server. Otherwise both ends get the error.
   */
  giveUp(now: number, error: ProtocolError, elsewhere: boolean): void {
    this.#core.host.enter(now);
    const isRestorable = this.isProtected && !this.isTerminal && !this.isFrozen;
    if (elsewhere && isRestorable) this.abandon({ code: error.code, message: error.message });
    else this.fault(error);
  }

  // --- attach and hand-over (called by the node) -----------------------------------------------------------------------

  /** @internal A higher epoch asked for the session: lower ones are stale from now on. */
  noteEpoch(epoch: number): void {
    this.#attachment.noteEpoch(epoch);
  }

  /** @internal The carrier of a new session, or of an offer whose ACCEPT is `acceptPayload`. */
  attach(carrierId: number, acceptPayload: Uint8Array | undefined): void {
    this.#attachment.attach(carrierId, acceptPayload);
  }

  /** @internal An ACCEPT that says where output goes on is being made, or came to nothing. */
  expectResume(epoch: number, outputStart: number): void {
    this.#attachment.expectResume(epoch, outputStart);
  }
  /** @internal */
  forgetResume(epoch: number): void {
    this.#attachment.forgetResume(epoch);
  }

  /** @internal The client came back to this server: `frozen`, `detached` or on a second carrier. */
  resume(options: ResumeOptions): void {
    this.#attachment.resume(options);
  }

  /** @internal Its client took the present attach, and the fence let it. */
  get isLive(): boolean {
    return this.#core.confirmed;
  }
  /** @internal The client names the present attach as the one that it leaves. `then` hears what the fence says to that. */
  goLive(then: (answer: FenceAnswer) => void): void {
    this.#attachment.goLive(then);
  }

  /** @internal */
  get acceptPayload(): Uint8Array | undefined {
    return this.#core.acceptPayload;
  }

  /** @internal Stops emitting and feeding; the application is asked for a last snapshot until `deadline`. */
  freeze(deadline: number, announce: boolean): void {
    this.#attachment.freeze(deadline, announce);
  }

  /** @internal The session lives at `to` now. */
  release(to: string): void {
    this.#attachment.release(to);
  }

  /** @internal The newest point is sealed again and sent again: its ticket is getting old, or its key is. */
  refreshTicket(): void {
    this.#cadence.refreshTicket();
  }

  /** @internal The plaintext of a ticket for `point`. */
  ticketHead(point: SnapshotPoint): TicketHead {
    return this.#cadence.ticketHead(point);
  }

  /** @internal An attach nobody confirmed, or a copy the client left behind: nothing of it may go on. */
  abandon(failure: Failure): void {
    this.#attachment.abandon(failure);
  }

  /** @internal */
  carrierLost(): void {
    this.#attachment.carrierLost();
  }

  /** @internal A fault of either side that ends the session: RESET with its code, and the same error here. */
  fault(error: ProtocolError): void {
    this.#end.fault(error);
  }

  // --- frames and time -------------------------------------------------------------------------------------------------

  /** @internal A frame on the session's carrier. Throws `ProtocolError` for the peer's faults. */
  handleFrame(frame: Incoming): void {
    this.#frames.handleFrame(frame);
  }

  /** @internal */
  queue(frame: Uint8Array): void {
    this.#output.queue(frame);
  }

  /** @internal */
  sendMaced(
    name: FrameName,
    payload: Uint8Array,
    label: MacLabel,
    context: readonly Uint8Array[] = [],
    then?: () => void,
  ): void {
    this.#output.sendMaced(name, payload, label, context, then);
  }

  /** @internal Everything that can go out now, in one piece. */
  transmit(): Uint8Array[] {
    if (this.#core.host.config.delivery === Delivery.Commit && this.#output.mayEmit)
      this.#cadence.checkBlocked();
    return this.#output.transmit();
  }

  /** @internal What `transmit` answered last was a part of it. */
  get hasMoreToTransmit(): boolean {
    return this.#output.hasMore;
  }

  /** @internal */
  get nextTimeout(): number | undefined {
    return this.#core.timers.earliest;
  }

  /** @internal */
  handleTimeout(): void {
    this.#clock.handleTimeout();
  }
}
