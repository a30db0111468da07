/** Entry of a client process. */
import { ChaosClient } from './client.ts';
import type { ClientCommand, ClientConfig, ClientMessage } from './messages.ts';
import { watchForSpinning } from './spin-watch.ts';

const config = JSON.parse(process.argv[2] ?? '') as ClientConfig;
const tell = (message: ClientMessage): void => {
  if (process.connected) process.send?.(message);
};
watchForSpinning();
const client = new ChaosClient(config, tell);
process.on('message', (command: ClientCommand) => client.handle(command));
// Without its parent, a client of the run has no reason to be.
process.on('disconnect', () => process.exit());
await client.run();
