/** Round trips, one after another. */
import { median, percentile } from '../harness/statistics.ts';
import type { Window } from './rate-meter.ts';

export interface Pings {
  /** Round trips, warm-up included. */
  readonly total: number;
  /** Of those that were measured, in microseconds. */
  readonly medianUs: number;
  readonly p99Us: number;
}

/** Sends bytes by `ask`, waits until it says that they came back, and sends again, until the time is over. */
export function measurePings(
  { warmUpMs, measureMs, warmUpAmount = 0 }: Window,
  bytes: Buffer,
  ask: (bytes: Buffer, answered: () => void) => void,
): Promise<Pings> {
  const { promise, resolve } = Promise.withResolvers<Pings>();
  const warmUntilMs = performance.now() + warmUpMs;
  let endMs = Infinity;
  const timesUs: number[] = [];
  let sentMs = 0;
  let total = 0;
  const send = (): void => {
    sentMs = performance.now();
    ask(bytes, onAnswer);
  };
  const onAnswer = (): void => {
    const ms = performance.now();
    total += 1;
    if (endMs < Infinity) timesUs.push((ms - sentMs) * 1000);
    else if (ms >= warmUntilMs && total >= warmUpAmount) endMs = ms + measureMs;
    if (ms < endMs) send();
    else resolve({ total, medianUs: median(timesUs), p99Us: percentile(timesUs, 99) });
  };
  send();
  return promise;
}
