/** A client that sends a few bytes, waits for them to come back, and sends again. */
import { fail, runProgram } from '../harness/program.ts';
import { dialled, type ClientChoices } from './implementation.ts';
import { measurePings } from './pings.ts';
import type { Window } from './rate-meter.ts';

export interface PingClientConfig extends ClientChoices {
  readonly bytes: number;
}

await runProgram(async (config: PingClientConfig) => {
  const socket = await dialled(config);
  let missing = 0;
  let answered: () => void = () => undefined;
  socket.setNoDelay(true);
  socket.on('error', (error) => fail(`the connection broke: ${error.message}`));
  socket.on('data', (chunk: Buffer) => {
    missing -= chunk.length;
    if (missing === 0) answered();
  });
  const ask = (bytes: Buffer, onAnswer: () => void): void => {
    [missing, answered] = [bytes.length, onAnswer];
    socket.write(bytes);
  };
  return {
    calls: { measure: (window: Window) => measurePings(window, Buffer.alloc(config.bytes, 'ping'), ask) },
  };
});
