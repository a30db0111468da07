/** A server that takes an upload and exports nothing: its session cannot stay protected. */
import { listen } from '../../../bench/programs/implementation.ts';
import { runProgram } from '../../../bench/harness/program.ts';

await runProgram(async () => {
  const { port } = await listen({ implementation: 'godwit' }, (socket) => {
    socket.on('error', () => undefined).resume();
  });
  return { ready: port, calls: { never: () => new Promise(() => undefined) } };
});
