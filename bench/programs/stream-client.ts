/** The client of the stream benchmarks. */
import { runProgram } from '../harness/program.ts';
import { dialled, type ClientChoices } from './implementation.ts';
import type { Window } from './rate-meter.ts';
import { Receiver, sendForever, type StreamChoices } from './stream.ts';

export interface StreamClientConfig extends ClientChoices, StreamChoices {
  readonly direction: 'down' | 'up';
}

await runProgram(async (config: StreamClientConfig) => {
  const socket = await dialled(config);
  if (config.direction === 'up') {
    sendForever(socket, config);
    return { calls: {} };
  }
  const receiver = new Receiver(socket);
  return { calls: { measure: (window: Window) => receiver.measure(window) } };
});
