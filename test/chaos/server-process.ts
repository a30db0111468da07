/** Entry of a server process. */
import { runServer } from './server.ts';

await runServer();
