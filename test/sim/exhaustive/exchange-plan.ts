/** A small exchange as a plan of the simulator: nothing is left to chance but what answers say in commit mode. */
import { Delivery } from '../../../packages/godwit/src/wire/index.ts';
import type { Plan } from '../plan.ts';
import { ANSWER_BYTES, PACE_MS, REQUESTS, REQUEST_BYTES, type ExhaustiveScript } from './script.ts';

const CLOCK = { offsetMs: 0, rate: 1, wallSkewMs: 0 };
/** One way to the fence, in ms. */
const FENCE_LATENCY_MS = 0.5;
const SERVERS = ['a', 'b', 'c'];
/** When a client that ends the session by itself does so, in ms: behind the first answer. */
const CLIENT_ENDS_AT_MS = 12;

/** `isUndisturbed`: no fault strikes, and the script disturbs nothing. */
export function exchangePlan(script: ExhaustiveScript, delivery: Delivery, isUndisturbed: boolean): Plan {
  const gates = Array.from({ length: REQUESTS }, (_, i) => ({
    input: (i + 1) * REQUEST_BYTES,
    output: (i + 1) * ANSWER_BYTES,
  }));
  return {
    seed: 7,
    delivery,
    hasRealCrypto: false,
    network: { latencyMs: 1, jitter: 0, bytesPerMs: undefined, bufferBytes: undefined, splits: 0 },
    servers: SERVERS.map((name) => ({
      name,
      clock: CLOCK,
      // Every answer is followed by a ticket.
      limits: { snapshotIntervalBytes: 1, snapshotShare: 0 },
      timers: script.timers ?? {},
      cryptoMs: 0,
    })),
    clients: [
      {
        name: 'client',
        startsAtMs: 0,
        servers: SERVERS,
        clock: CLOCK,
        limits: script.retainLimitBytes === undefined ? {} : { retainLimitBytes: script.retainLimitBytes },
        timers: {},
        cryptoMs: 0,
        script: {
          kind: 'requests',
          inputBytes: REQUESTS * REQUEST_BYTES,
          outputBytes: REQUESTS * ANSWER_BYTES,
          gates,
          inputEnds: script.serverEndsFirst ? 'after output' : 'at once',
          outputEnds: script.serverEndsFirst ? 'at once' : 'after input',
        },
        application: {
          exports: script.exports ?? 'often',
          exportEveryBytes: 1,
          lateMs: 0,
          refusals: 0,
          stateBytes: script.stateBytes ?? 20,
          writeBytes: ANSWER_BYTES,
          writePauseMs: 0,
          readPauseMs: 0,
          leavesToChance: delivery === Delivery.Commit,
          earlyEnd: script.serverEnds && { how: script.serverEnds, atOutput: ANSWER_BYTES },
        },
        writeBytes: REQUEST_BYTES,
        writePauseMs: script.paceMs ?? PACE_MS,
        readPieces: 1,
        readPauseMs: 0,
        standbys: 0,
        earlyEnd: script.clientEnds && { how: script.clientEnds, atMs: CLIENT_ENDS_AT_MS },
        // Output that waits for its ticket for ever is not made up for by the next.
        waitsForAnswers: delivery === Delivery.Commit,
      },
    ],
    faults: [],
    fence: script.isFenced && {
      config: { mode: 'strict', floor: 'acknowledged' },
      latencyMs: FENCE_LATENCY_MS,
      faults: [],
    },
    healsAtMs: 0,
    // No timer runs out in so short a time: no session may end in an error.
    isPatient: true,
    isUndisturbed,
  };
}
