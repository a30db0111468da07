/** A server that loses one piece of what it sends, doubles another and damages a third: the soak has to notice. */
import { runServer } from '../../packages/cli/src/demo/server.ts';
import { pieceFaults } from './piece-faults.ts';

runServer(pieceFaults);
