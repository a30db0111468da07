/** What the demo's two services share: the socket they are given, and the loop that writes. */
import type { Duplex } from 'node:stream';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { once } from 'node:events';
import { TICK_MS } from './pacer.ts';
import type { Pacer } from './pacer.ts';

/** What the services need of a server's socket. */
export interface ServiceSocket extends Duplex {
  importState<T>(decode: (state: Uint8Array) => T): T | undefined;
  exportState(state: Uint8Array, options?: { bytesConsumed?: number }): unknown;
  onExportState(
    answer: () => Uint8Array | { state: Uint8Array; bytesConsumed?: number } | undefined,
  ): unknown;
}

export interface ServiceOptions {
  /** The file that is sent; with records, only its length counts. */
  readonly file: string;
  /** The file that is expected. Default: the one that is sent. With records, what comes says for itself what it is. */
  readonly upload?: string;
  /** Megabytes a second; 0: no limit. */
  readonly rate: number;
  /** For tests of the harness itself: what goes out instead of the bytes at this offset of the output. */
  readonly tamper?: (bytes: Buffer, offset: number) => Buffer;
}

/** Output that a restored service may make again before the pace counts: more than lies between two snapshots as a rule. */
export const FREE_BYTES = 320 * 1024;

/** Output after which other work of the process gets its turn: a socket with room never makes a writer wait. */
const TURN_BYTES = 64 * 1024;

/**
 * Calls `step`, which writes at most `allowance` bytes or so and returns how many, until it returns 0 or the socket is gone.
 * Waits for the pace and for the socket's buffer in between.
 */
export async function writePaced(
  socket: Duplex,
  pacer: Pacer,
  step: (allowance: number) => number,
): Promise<void> {
  const gone = new AbortController();
  let sinceTurn = 0;
  socket.once('close', () => gone.abort());
  try {
    while (!socket.destroyed) {
      const allowance = pacer.allowance;
      if (allowance === 0) {
        await wait(TICK_MS, undefined, { signal: gone.signal });
        continue;
      }
      const written = step(allowance);
      if (written === 0) return;
      pacer.spend(written);
      sinceTurn += written;
      if (sinceTurn >= TURN_BYTES) {
        sinceTurn = 0;
        await turn();
      }
      if (!socket.destroyed && socket.writableNeedDrain) await once(socket, 'drain', { signal: gone.signal });
    }
  } catch (error) {
    // The session went to another server in the middle of a wait, which goes on there.
    if (!socket.destroyed) throw error;
  }
}

export function encodeState(state: object): Uint8Array {
  return Buffer.from(JSON.stringify(state));
}

export function decodeState<State>(bytes: Uint8Array): State {
  return JSON.parse(Buffer.from(bytes).toString()) as State;
}
