/** A server that answers requests of a fixed size with responses of a fixed size. */
import { runProgram } from '../harness/program.ts';
import { asServerSocket, listen, protect, type GodwitServer, type ServerChoices } from './implementation.ts';

export interface RequestServerConfig extends ServerChoices {
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Every response leaves together with a state that covers it, as `commit` delivery wants it. */
  readonly exportEach?: boolean;
}

export interface Drained {
  readonly moved: number;
  readonly seconds: number;
}

await runProgram(async (config: RequestServerConfig) => {
  const response = Buffer.alloc(config.responseBytes, 'response');
  const { server, port } = await listen(config, (socket) => {
    // Bytes of the request that is not whole yet.
    let begun = 0;
    const state = (): string => String(begun);
    begun = Number(protect(socket, state) ?? 0);
    const session = config.exportEach ? asServerSocket(socket) : undefined;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      begun += chunk.length;
      if (begun < config.requestBytes) return;
      while (begun >= config.requestBytes) {
        begun -= config.requestBytes;
        socket.write(response);
      }
      session?.exportState(state());
    });
  });
  return {
    ready: port,
    calls: {
      /** Moves every session away. */
      drain: async (): Promise<Drained> => {
        const startedMs = performance.now();
        const moved = await (server as unknown as GodwitServer).drain();
        return { moved, seconds: (performance.now() - startedMs) / 1000 };
      },
      /** Carriers that have proved who they are: of sessions, and standbys. */
      carriers: () => (server as unknown as GodwitServer).stats.carriers,
    },
  };
});
