/** A server that sends back what it gets. */
import { runProgram } from '../harness/program.ts';
import { listen, protect, type ServerChoices } from './implementation.ts';

await runProgram(async (config: ServerChoices) => {
  const { port } = await listen(config, (socket) => {
    socket.setNoDelay(true);
    protect(socket, () => '');
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => socket.write(chunk));
  });
  return { ready: port, calls: {} };
});
