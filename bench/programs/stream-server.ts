/** The server of the stream benchmarks. */
import type { Socket } from 'node:net';
import { runProgram } from '../harness/program.ts';
import { asServerSocket, listen, protect, type ServerChoices } from './implementation.ts';
import type { Window } from './rate-meter.ts';
import { Receiver, sendForever, type Sending, type StreamChoices } from './stream.ts';

export interface StreamServerConfig extends ServerChoices, StreamChoices {
  readonly direction: 'down' | 'up';
  /** The application exports a state of this size behind every write, besides being asked for one. */
  readonly snapshotBytes?: number;
}

await runProgram(async (config: StreamServerConfig) => {
  const connected = Promise.withResolvers<Receiver>();
  const serve = (socket: Socket): void => {
    if (config.direction === 'down') {
      const sent = sendForever(socket, { ...config, ...exportingEach(socket, config.snapshotBytes) });
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

function exportingEach(socket: Socket, bytes: number | undefined): Pick<Sending, 'afterWrite'> {
  const session = asServerSocket(socket);
  if (bytes === undefined || session === undefined) return {};
  const state = Buffer.alloc(bytes);
  return {
    afterWrite: (sent) => {
      state.writeDoubleBE(sent);
      session.exportState(state);
    },
  };
}
