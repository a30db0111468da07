/** One execution of the handler: from the start of a session, or a restart point, to its end or the death of its server. */
import type { ServerSocket } from '../server/server-socket.ts';
import { ByteLog } from './byte-log.ts';
import type { Fault } from './run-plan.ts';

/** From where a session was restored. */
export interface Restart {
  /** Number of the snapshot; 0 is the session's beginning. */
  readonly k: number;
  /** Input consumed, and output produced, up to the snapshot. */
  readonly input: number;
  readonly output: number;
  /** What the handler's `importState` answers. */
  readonly state: Buffer | undefined;
}

const BEGINNING: Restart = { k: 0, input: 0, output: 0, state: undefined };

/** Ends of a session at one server that are no failure of the handler: it lives at another one. */
const LEFT_CODES: ReadonlySet<string> = new Set(['ERR_GODWIT_MOVED', 'ERR_GODWIT_ABANDONED']);

export interface ExecutionOptions {
  /** Counts from 0 in the run. */
  readonly number: number;
  /** What made the session come here; undefined for the first. */
  readonly cause: Fault | undefined;
  /** The handler wrote. */
  readonly onProgress: () => void;
  /** The client destroyed its socket before it had all of the output. */
  readonly hasClientLeft: () => boolean;
}

/** What went wrong on the handler's side of the session. */
export interface HandlerFailure {
  readonly how:
    /** It threw as it was called, or a listener of its did. */
    | 'threw'
    /** The promise that it answered was rejected. */
    | 'rejected'
    /** Its socket failed. */
    | 'socket';
  readonly error: unknown;
}

export class Execution {
  readonly socket: ServerSocket;
  readonly number: number;
  readonly cause: Fault | undefined;
  /** Where it began, once the client was told; undefined before. */
  restart: Restart | undefined;
  /** Output as the handler wrote it, from the restart point on. */
  readonly written = new ByteLog();
  /** Its server was killed: nothing that it does counts any more. */
  isDead = false;
  /** Its client never took it. */
  isAbandoned = false;
  hasExporter = false;
  hasImported = false;
  hasEnded = false;
  failure: HandlerFailure | undefined;
  unprotectedBecause: string | undefined;
  readonly #input: number;
  readonly #state: Buffer | undefined;

  constructor(socket: ServerSocket, { number, cause, onProgress, hasClientLeft }: ExecutionOptions) {
    this.socket = socket;
    this.number = number;
    this.cause = cause;
    this.#input = socket.bytesConsumed;
    this.#state = socket.importState();
    if (!socket.restored) this.restart = BEGINNING;
    // Before the handler's own listeners; and so that an error never goes unheard.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (LEFT_CODES.has(String(error.code))) this.isAbandoned = error.code === 'ERR_GODWIT_ABANDONED';
      // Whoever leaves in the middle may leave an error behind.
      else if (!hasClientLeft()) this.fail({ how: 'socket', error });
    });
    socket.on('unprotected', (reason: string) => {
      this.unprotectedBecause ??= reason;
    });
    this.#tapOutput(onProgress);
    this.#tapState();
  }

  fail(failure: HandlerFailure): void {
    if (!this.isDead) this.failure ??= failure;
  }

  /** ACCEPT said where it begins. */
  begin(point: { readonly k: number; readonly output: number }): void {
    this.restart = { ...point, input: this.#input, state: this.#state };
  }

  /** What the stream passes on to the session: that is all it was given, in order, unless it is corked. */
  #tapOutput(onProgress: () => void): void {
    const { socket } = this;
    const write = socket._write.bind(socket);
    const writev = socket._writev.bind(socket);
    const final = socket._final.bind(socket);
    const record = (chunk: Uint8Array): void => {
      if (!this.isDead) this.written.append(chunk);
    };
    socket._write = (chunk, encoding, callback) => {
      record(chunk);
      onProgress();
      write(chunk, encoding, callback);
    };
    socket._writev = (chunks, callback) => {
      for (const { chunk } of chunks) record(chunk);
      onProgress();
      writev(chunks, callback);
    };
    socket._final = (callback) => {
      if (!this.isDead) this.hasEnded = true;
      final(callback);
    };
  }

  #tapState(): void {
    const { socket } = this;
    const onExportState = socket.onExportState.bind(socket);
    const importState = socket.importState.bind(socket) as (decode?: unknown) => never;
    socket.onExportState = (exporter) => {
      this.hasExporter = true;
      return onExportState(exporter);
    };
    socket.importState = (decode?: unknown): never => {
      this.hasImported = true;
      return importState(decode);
    };
  }
}
