/** A client that opens a connection, sends one request, waits for the answer, and closes; again and again. */
import { once } from 'node:events';
import { fail, runProgram } from '../harness/program.ts';
import { dial, type ClientChoices } from './implementation.ts';
import { workAtOnce, type Window } from './rate-meter.ts';

/** Connections at once. */
const WORKERS = 32;

export interface ConnectClientConfig extends ClientChoices {
  readonly requestBytes: number;
}

await runProgram((config: ConnectClientConfig) => {
  const request = Buffer.alloc(config.requestBytes, 'request');

  const connectOnce = async (): Promise<void> => {
    const socket = dial(config);
    let missing = config.requestBytes;
    socket.on('error', (error) => fail(`a connection broke: ${error.message}`));
    socket.on('data', (chunk: Buffer) => {
      missing -= chunk.length;
      if (missing === 0) socket.end();
    });
    // It waits in the socket until there is a connection, at either side.
    socket.write(request);
    await once(socket, 'close');
    if (missing !== 0)
      fail(`a connection was closed before its answer was whole: ${missing} bytes are missing`);
  };

  return { calls: { measure: (window: Window) => workAtOnce(WORKERS, window, connectOnce) } };
});
