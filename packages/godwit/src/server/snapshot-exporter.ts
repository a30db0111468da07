/**
 * Ties states that the application exports to exact positions in its two streams, and asks for them when they are due.
 *
 * The output of a snapshot is every byte the application has written, those still on their way through the Writable
 * included. So the snapshot waits here until just these bytes are in the session, and no others.
 */
import type { Writable } from 'node:stream';
import { GodwitError, argumentError } from '../errors.ts';
import type { ServerSession } from '../session/index.ts';
import type { Outbound } from '../socket/outbound.ts';
import { Deadline, now } from '../socket/timers.ts';

/** How often an exporter that answered "not now" is asked again while its session waits to move, in milliseconds. */
const RETRY_MS = 20;

/** Options of `ServerSocket#exportState`. */
export interface ExportOptions {
  /** Input offset in the session that the application has really consumed. Between the last snapshot's and what was handed out. */
  readonly bytesConsumed?: number;
}

/** What an exporter may answer. */
export type ExportedState =
  Uint8Array | string | { readonly state: Uint8Array | string; readonly bytesConsumed?: number } | undefined;

/** Answers the state as it is at this moment, synchronously; see `ServerSocket#onExportState`. */
export type Exporter = () => ExportedState;

interface Pending {
  state: Uint8Array;
  readonly input: number;
  /** The application had ended its output: the snapshot comes behind the FIN. */
  readonly ended: boolean;
}

export interface ExporterHost {
  readonly session: ServerSession;
  readonly outbound: Outbound;
  readonly stream: Pick<Writable, 'writableLength' | 'writableEnded' | 'writableCorked' | 'cork' | 'uncork'>;
  /** Session offset of the input that has left the stream. */
  consumedInput(): number;
  wake(): void;
  /** The last state before a hand-over was taken, or time is out: what is written from now on is wanted only if that fails. */
  leaving(): void;
  fail(error: Error): void;
}

export class SnapshotExporter {
  readonly #host: ExporterHost;
  /** Made when the application is first waited for. */
  #deadline: Deadline | undefined;
  #exporter: Exporter | undefined;
  #holds = 0;
  #unknown: string | undefined;
  #pending: Pending | undefined;
  #lastInput: number;
  #due = false;
  #asked = false;
  #freeze: { readonly until: number } | undefined;
  #stopped = false;

  constructor(host: ExporterHost) {
    this.#host = host;
    this.#lastInput = host.consumedInput();
  }

  setExporter(exporter: Exporter): void {
    if (typeof exporter !== 'function')
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_TYPE',
        'The "exporter" argument must be of type function.',
      );
    this.#exporter = exporter;
    if (this.#due) this.#ask();
  }

  /** From now on the application must say what it has consumed. */
  consumedUnknown(because: string): void {
    this.#unknown ??= because;
  }

  hold(): () => void {
    this.#holds += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds -= 1;
      if (this.#holds === 0 && (this.#due || this.#freeze !== undefined)) this.#ask();
    };
  }

