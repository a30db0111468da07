/** Waiting for standbys. There is no event for them: servers only count their carriers. */
import { setTimeout } from 'node:timers/promises';
import type { Child } from '../harness/child.ts';

const POLL_MS = 5;

/** Longer than a client takes to set one up, its pauses included. */
const TIMEOUT_MS = 20_000;

/** Comes when one of these servers, which serve nobody, has a carrier: a client's standby. */
export async function awaitStandby(servers: readonly Child[]): Promise<void> {
  const lateMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    const carriers = await Promise.all(servers.map((server) => server.call<number>('carriers')));
    if (carriers.some((count) => count > 0)) return;
    if (performance.now() > lateMs) throw new Error(`no standby after ${TIMEOUT_MS / 1000} s`);
    await setTimeout(POLL_MS);
  }
}
