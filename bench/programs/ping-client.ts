/** A client that sends a few bytes, waits for them to come back, and sends again. */
import { fail, runProgram } from '../harness/program.ts';
import { median, percentile } from '../harness/statistics.ts';
import { dialled, type ClientChoices } from './implementation.ts';
import type { Window } from './rate-meter.ts';

export interface PingClientConfig extends ClientChoices {
  readonly bytes: number;
}

export interface Pings {
  /** Round trips, warm-up included. */
  readonly total: number;
  /** Of those that were measured, in microseconds. */
  readonly medianUs: number;
  readonly p99Us: number;
}

await runProgram(async (config: PingClientConfig) => {
  const socket = await dialled(config);
  socket.setNoDelay(true);
  socket.on('error', (error) => fail(`the connection broke: ${error.message}`));
  const ping = Buffer.alloc(config.bytes, 'ping');

  const measure = ({ warmUpMs, measureMs }: Window): Promise<Pings> => {
    const { promise, resolve } = Promise.withResolvers<Pings>();
    const beginMs = performance.now() + warmUpMs;
    const timesUs: number[] = [];
    let sentMs = 0;
    let missing = 0;
    let total = 0;
    const send = (): void => {
      missing = config.bytes;
      sentMs = performance.now();
      socket.write(ping);
    };
    const onData = (chunk: Buffer): void => {
      missing -= chunk.length;
      if (missing > 0) return;
      const ms = performance.now();
      total += 1;
      if (sentMs >= beginMs) timesUs.push((ms - sentMs) * 1000);
      if (ms < beginMs + measureMs) {
        send();
        return;
      }
      socket.off('data', onData);
      resolve({ total, medianUs: median(timesUs), p99Us: percentile(timesUs, 99) });
    };
    socket.on('data', onData);
    send();
    return promise;
  };
  return { calls: { measure } };
});
