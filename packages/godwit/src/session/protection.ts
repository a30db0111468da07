/**
 * Whether a session can be restored, and what to do where a limit leaves no way to keep it so (protocol.md §6.4): the
 * client keeps input, and in `commit` mode stages output, until a ticket covers them. When it can keep no more and no
 * ticket comes, it is told what it may let go of, and the session is unprotected until a ticket covers all that was let go.
 */
import { Delivery, UnprotectedReason, encodeFrame, type Offset } from '../wire/index.ts';
import type { ServerStreams } from './server-streams.ts';
import type { SnapshotSender } from './snapshot-sender.ts';

export interface ProtectionOptions {
  readonly delivery: Delivery;
  readonly streams: ServerStreams;
  readonly snapshots: SnapshotSender;
  /** Most input that the client keeps. */
  readonly retainLimitBytes: number;
  /** Set when the client has let go of bytes already: the offsets below which it has. */
  readonly lost: { readonly input: Offset; readonly output: Offset } | undefined;
}

export class Protection {
  readonly #delivery: Delivery;
  readonly #streams: ServerStreams;
  readonly #snapshots: SnapshotSender;
  readonly #retainLimitBytes: number;
  #protected: boolean;
  /** The client may have let go of input, and delivered output, below these without a ticket. */
  #lostInput: Offset;
  #lostOutput: Offset;
  #reason: UnprotectedReason = 0;
  /** Undefined while the application has not shown whether it exports snapshots at all. */
  #exports: boolean | undefined;

  constructor(options: ProtectionOptions) {
    this.#delivery = options.delivery;
    this.#streams = options.streams;
    this.#snapshots = options.snapshots;
    this.#retainLimitBytes = options.retainLimitBytes;
    this.#protected = options.lost === undefined;
    this.#lostInput = options.lost?.input ?? 0;
    this.#lostOutput = options.lost?.output ?? 0;
  }

  get isProtected(): boolean {
    return this.#protected;
  }
  get retainLimitBytes(): number {
    return this.#retainLimitBytes;
  }
  get reason(): UnprotectedReason {
    return this.#reason;
  }
  /** The application has neither exported a snapshot nor declined to. */
  get isExporterUnknown(): boolean {
    return this.#exports === undefined;
  }
  /** The application has said that it exports none, and never has. */
  get neverExports(): boolean {
    return this.#exports === false;
  }

  exported(): void {
    this.#exports = true;
    this.#isTooLarge = false;
  }

  declined(hasExporter: boolean, tooLarge: boolean): void {
    // "Not now" says nothing of the size: what was too large stays so until a state is exported.
    if (tooLarge) this.#isTooLarge = true;
    if (hasExporter || this.#exports !== true) this.#exports = hasExporter;
  }

  /** Input the client still keeps, as far as this server knows. */
  get #keptInput(): number {
    return this.#streams.receive.received - Math.max(this.#snapshots.covered.input, this.#lostInput);
  }

  /** The first output offset that the client must not deliver yet (`commit` mode). */
  get #stagedFrom(): Offset {
    return Math.max(this.#snapshots.covered.output, this.#lostOutput);
  }

  get isUnderPressure(): boolean {
    return this.#keptInput >= this.#retainLimitBytes / 2 && !this.#snapshots.isInTransit;
  }
  /** `replay` mode: so many bytes may come or go before the client can be under pressure, or blocked. */
  get roomBytes(): number {
    return this.#retainLimitBytes / 2 - this.#keptInput;
  }

  /** The client can take no more before a ticket comes, or is told that none will. */
  get isBlocked(): boolean {
    return this.#isInputBlocked || this.#isOutputBlocked;
  }

  /** It keeps as much input as it may, and the application has taken all of it. */
  get #isInputBlocked(): boolean {
    const { receive } = this.#streams;
    const limit = this.neverExports ? this.#retainLimitBytes / 2 : this.#retainLimitBytes;
    return (
      this.#keptInput >= limit &&
      receive.consumed >= Math.min(receive.received, receive.finOffset ?? receive.received)
    );
  }

  /** Its stage is full, or holds what no ticket will ever cover. */
  get #isOutputBlocked(): boolean {
    if (this.#delivery !== Delivery.Commit) return false;
    const { send } = this.#streams;
    if (this.neverExports || this.#isRefused) return this.#streams.outputNext > this.#stagedFrom;
    // Whether more waits does not matter: where there is no credit the application is not asked for more.
    return send.sent >= send.credit && send.acknowledged === send.sent && send.sent > this.#stagedFrom;
  }

  /** A ticket that is on its way, or waits, would end the block. */
  get isCoverComing(): boolean {
    return this.#snapshots.isCoverComing(this.#streams.send.credit);
  }

  /** The state there is does not fit: this server does not take it, or the client does not. */
  get #isRefused(): boolean {
    return this.#isTooLarge || this.#snapshots.isRefused;
  }
  #isTooLarge = false;

  /** The client may let go of what blocks it, and of no more: the other stream may still be restored. */
  degrade(): void {
    this.#reason = this.#isRefused ? UnprotectedReason.TicketTooLarge : UnprotectedReason.NoExport;
    const isOutputBlocked = this.#isOutputBlocked;
    if (this.#isInputBlocked) this.#lostInput = this.#streams.receive.received;
    if (isOutputBlocked) this.#lostOutput = this.#streams.outputNext;
    this.#protected = false;
  }

  /** A block that neither time nor another snapshot could end. */
  get isHopeless(): boolean {
    return this.#exportsNothing || this.#snapshots.isInTransit || this.#snapshots.isRefused;
  }

  /**
   * Nobody can tell an application that exports by itself, but has not done so yet, from one that never will. So its first
   * output waits for a while: what is delivered uncommitted can't be taken back.
   */
  get #exportsNothing(): boolean {
    return this.neverExports && (this.#isInputBlocked || !this.#protected);
  }

  /** UNPROTECTED as it stands; sent again after each attach, since control frames die with their carrier. */
  get frame(): Uint8Array {
    return encodeFrame('unprotected', {
      reason: this.#reason,
      input: this.#lostInput,
      output: this.#lostOutput,
    });
  }

  /** The client has another ticket. Answers true when the session is protected again. */
  covered(): boolean {
    const { covered } = this.#snapshots;
    if (this.#protected || covered.input < this.#lostInput || covered.output < this.#lostOutput) return false;
    this.#protected = true;
    return true;
  }
}