  /** The application exports by itself. */
  push(state: Uint8Array | string, options: ExportOptions): void {
    if (this.#stopped) return;
    this.#take(state, options.bytesConsumed);
    if (this.#freeze !== undefined) this.#ask();
  }

  /** The core wants a snapshot; before a move (`freeze`) by the deadline. */
  due(freeze: boolean, deadline: number | undefined): void {
    this.#due = true;
    if (freeze) this.#freeze = { until: deadline ?? now() };
    this.#ask();
  }

  cancelFreeze(): void {
    this.#freeze = undefined;
    this.#deadline?.set(undefined);
  }

  stop(): void {
    this.#stopped = true;
    this.#pending = undefined;
    this.#deadline?.set(undefined);
  }

  /** Never from within a call of the application's, whose state may not fit its streams before it returns. */
  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    process.nextTick(() => {
      this.#asked = false;
      this.#answer();
    });
  }

  #answer(): void {
    if (this.#stopped || !(this.#due || this.#freeze !== undefined)) return;
    const freeze = this.#freeze;
    if (freeze === undefined) {
      if (this.#holds > 0 || this.#pending !== undefined) return;
      this.#due = false;
      const answer = this.#pull();
      if (answer !== 'done')
        this.#host.session.exportDeclined(now(), {
          hasExporter: this.#exporter !== undefined,
          tooLarge: answer === 'tooLarge',
        });
      this.#host.wake();
      return;
    }
    const outOfTime = now() >= freeze.until;
    if (this.#holds > 0 && !outOfTime) {
      this.#answerAt(freeze.until);
      return;
    }
    // Whatever was written so far belongs before the last snapshot.
    if (this.#exporter !== undefined || this.#pending !== undefined) this.#flush();
    if (this.#holds === 0 && this.#pull() === 'later' && !outOfTime) {
      this.#answerAt(Math.min(freeze.until, now() + RETRY_MS));
      return;
    }
    if (this.#pending !== undefined) this.#flush();
    // Also when the exporter failed and reset the session: then the core answers that there is nothing to hand over.
    this.#due = false;
    this.cancelFreeze();
    this.#host.leaving();
    this.#host.session.freezeReady(now());
    this.#host.wake();
  }

  #answerAt(at: number): void {
    this.#deadline ??= new Deadline(() => this.#answer());
    this.#deadline.set(at);
  }

  #pull(): 'done' | 'later' | 'never' | 'tooLarge' {
    const exporter = this.#exporter;
    if (exporter === undefined) return 'never';
    try {
      const answer = exporter();
      if (answer === undefined) return 'later';
      if (answer instanceof Promise) throw invalid('a promise: it must be synchronous');
      if (typeof answer === 'string' || answer instanceof Uint8Array) this.#take(answer, undefined);
      else this.#take(answer.state, answer.bytesConsumed);
    } catch (error) {
      // A state that is too large leaves the session unprotected, which both ends are told; anything else is a bug.
      if ((error as GodwitError).code === 'ERR_GODWIT_STATE_TOO_LARGE') return 'tooLarge';
      this.#host.fail(error as Error);
      return 'never';
    }
    return 'done';
  }

  #take(given: unknown, bytesConsumed: number | undefined): void {
    const state = bytesOf(given);
    const limit = this.#host.session.maxStateBytes;
    if (state.byteLength > limit) {
      const message = `a state of ${state.byteLength} bytes is over the limit of ${limit} (limits.maxStateBytes)`;
      throw new GodwitError('ERR_GODWIT_STATE_TOO_LARGE', message);
    }
    const input = this.#inputOf(bytesConsumed);
    const { outbound, stream } = this.#host;
    // The newest wins: one that still waits for its bytes is not needed any more.
    this.#pending = { state, input, ended: stream.writableEnded };
    this.#lastInput = input;
    outbound.notifyAt(outbound.completedBytes + stream.writableLength, () => this.#deliver());
    // What has to wait must not change with the application's buffer.
    if (this.#pending !== undefined) this.#pending.state = new Uint8Array(state);
  }

  #inputOf(bytesConsumed: number | undefined): number {
    const { session } = this.#host;
    if (bytesConsumed === undefined) {
      if (this.#unknown === undefined) return this.#host.consumedInput();
      const message = `with ${this.#unknown} only the application knows what it has consumed: say so by { bytesConsumed }`;
      throw new GodwitError('ERR_GODWIT_CONSUMED_UNKNOWN', message);
    }
    if (
      !Number.isSafeInteger(bytesConsumed) ||
      bytesConsumed < this.#lastInput ||
      bytesConsumed > session.received
    ) {
      const range = `>= ${this.#lastInput} && <= ${session.received}`;
      const message = `The value of "bytesConsumed" is out of range. It must be ${range}. Received ${bytesConsumed}`;
      throw argumentError(RangeError, 'ERR_OUT_OF_RANGE', message);
    }
    return bytesConsumed;
  }

  /** Just the bytes before the snapshot are in the session. */
  #deliver(): void {
    const pending = this.#pending;
    if (pending === undefined || this.#stopped) return;
    this.#pending = undefined;
    const { session, outbound } = this.#host;
    if (pending.ended) outbound.forceEnd();
    session.exportState(now(), { state: pending.state, input: pending.input, output: session.produced });
    this.#host.wake();
  }

  /** Brings all that was written into the session, corked or not. */
  #flush(): void {
    const { outbound, stream } = this.#host;
    outbound.force(() => {
      const corks = stream.writableCorked;
      for (let cork = 0; cork < corks; cork += 1) stream.uncork();
      for (let cork = 0; cork < corks; cork += 1) stream.cork();
    });
  }
}

function bytesOf(state: unknown): Uint8Array {
  if (typeof state === 'string') return Buffer.from(state);
  if (state instanceof Uint8Array) return state;
  throw invalid(typeof state);
}

function invalid(what: string): GodwitError {
  return new GodwitError('ERR_GODWIT_EXPORT_INVALID', `a state is a string or bytes, not ${what}`);
}
