/** The server's application of the simulator: it follows its script at its own pace, and exports as its habit is. */
import type { StreamComparer } from '../../packages/cli/src/demo/comparer.ts';
import type {
  ExportReason,
  RestartPoint,
  ServerEvent,
  ServerSession,
} from '../../packages/godwit/src/session/index.ts';
import type { ServerApp, ServerAppContext } from '../world/server-apps.ts';
import { compareFrom } from './content.ts';
import type { Draw } from './draw.ts';
import type { Execution } from './history.ts';
import { outputAllowed, type Script } from './script.ts';

/** How an application answers when it is asked for a snapshot. */
export type ExportHabit =
  /** At once. */
  | 'asked'
  /** By itself, every so many bytes, and at once when asked. */
  | 'often'
  /** At once when much has happened since the last; else "not now", so and so often. */
  | 'seldom'
  /** After some time: something is under way. */
  | 'late'
  /** "Not now", many times in a row. */
  | 'not now'
  | 'never';

/** How it ends before its script does. */
export type EarlyEnd = 'destroys' | 'resets';

export interface ApplicationPlan {
  readonly exports: ExportHabit;
  /** Bytes between two exports of the habit `often`, or at least of `seldom`. */
  readonly exportEveryBytes: number;
  readonly lateMs: number;
  /** Refusals of the habit `not now`. */
  readonly refusals: number;
  /** Length of the state, in bytes. */
  readonly stateBytes: number;
  /** Most bytes in one write, and in one go. */
  readonly writeBytes: number;
  /** Between two writes; 0 writes as fast as it may. */
  readonly writePauseMs: number;
  /** Between two reads; 0 reads whatever comes. */
  readonly readPauseMs: number;
  /** Its output is not a function of its input: fine in `commit` mode; in `replay` mode it is to be found out. */
  readonly leavesToChance: boolean;
  readonly earlyEnd: { readonly how: EarlyEnd; readonly atOutput: number } | undefined;
}

/** Every so many bytes of output one is left to chance. */
const CHANCE_EVERY_BYTES = 61;

/** Execution, input, output. */
const STATE_HEADER_BYTES = 20;

export interface ApplicationParts {
  readonly session: ServerSession;
  readonly context: ServerAppContext;
  readonly execution: Execution;
  readonly script: Script;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly plan: ApplicationPlan;
  readonly draw: Draw;
  /** A frozen session gave its application input: another server's application gets the same. */
  readonly onFedWhileFrozen: (bytes: number) => void;
}

export interface AppState {
  readonly execution: number;
  readonly input: number;
  readonly output: number;
}

export function decodeState(state: Uint8Array): AppState {
  const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
  return { execution: view.getUint32(0), input: view.getFloat64(4), output: view.getFloat64(12) };
}

export class ServerApplication implements ServerApp {
  /** What it reads, compared with what the client wrote. */
  readonly comparer: StreamComparer;
  readonly execution: Execution;
  readonly session: ServerSession;
  readonly #parts: ApplicationParts;
  #input: number;
  #output: number;
  #exportedAt: number;
  #refusals: number;
  #sawEnd: boolean;
  #isOver = false;
  /** How it heard of the end. */
  #told: { readonly code: string | undefined } | undefined;
  #isPausing = false;
  #isResting = false;
  /** A late answer is on its way, for these reasons. */
  #answering: ExportReason | undefined;

