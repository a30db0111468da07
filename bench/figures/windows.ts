/** When what is measured is warm, and how long it is looked at. V8 compiles by what was done, whoever is slower. */
import type { Scale } from '../harness/bench.ts';
import type { Window } from '../programs/rate-meter.ts';

/** Of a stream. */
export function streamWindow({ warmUpMs, measureMs, warmUpBytes }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: warmUpBytes };
}

/** Of connections. */
export function connectionWindow({ warmUpMs, measureMs, warmUpConnections }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: warmUpConnections };
}

/** Of requests. */
export function requestWindow({ warmUpMs, measureMs, warmUpRequests }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: warmUpRequests };
}

/** So many round trips: as many as a server needs that rehearses while its first clients are there. */
const WARM_UP_PINGS = 10_000;

/** Of round trips. */
export function pingWindow({ warmUpMs, measureMs }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: WARM_UP_PINGS };
}
