/** Applications of the virtual world: what a server program does with its socket, on the bare core. */
import { createHash } from 'node:crypto';
import type { RestartPoint, ServerEvent, ServerSession } from '../../packages/godwit/src/session/index.ts';

export interface ServerAppContext {
  now(): number;
  readonly server: string;
  /** Runs something later in the server's process, unless that is gone by then. */
  after(delayMs: number, run: () => void): void;
}

export interface ServerApp {
  handle(event: ServerEvent): void;
}

export type ServerAppFactory = (
  session: ServerSession,
  restart: RestartPoint | undefined,
  context: ServerAppContext,
) => ServerApp;

/** Byte `offset` of the output that answers input byte `offset`: depends on the position, so that no shift goes unseen. */
export function transformed(input: Uint8Array, offset: number): Uint8Array {
  const output = new Uint8Array(input.byteLength);
  for (let i = 0; i < input.byteLength; i += 1)
    output[i] = ((input[i] as number) + (offset + i) * 7 + ((offset + i) >>> 8)) & 0xff;
  return output;
}

/** Input that depends on its position and a seed. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = seed >>> 0 || 1;
  for (let i = 0; i < length; i += 1) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

export interface TransformOptions {
  /** How the application gives snapshots: when asked, by itself every so many input bytes, or never. */
  readonly exports: 'pulled' | 'never' | number;
  /** Ends its output when the input ends. Default true. */
  readonly endsWithInput?: boolean;
  /** Answers the first so many requests for a snapshot with "not now". */
  readonly notNow?: number;
  /** Padding of the state, in bytes. */
  readonly stateBytes?: number;
  /** Changes what it re-creates after a restart: a non-deterministic application. */
  readonly divergent?: boolean;
}

/** Most bytes the transform application answers at once. */
const RECORD_BYTES = 16 * 1024;

/** Answers each input byte with one output byte; its state is the offset, with a hash of all input for good measure. */
export function transformApp(options: TransformOptions): ServerAppFactory {
  return (session, restart, context) => {
    let offset = 0;
    let sum = 0;
    let refusals = options.notNow ?? 0;
    let sinceExport = 0;
    let ended = session.outputFinished;
    const pending: Uint8Array[] = [];
    let rest: Uint8Array | undefined;
    if (restart && restart.state.byteLength > 0) {
      const state = JSON.parse(new TextDecoder().decode(restart.state)) as { offset: number; sum: number };
      offset = state.offset;
      sum = state.sum;
    }
    const encode = (): Uint8Array => {
      const state = { offset, sum, padding: 'x'.repeat(options.stateBytes ?? 0) };
      return new TextEncoder().encode(JSON.stringify(state));
    };
    const exportNow = (): void => {
      session.exportState(context.now(), { state: encode(), input: offset, output: session.produced });
      sinceExport = 0;
    };
    const flush = (): void => {
      if (session.outputFinished) pending.length = 0; // somebody else ended it: there is nobody to answer any more
      while (pending.length > 0 && session.wantsWrite)
        session.write(context.now(), pending.shift() as Uint8Array);
    };
    const feed = (): void => {
      while (pending.length === 0 && session.wantsWrite) {
        const taken = rest ?? session.read();
        if (taken === undefined) return;
        if (taken === 'end') {
          session.finConsumed(context.now());
          if (options.endsWithInput !== false && !ended) {
            ended = true;
            session.end(context.now());
          }
          return;
        }
        // A record of its own size, however the bytes came: what is answered at once must fit into the client's stage.
        const chunk = taken.subarray(0, RECORD_BYTES);
        rest = chunk.byteLength < taken.byteLength ? taken.subarray(RECORD_BYTES) : undefined;
        session.consumed(context.now(), chunk.byteLength);
        let out = transformed(chunk, offset);
        if (options.divergent && restart) out = out.map((byte) => byte ^ 1);
        for (const byte of chunk) sum = (sum + byte) % 0xffffffff;
        offset += chunk.byteLength;
        sinceExport += chunk.byteLength;
        pending.push(out);
        flush();
        if (typeof options.exports === 'number' && sinceExport >= options.exports && pending.length === 0)
          exportNow();
      }
    };
    return {
      handle: (event) => {
        if (event.type === 'readable' || event.type === 'thawed' || event.type === 'drain') {
          flush();
          feed();
        } else if (event.type === 'exportDue') {
          const able = options.exports !== 'never' && pending.length === 0;
          if (able && refusals > 0) refusals -= 1;
          else if (able) {
            exportNow();
            if (event.reason === 'freeze') session.freezeReady(context.now());
            return;
          }
          if (event.reason === 'freeze') session.freezeReady(context.now());
          else session.exportDeclined(context.now(), { hasExporter: options.exports !== 'never' });
        }
      },
    };
  };
}

/** Serves a file of `length` pattern bytes, as fast as it may; its state is the offset it has reached. */
export function fileApp(options: {
  length: number;
  seed: number;
  exports: 'pulled' | 'never';
  commitEvery?: number;
}): ServerAppFactory {
  const file = pattern(options.length, options.seed);
  return (session, restart, context) => {
    let offset = 0;
    if (restart && restart.state.byteLength > 0)
      offset = (JSON.parse(new TextDecoder().decode(restart.state)) as { offset: number }).offset;
    const encode = (): Uint8Array => new TextEncoder().encode(JSON.stringify({ offset }));
    const exportNow = (): void => {
      session.exportState(context.now(), {
        state: encode(),
        input: session.received,
        output: session.produced,
      });
    };
    const pump = (): void => {
      while (offset < file.byteLength && session.wantsWrite) {
        const piece = file.subarray(offset, offset + 16 * 1024);
        offset += piece.byteLength;
        session.write(context.now(), piece);
        if (options.commitEvery !== undefined && offset % options.commitEvery === 0) exportNow();
      }
      if (offset >= file.byteLength && !session.outputFinished) session.end(context.now());
    };
    pump();
    return {
      handle: (event) => {
        if (event.type === 'drain' || event.type === 'thawed') pump();
        else if (event.type === 'readable') {
          for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
            if (chunk === 'end') session.finConsumed(context.now());
            else session.consumed(context.now(), chunk.byteLength);
          }
        } else if (event.type === 'exportDue') {
          if (options.exports === 'pulled') exportNow();
          if (event.reason === 'freeze') session.freezeReady(context.now());
          else if (options.exports === 'never') session.exportDeclined(context.now(), { hasExporter: false });
        }
      },
    };
  };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
