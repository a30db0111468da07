/** One connection full of data in one direction: what sends and what receives, at either end. */
import type { Socket } from 'node:net';
import { fail } from '../harness/program.ts';

export interface StreamChoices {
  readonly writeBytes: number;
  /** Writes in one turn of the event loop, at the most. */
  readonly writesPerTurn: number;
}

export interface Window {
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Received {
  readonly bytes: number;
  readonly seconds: number;
  /** Since the connection began, warm-up included. */
  readonly totalBytes: number;
}

/** Writes for as long as anybody reads. Answers how many bytes were written so far. */
export function sendForever(
  socket: Socket,
  { writeBytes, writesPerTurn, from = 0 }: StreamChoices & { readonly from?: number },
): () => number {
  const piece = Buffer.alloc(writeBytes, 'godwit');
  let sent = from;
  const pump = (): void => {
    for (let write = 0; write < writesPerTurn; write += 1) {
      if (socket.destroyed) return;
      sent += writeBytes;
      if (!socket.write(piece)) {
        socket.once('drain', pump);
        return;
      }
    }
    setImmediate(pump);
  };
  // The receiver ends the connection when it has seen enough.
  socket.on('error', () => undefined);
  pump();
  return () => sent;
}

/** Counts what arrives. */
export class Receiver {
  readonly #socket: Socket;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', (error) => fail(`the stream broke: ${error.message}`));
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
    });
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What arrived in a stretch of time that begins and ends with a chunk. */
  measure({ warmUpMs, measureMs }: Window): Promise<Received> {
    const { promise, resolve } = Promise.withResolvers<Received>();
    const beginMs = performance.now() + warmUpMs;
    let first: { readonly ms: number; readonly bytes: number } | undefined;
    const onData = (): void => {
      const ms = performance.now();
      if (first === undefined) {
        if (ms >= beginMs) first = { ms, bytes: this.#bytes };
      } else if (ms >= first.ms + measureMs) {
        this.#socket.off('data', onData);
        resolve({
          bytes: this.#bytes - first.bytes,
          seconds: (ms - first.ms) / 1000,
          totalBytes: this.#bytes,
        });
      }
    };
    this.#socket.on('data', onData);
    return promise;
  }
}