  constructor(parts: ApplicationParts, restart: RestartPoint | undefined) {
    this.#parts = parts;
    this.execution = parts.execution;
    this.session = parts.session;
    this.#input = restart?.input ?? 0;
    this.#output = restart?.output ?? 0;
    this.#exportedAt = this.#input + this.#output;
    this.#refusals = parts.plan.refusals;
    this.#sawEnd = parts.session.inputFinished;
    this.comparer = compareFrom(parts.input, this.#input);
  }

  /** Input consumed, without the FIN. */
  get consumed(): number {
    return this.#input;
  }
  /** How it heard that its session is over; undefined while it has not. */
  get told(): { readonly code: string | undefined } | undefined {
    return this.#told;
  }
  get sawEnd(): boolean {
    return this.#sawEnd;
  }

  start(): void {
    this.#work();
  }

  handle(event: ServerEvent): void {
    switch (event.type) {
      case 'exportDue':
        this.#exportDue(event.reason, event.deadline);
        return;
      case 'closed':
        // What came before the end is still there to be read.
        if (event.failure === undefined && this.execution.ending === undefined) this.#readAll();
        this.#told = { code: event.failure?.code };
        this.#isOver = true;
        return;
      case 'moved':
        this.#told = { code: 'ERR_GODWIT_MOVED' };
        this.#isOver = true;
        return;
      case 'frozen':
      case 'readable':
      case 'drain':
      case 'thawed':
      case 'confirmed':
        this.#work();
        return;
      default:
    }
  }

  #work(): void {
    if (this.#isOver) return;
    if (this.session.isFrozen) {
      const chunk = this.session.read();
      if (chunk !== undefined) this.#parts.onFedWhileFrozen(chunk === 'end' ? 0 : chunk.byteLength);
      return;
    }
    for (;;) {
      const wrote = this.#write();
      const read = this.#isOver ? false : this.#read();
      if (!wrote && !read) break;
    }
  }

  /** The script's output so far; where the application will end early, no further. */
  get #allowed(): number {
    const { script, plan } = this.#parts;
    return Math.min(outputAllowed(script, this.#input), plan.earlyEnd?.atOutput ?? Infinity);
  }

  #write(): boolean {
    const { plan, context } = this.#parts;
    const { session } = this;
    let wrote = false;
    while (this.#output < this.#allowed && !this.#isResting && session.wantsWrite) {
      const length = Math.min(plan.writeBytes, this.#allowed - this.#output, session.writeRoom);
      session.write(context.now(), this.#bytes(length));
      wrote = true;
      if (session.state === 'ended') return false;
      this.#output += length;
      this.#maybeExport();
      if (plan.writePauseMs > 0) this.#rest();
    }
    this.#maybeEnd();
    return wrote;
  }

  #rest(): void {
    const { plan, context } = this.#parts;
    this.#isResting = true;
    context.after(plan.writePauseMs, () => {
      this.#isResting = false;
      this.#work();
    });
  }

  #bytes(length: number): Uint8Array {
    const { output, plan, draw } = this.#parts;
    const bytes = output.subarray(this.#output, this.#output + length);
    const first = Math.ceil(this.#output / CHANCE_EVERY_BYTES) * CHANCE_EVERY_BYTES;
    if (!plan.leavesToChance || first >= this.#output + length) return bytes;
    const copy = bytes.slice();
    for (let at = first; at < this.#output + length; at += CHANCE_EVERY_BYTES) {
      const byte = draw.whole(0, 255);
      copy[at - this.#output] = byte;
      this.execution.chance.set(at, byte);
    }
    return copy;
  }

  #maybeEnd(): void {
    const { script, plan, context } = this.#parts;
    const { session } = this;
    const early = plan.earlyEnd;
    if (early && this.#output >= early.atOutput && this.execution.ending === undefined) {
      this.#isOver = true;
      this.execution.ending = early.how === 'destroys' ? 'destroyed' : 'reset';
      if (early.how === 'destroys') session.destroy(context.now());
      else session.reset(context.now());
      return;
    }
    const isDone = this.#output >= script.outputBytes;
    if (isDone && !session.outputFinished && (script.outputEnds === 'at once' || this.#sawEnd))
      session.end(context.now());
  }

  #read(): boolean {
    const { plan, context } = this.#parts;
    // It answers what it has read before it reads on.
    if (this.#isPausing || this.#output < this.#allowed) return false;
    const chunk = this.session.read();
    if (chunk === undefined) return false;
    this.#take(chunk);
    if (plan.readPauseMs === 0) return true;
    this.#isPausing = true;
    context.after(plan.readPauseMs, () => {
      this.#isPausing = false;
      this.#work();
    });
    return true;
  }

  #take(chunk: Uint8Array | 'end'): void {
    const { context } = this.#parts;
    if (chunk === 'end') {
      this.#sawEnd = true;
      this.session.finConsumed(context.now());
      return;
    }
    this.comparer.push(chunk);
    this.#input += chunk.byteLength;
    this.session.consumed(context.now(), chunk.byteLength);
    this.#maybeExport();
  }

  #readAll(): void {
    for (let chunk = this.session.read(); chunk !== undefined; chunk = this.session.read()) this.#take(chunk);
  }

  // --- Snapshots ------------------------------------------------------------------------------------------------

  #maybeExport(): void {
    const { plan } = this.#parts;
    if (plan.exports === 'often' && this.#input + this.#output - this.#exportedAt >= plan.exportEveryBytes)
      this.#export();
  }

  #export(): void {
    const { plan, context } = this.#parts;
    const state = new Uint8Array(Math.max(plan.stateBytes, STATE_HEADER_BYTES));
    const view = new DataView(state.buffer);
    view.setUint32(0, this.execution.id);
    view.setFloat64(4, this.#input);
    view.setFloat64(12, this.#output);
    this.#exportedAt = this.#input + this.#output;
    if (state.byteLength > this.session.maxStateBytes)
      this.session.exportDeclined(context.now(), { hasExporter: true, tooLarge: true });
    else this.session.exportState(context.now(), { state, input: this.#input, output: this.#output });
  }

  #exportDue(reason: ExportReason, deadline: number | undefined): void {
    const { plan, context } = this.#parts;
    const isFreeze = reason === 'freeze';
    if (this.#isOver) {
      if (isFreeze) this.session.freezeReady(context.now());
      return;
    }
    const isLate = plan.exports === 'late' || (plan.exports === 'not now' && isFreeze && this.#refusals > 0);
    if (isLate) {
      this.#exportLater(reason, deadline);
      return;
    }
    this.#answer(reason);
    if (isFreeze) this.session.freezeReady(context.now());
  }

  #answer(reason: ExportReason): void {
    const { plan, context } = this.#parts;
    const decline = (hasExporter: boolean): void => {
      if (reason !== 'freeze') this.session.exportDeclined(context.now(), { hasExporter });
    };
    const isLittle = this.#input + this.#output - this.#exportedAt < plan.exportEveryBytes;
    const refuses = plan.exports === 'not now' || (plan.exports === 'seldom' && isLittle && reason !== 'end');
    if (plan.exports === 'never') decline(false);
    else if (refuses && this.#refusals > 0 && reason !== 'freeze') {
      this.#refusals -= 1;
      decline(true);
    } else {
      if (plan.exports === 'seldom') this.#refusals = plan.refusals;
      this.#export();
    }
  }

  /** Something is under way, which takes its time; a hand-over waits for it only until its deadline. */
  #exportLater(reason: ExportReason, deadline: number | undefined): void {
    const { plan, context } = this.#parts;
    if (this.#answering === undefined || reason === 'freeze') this.#answering = reason;
    const waitMs = deadline === undefined ? Infinity : Math.max(0, deadline - context.now());
    const isInTime = plan.exports === 'late' && plan.lateMs < waitMs;
    context.after(Math.min(plan.lateMs, waitMs), () => {
      const answering = this.#answering;
      this.#answering = undefined;
      if (this.#isOver || this.session.state === 'ended' || answering === undefined) return;
      if (isInTime) this.#answer(answering);
      else this.#refusals -= 1;
      if (this.session.isFrozen) this.session.freezeReady(context.now());
      else if (!isInTime) this.session.exportDeclined(context.now(), { hasExporter: true });
    });
  }
}
