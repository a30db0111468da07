/**
 * When a session at a server asks for snapshots and sends them (protocol.md §7.2), and what it does when its client can't
 * go on without one (§6.4). Which point travels is snapshot-sender.ts; what blocks the client is protection.ts.
 */
import { Delivery, UnprotectedReason, encodeFrame } from '../wire/index.ts';
import type { ExportReason } from './server-events.ts';
import type { SnapshotPoint } from './server-streams.ts';
import type { SessionCore } from './session-core.ts';
import type { SessionOutput } from './session-output.ts';
import type { Work } from './snapshot-sender.ts';
import type { TicketHead } from './ticket.ts';

/** How long a point waits for a newer one that the application was asked for, in milliseconds. */
const ANSWER_MS = 1;

const EMPTY = new Uint8Array(0);

/** IV and tag of a sealed body (protocol.md §8.4). */
const SEAL_OVERHEAD_BYTES = 28;

export class SnapshotCadence {
  readonly #core: SessionCore;
  readonly #output: SessionOutput;
  #exportWanted: ExportReason | undefined;
  #atNewest: Work;
  /** Until so many data bytes have moved, or writes were made, or that time, nothing changes of what `look` found. */
  #quietBelowBytes = 0;
  #quietBelowWrites = 0;
  #quietUntil = 0;
  #consumedAtNewest = 0;
  /** Data bytes that had moved when `intervalPassed` was called last. */
  #bytesAtInterval = -1;
  /** The timer is set to when a point has waited long enough for a newer one. */
  #isAnswerAwaited = false;

  constructor(core: SessionCore, output: SessionOutput) {
    this.#core = core;
    this.#output = output;
    this.#atNewest = workOf(core);
  }

