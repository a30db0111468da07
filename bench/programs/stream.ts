/** One connection full of data in one direction: what sends and what receives, at either end. */
import type { Socket } from 'node:net';
import { fail } from '../harness/program.ts';
import { RateMeter, type Rate, type Window } from './rate-meter.ts';

export interface StreamChoices {
  readonly writeBytes: number;
  /** Writes in one turn of the event loop, at the most. */
  readonly writesPerTurn: number;
}

export interface Sending extends StreamChoices {
  /** Called behind each write, with the bytes written so far. */
  readonly afterWrite?: (sent: number) => void;
}

/** Writes for as long as anybody reads. Answers how many bytes were written so far. */
export function sendForever(
  socket: Socket,
  { writeBytes, writesPerTurn, afterWrite }: Sending,
): () => number {
  const piece = Buffer.alloc(writeBytes, 'godwit');
  let sent = 0;
  const pump = (): void => {
    for (let write = 0; write < writesPerTurn; write += 1) {
      if (socket.destroyed) return;
      sent += writeBytes;
      const goOn = socket.write(piece);
      afterWrite?.(sent);
      if (!goOn) {
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

  /** Bytes that arrive in a while. */
  async measure(window: Window): Promise<Rate> {
    const meter = new RateMeter(window);
    const onData = (chunk: Buffer): void => meter.add(chunk.length);
    this.#socket.on('data', onData);
    const rate = await meter.rate;
    this.#socket.off('data', onData);
    return rate;
  }
}
