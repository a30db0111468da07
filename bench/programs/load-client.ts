/** A client with many connections, some of which have a request under way at any time. */
import type { Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fail, runProgram } from '../harness/program.ts';
import { dialled, type ClientChoices } from './implementation.ts';
import { RateMeter, type Rate, type Window } from './rate-meter.ts';

/** Connections that are being set up at once. More would wait longer on a busy machine than a client waits for its server. */
const OPENING_AT_ONCE = 16;

export interface LoadClientConfig extends ClientChoices {
  readonly requestBytes: number;
  /** The server answers a request with so many. */
  readonly responseBytes: number;
}

export interface Load extends Window {
  /** Requests under way; their connections take turns. */
  readonly inFlight: number;
}

await runProgram((config: LoadClientConfig) => {
  const connections: Connection[] = [];

  const connectOne = async (): Promise<void> => {
    connections.push(new Connection(await dialled(config), config));
  };
  const openOne = async (): Promise<void> => {
    const connection = new Connection(await dialled(config), config);
    connections.push(connection);
    await connection.request();
  };

  return {
    calls: {
      /** Opens so many more, each with one request answered. */
      open: (count: number) => atOnce(OPENING_AT_ONCE, count, openOne),
      /** Opens so many more, and nothing else. Answers the seconds it took. */
      connect: async (count: number): Promise<number> => {
        const startedMs = performance.now();
        await atOnce(OPENING_AT_ONCE, count, connectOne);
        return (performance.now() - startedMs) / 1000;
      },
      wait: (ms: number) => setTimeout(ms),
      /** One request on every connection. */
      ask: () => atOnce(OPENING_AT_ONCE, connections.length, (index) => connections[index]?.request()),
      /** Ends every connection, and waits until they are closed. */
      close: async (): Promise<void> => {
        await Promise.all(connections.splice(0).map((connection) => connection.close()));
      },
      load: (load: Load) => serve(connections, load),
    },
  };
});

/** Does something `count` times, so many at once. */
async function atOnce(
  limit: number,
  count: number,
  work: (index: number) => Promise<unknown> | undefined,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, worker));
}

/** A connection on which requests are answered one after another. */
class Connection {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #responseBytes: number;
  #missing = 0;
  #answered: (() => void) | undefined;
  #closing = false;

  constructor(socket: Socket, { requestBytes, responseBytes }: LoadClientConfig) {
    this.#socket = socket;
    this.#request = Buffer.alloc(requestBytes, 'request');
    this.#responseBytes = responseBytes;
    socket.setNoDelay(true);
    socket.on('error', (error) => fail(`a connection broke: ${error.message}`));
    socket.on('close', () => {
      if (!this.#closing) fail('a connection was closed by its server');
    });
    socket.on('data', (chunk: Buffer) => {
      this.#missing -= chunk.length;
      if (this.#missing <= 0) this.#answered?.();
    });
  }

  send(answered: () => void): void {
    this.#missing = this.#responseBytes;
    this.#answered = answered;
    this.#socket.write(this.#request);
  }

  request(): Promise<void> {
    return new Promise((resolve) => this.send(resolve));
  }

  close(): Promise<void> {
    this.#closing = true;
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end();
    });
  }
}

/** Keeps `inFlight` requests under way, each on the connection whose turn it is. */
function serve(connections: readonly Connection[], { inFlight, ...window }: Load): Promise<Rate> {
  const meter = new RateMeter(window);
  let next = 0;
  const sendNext = (): void => {
    connections[next]?.send(onAnswer);
    next = (next + 1) % connections.length;
  };
  const onAnswer = (): void => {
    meter.add(1);
    if (!meter.over) sendNext();
  };
  for (let request = 0; request < Math.min(inFlight, connections.length); request += 1) sendNext();
  return meter.rate;
}