  /**
   * A snapshot at (input, output), both session offsets without FINs. Throws `RangeError` when `output` is not what
   * `write` took, or `input` is above what was handed out or below the last snapshot's.
   */
  exportState(options: { state: Uint8Array; input: number; output: number }): void {
    // An application that is let go of may not have heard of it yet; what it wrote since was not taken.
    if (this.#core.state === 'ended' || this.#core.applicationGone) return;
    const { state, input, output } = options;
    const last = this.#core.snapshots.newest;
    if (output !== this.#core.streams.produced)
      throw new RangeError(`snapshot at output ${output}, but the core has ${this.#core.streams.produced}`);
    const lastInput = last.input - (last.inputFinished ? 1 : 0);
    if (input > this.#core.received || input < lastInput)
      throw new RangeError(`snapshot at input ${input}, not in ${lastInput} … ${this.#core.received}`);
    if (state.byteLength > this.#core.host.config.limits.maxStateBytes)
      throw new RangeError(
        `state of ${state.byteLength} bytes is over the limit of ${this.#core.host.config.limits.maxStateBytes}`,
      );
    const inputFinished = this.#core.finConsumed && input === this.#core.streams.receive.finOffset;
    const point: SnapshotPoint = {
      epoch: this.#core.epoch,
      k: this.#core.k + 1,
      input: input + (inputFinished ? 1 : 0),
      output: this.#core.streams.outputNext,
      inputFinished,
      outputFinished: this.#core.streams.finished,
      state: new Uint8Array(state), // not slice(): that of a Buffer is a view of the application's memory
      schema: this.#core.host.config.schema,
    };
    this.#core.k = point.k;
    this.#core.protection.exported();
    this.#core.snapshots.offer(point, this.#core.streams.send.credit);
    this.#noteAnswer();
    this.#core.streams.trimLog(input);
    this.#exportWanted = undefined;
    this.#core.timers.cancel('unprotect');
    this.#answered();
    this.pump();
  }

  /** No snapshot follows the last `exportDue`. */
  exportDeclined(options: { hasExporter: boolean; tooLarge?: boolean }): void {
    this.#exportWanted = undefined;
    this.#quietBelowBytes = 0;
    this.#core.protection.declined(options.hasExporter, options.tooLarge ?? false);
    this.#noteAnswer(); // ask again after as much again
    // The point that waited for a newer one goes as it is.
    if (this.#answered()) this.pump();
    if (this.#hasUncommitted)
      this.#core.timers.start('snapshot', this.#core.now + this.#core.host.config.timers.snapshotIntervalMs);
    this.checkBlocked();
  }

  /**
   * Nothing is waited for any more: what is due by time shows with what moves, and what is not needed is given back if nothing
   * does. Answers whether a point has waited.
   */
  #answered(): boolean {
    if (!this.#isAnswerAwaited) return false;
    this.#isAnswerAwaited = false;
    this.#core.timers.set('snapshot', this.#core.now + this.#core.host.config.timers.snapshotIntervalMs);
    return true;
  }

  #noteAnswer(): void {
    this.#atNewest = workOf(this.#core);
    this.#consumedAtNewest = this.#core.streams.receive.consumed;
  }

  /** Since the application last answered, bytes came or went, or it consumed what had come before: it may cover more now. */
  get #hasMoved(): boolean {
    return (
      this.#core.dataBytes > this.#atNewest.dataBytes ||
      this.#core.streams.receive.consumed > this.#consumedAtNewest
    );
  }

  /** The request before a hand-over takes the place of the one that is out, which then may never be answered. */
  superseded(): void {
    this.#exportWanted = undefined;
    this.#quietBelowBytes = 0;
  }

  /** The client has another ticket. */
  covered(): void {
    if (this.#core.protection.covered()) {
      this.#output.queue(
        encodeFrame('protected', {
          epoch: this.#core.snapshots.covered.epoch,
          k: this.#core.snapshots.covered.k,
        }),
      );
      this.#core.host.emit({ type: 'protected', session: this.#core.session });
    }
    this.#core.timers.cancel('unprotect');
    this.pump();
    this.checkBlocked();
    // If nothing more moves, what the session holds and does not need is given back.
    if (this.#isQuiet)
      this.#core.timers.start('snapshot', this.#core.now + this.#core.host.config.timers.snapshotIntervalMs);
  }

  get #isQuiet(): boolean {
    return this.#core.dataBytes === this.#atNewest.dataBytes && !this.#core.snapshots.isBehind;
  }

  /** Bytes came, went or were consumed. Of many small pieces only some are looked at. */
  progress(): void {
    if (
      this.#core.dataBytes < this.#quietBelowBytes &&
      this.#core.writes < this.#quietBelowWrites &&
      this.#core.now < this.#quietUntil
    )
      this.#core.touch();
    else this.look();
  }

  /** The application made output that the client has again. Answers whether anything may follow from it. */
  recreated(): boolean {
    // What is due by time comes with its timer.
    if (this.#core.state !== 'active' || this.#core.timers.has('snapshot')) return false;
    this.look();
    return true;
  }

  /** Is a snapshot due, or is the client about to be blocked by the lack of one? */
  look(): void {
    if (this.#core.state !== 'active' || this.#core.applicationGone) {
      this.#core.touch();
      return;
    }
    // Whether output must wait for snapshots at all is to be known before the client waits for one.
    const isUnknown = this.#core.protection.isExporterUnknown && this.#hasUncommitted;
    // Output that the client has is made again first: it waits for what comes behind. By time a snapshot is due all the same.
    const dueAt = this.#core.streams.isRegenerating ? undefined : this.#exportDueAt;
    let isAsked = false;
    if (isUnknown || (dueAt !== undefined && dueAt <= this.#core.now)) isAsked = this.want('cadence');
    else
      this.#core.timers.hasten(
        'snapshot',
        dueAt ?? this.#core.now + this.#core.host.config.timers.snapshotIntervalMs,
      );
    this.checkBlocked();
    this.#pumpUnless(isAsked);
    // In `commit` mode every byte of output counts.
    if (dueAt === undefined || this.#core.host.config.delivery === Delivery.Commit) return;
    const { dataBytes, writes, protection, snapshots } = this.#core;
    this.#quietBelowBytes =
      dataBytes + Math.min(snapshots.roomBytes(this.#core, this.#atNewest), protection.roomBytes);
    this.#quietBelowWrites = writes + snapshots.roomWrites(this.#core, this.#atNewest);
    this.#quietUntil = Math.min(dueAt, snapshots.dueAt(this.#core, this.#core.streams.send.credit) ?? dueAt);
  }

  /** When the application is to be asked for a state; undefined when nothing has moved since it was. */
  get #exportDueAt(): number | undefined {
    return this.#core.snapshots.exportDueAt(this.#core.now, this.#core, this.#atNewest);
  }

  /** A snapshot may be due by time, or memory be given back. */
  intervalPassed(): void {
    if (this.#core.state !== 'active' || this.#core.applicationGone) return;
    if (this.#isAnswerAwaited) {
      // The timer was for that alone; whether more is due shows with what moves.
      this.#isAnswerAwaited = false;
      this.look();
      return;
    }
    const { now, snapshots, streams, timers } = this.#core;
    const dueAt = this.#hasUncommitted ? now : this.#exportDueAt;
    // A point that waited goes now: a newer one goes in its place.
    const isDue =
      dueAt !== undefined && (dueAt <= now || snapshots.sendDue(now, this.#core, streams.send.credit));
    this.#pumpUnless(isDue && this.want('cadence'));
    if (!isDue && dueAt !== undefined) timers.hasten('snapshot', dueAt);
    // Nor is memory kept for a session that waits for its turn, once nothing moves.
    if (this.#isQuiet || this.#core.dataBytes === this.#bytesAtInterval) streams.shrink();
    this.#bytesAtInterval = this.#core.dataBytes;
  }

  /** Answers true when the application is asked now, and was not before. */
  want(reason: ExportReason): boolean {
    if (this.#exportWanted !== undefined && reason !== 'end') return false;
    this.#exportWanted = reason;
    this.#core.host.emit({ type: 'exportDue', session: this.#core.session, reason, deadline: undefined });
    return true;
  }

  /**
   * A point that waits is as old as the last ticket: where the application is asked for a newer one, which it gives by the end
   * of the tick as a rule, that goes in its place. Where none comes, the old one is not held up for long.
   */
  #pumpUnless(isAsked: boolean): void {
    const { host, now, timers } = this.#core;
    if (!isAsked || host.config.delivery === Delivery.Commit) {
      this.pump();
      return;
    }
    this.#core.touch();
    this.#isAnswerAwaited = true;
    timers.hasten('snapshot', now + ANSWER_MS);
  }

  /** Seals and sends the newest point when it is due. An unconfirmed attach writes no ticket. */
  pump(): void {
    this.#core.touch();
    this.#quietBelowBytes = 0;
    if (!this.#core.confirmed || this.#core.carrierId === undefined || this.#core.state === 'ended') return;
    if (this.#core.state === 'frozen' && !this.#core.detach?.ready) return;
    if (this.#core.resuming) return; // it might free input that the ACCEPT which is being made asks for
    if (!this.#core.snapshots.sendDue(this.#core.now, this.#core, this.#core.streams.send.credit)) {
      const dueAt = this.#core.snapshots.dueAt(this.#core, this.#core.streams.send.credit);
      if (dueAt !== undefined) this.#core.timers.hasten('snapshot', dueAt);
      return;
    }
    const point = this.#core.snapshots.begin(this.#core.now, this.#core, this.#core.streams.send.credit);
    if (point.state.byteLength + SEAL_OVERHEAD_BYTES > this.#core.maxBodyBytes) {
      this.#core.snapshots.refuse(point);
      this.#core.touch();
      this.checkBlocked();
      return;
    }
    const { fence } = this.#core;
    if (fence === undefined) this.#seal(point);
    else
      fence.release(point, () => {
        if (this.#core.snapshots.travelling === point) this.#seal(point);
      });
  }

  #seal(point: SnapshotPoint): void {
    this.#core.host.crypto.ask(
      { op: 'seal', head: this.ticketHead(point), body: point.state },
      ({ head, body }) => {
        this.#core.snapshots.sealed(point, head, body);
        this.#core.touch();
      },
    );
  }

  /** The newest point is sealed again and sent again: its ticket is getting old, or its key is. */
  refreshTicket(): void {
    this.#core.snapshots.refresh();
    this.#core.timers.set('ticket', this.#core.now + this.#core.host.config.timers.ticketLifetimeMs / 2);
    this.pump();
  }

  /** The plaintext of a ticket for `point`. */
  ticketHead(point: SnapshotPoint): TicketHead {
    const { config } = this.#core.host;
    return {
      sessionId: this.#core.sessionId,
      secret: this.#core.secret,
      epoch: point.epoch,
      k: point.k,
      input: point.input,
      output: point.output,
      inputFinished: point.inputFinished,
      outputFinished: point.outputFinished,
      terminal: this.#core.isRemainder,
      delivery: config.delivery,
      schema: point.schema,
      service: this.#core.service,
      server: config.name,
      host: config.host,
      port: config.port,
      bodyHash: new Uint8Array(32),
      bodyBytes: 0,
      expiresAt: Math.floor(config.wallClock() + config.timers.ticketLifetimeMs),
      state: EMPTY,
    };
  }

  /** The client can't go on without a snapshot (protocol.md §6.4): ask for one, and where none comes, degrade. */
  checkBlocked(): void {
    if (this.#core.state !== 'active' || this.#core.carrierId === undefined || this.#core.applicationGone)
      return;
    if (!this.#core.protection.isBlocked) {
      this.#core.timers.cancel('unprotect');
      if (this.#core.protection.isUnderPressure && this.#exportWanted === undefined && this.#hasMoved)
        this.#pressure();
      return;
    }
    if (this.#core.protection.isCoverComing) {
      this.#core.snapshots.force();
      this.pump();
      return;
    }
    if (this.#core.protection.isHopeless) this.#degrade();
    else {
      this.#pressure();
      this.#core.timers.start('unprotect', this.#core.now + this.#core.host.config.timers.unprotectAfterMs);
    }
  }

  #pressure(): void {
    this.#core.snapshots.force();
    if (this.#hasMoved) this.want('pressure');
    this.pump();
  }

  /** `commit` mode: output waits for a snapshot, which the application has not made yet. */
  get #hasUncommitted(): boolean {
    return (
      this.#core.host.config.delivery === Delivery.Commit &&
      this.#core.streams.outputNext > this.#core.snapshots.newest.output &&
      !this.#core.protection.neverExports
    );
  }

  /** The client has been blocked for as long as it may be. */
  blockedTooLong(): void {
    // Where its client is not here to wait, or nothing of the session is restored any more, there is nothing to lose.
    if (this.#core.state !== 'active' || this.#core.carrierId === undefined || this.#core.applicationGone)
      return;
    if (this.#core.protection.isBlocked && !this.#core.protection.isCoverComing) this.#degrade();
  }

  #degrade(): void {
    const wasProtected = this.#core.protection.isProtected;
    this.#core.protection.degrade();
    this.#core.timers.cancel('unprotect');
    this.#output.queue(this.#core.protection.frame);
    if (wasProtected) this.tellUnprotected();
    this.#core.touch();
  }

  tellUnprotected(): void {
    const reason =
      this.#core.protection.reason === UnprotectedReason.NoExport
        ? 'the application exports no state'
        : 'the state is too large for the client';
    this.#core.host.emit({ type: 'unprotected', session: this.#core.session, reason });
  }
}

function workOf({ dataBytes, writes }: Work): Work {
  return { dataBytes, writes };
}
