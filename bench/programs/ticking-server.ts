/** A server that writes a record in every turn of its event loop: any interruption shows as a gap. */
import { runProgram } from '../harness/program.ts';
import { listen, protect, type GodwitServer, type ServerChoices } from './implementation.ts';
import { stampedRecord } from './stamps.ts';

await runProgram(async (config: ServerChoices) => {
  const { server, port } = await listen(config, (socket) => {
    let next = 0;
    next = Number(protect(socket, () => String(next)) ?? 0);
    const tick = (): void => {
      if (socket.destroyed) return;
      if (socket.write(stampedRecord(next++))) setImmediate(tick);
      else socket.once('drain', tick);
    };
    socket.on('error', () => undefined);
    socket.resume();
    tick();
  });
  return {
    ready: port,
    calls: {
      /** Carriers that have proved who they are: of sessions, and standbys. */
      carriers: () => (server as unknown as GodwitServer).stats.carriers,
    },
  };
});
