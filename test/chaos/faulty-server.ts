/**
 * A server that loses one piece of what it sends, doubles another and damages a third, and that has one request done twice:
 * the run has to notice each.
 */
import { pieceFaults } from '../soak/piece-faults.ts';
import { runServer } from './server.ts';

/** The client's number of the request. */
const DOUBLED_REQUEST = 7;

let doubled = false;

await runServer({
  output: pieceFaults,
  effects: (effect) => {
    if (doubled || effect.request !== DOUBLED_REQUEST) return [effect];
    doubled = true;
    return [{ ...effect, key: `${effect.key}, once more` }, effect];
  },
});
