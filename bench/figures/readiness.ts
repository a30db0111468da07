/** Waiting until all is there for a move. There is no event for that: servers only count their carriers, and their processor time. */
import { setTimeout } from 'node:timers/promises';
import type { Child } from '../harness/child.ts';
import { cpuMsOf } from './cpu.ts';

const POLL_MS = 5;

/** Longer than a client takes to set one up, its pauses included. */
const TIMEOUT_MS = 20_000;

/** Who uses less of a processor than this in a while is done with starting. */
const REST_MS = 40;
const REST_CPU_MS = 4;
/** Longer than a server rehearses. Some are never done: those of Socket.IO read what all the others sent. */
const LONGEST_START_MS = 1_000;

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

/** Comes when these servers, which serve nobody, have done what they do as they start: it would take time from the others. */
export async function awaitRest(servers: readonly Child[]): Promise<void> {
  const lateMs = performance.now() + LONGEST_START_MS;
  let cpuMs = await cpuMsOf(...servers);
  for (let usedMs = Infinity; usedMs >= REST_CPU_MS && performance.now() < lateMs;) {
    await setTimeout(REST_MS);
    const before = cpuMs;
    cpuMs = await cpuMsOf(...servers);
    usedMs = cpuMs - before;
  }
}
