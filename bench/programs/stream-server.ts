/** The server of the stream benchmarks. */
import type { Socket } from 'node:net';
import { runProgram } from '../harness/program.ts';
import { listen, protect, type ServerChoices } from './implementation.ts';
import { Receiver, sendForever, type StreamChoices, type Window } from './stream.ts';

export interface StreamServerConfig extends ServerChoices, StreamChoices {
  readonly direction: 'down' | 'up';
}

await runProgram(async (config: StreamServerConfig) => {
  const connected = Promise.withResolvers<Receiver>();
  const serve = (socket: Socket): void => {
    if (config.direction === 'down') {
      const sent = sendForever(socket, config);
      protect(socket, () => String(sent()));
    } else {
      const receiver = new Receiver(socket);
      protect(socket, () => String(receiver.bytes));
      connected.resolve(receiver);
    }
  };
  const { port } = await listen(config, serve);
  return {
    ready: port,
    calls: { measure: async (window: Window) => (await connected.promise).measure(window) },
  };
});
