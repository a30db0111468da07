/** When what is measured is warm, and how long it is looked at. V8 compiles by what was done, whoever is slower. */
import type { Scale } from '../harness/bench.ts';
import type { Window } from '../programs/rate-meter.ts';

/** Smaller writes are as warm after a quarter of the bytes: that are sixteen times as many writes, where they are of 1 KiB. */
const BULK_WRITE_BYTES = 16 * 1024;
const SMALL_SHARE = 4;

/** Of a stream. */
export function streamWindow({ warmUpMs, measureMs, warmUpBytes }: Scale, writeBytes: number): Window {
  const warmUpAmount = writeBytes < BULK_WRITE_BYTES ? warmUpBytes / SMALL_SHARE : warmUpBytes;
  return { warmUpMs, measureMs, warmUpAmount };
}

/** Of connections. */
export function connectionWindow({ warmUpMs, measureMs, warmUpConnections }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: warmUpConnections };
}

/** Of requests. */
export function requestWindow({ warmUpMs, measureMs, warmUpRequests }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: warmUpRequests };
}

/** So many round trips: until V8 compiles nothing more of Godwit, whose server rehearses meanwhile. */
const WARM_UP_PINGS = 15_000;

/** Of round trips. */
export function pingWindow({ warmUpMs, measureMs }: Scale): Window {
  return { warmUpMs, measureMs, warmUpAmount: WARM_UP_PINGS };
}
