/** What work costs the processor, besides time. */
import type { Child } from '../harness/child.ts';

/** Processor time of all these processes since they were ready, in milliseconds. */
export async function cpuMsOf(...children: readonly Child[]): Promise<number> {
  const times = await Promise.all(children.map((child) => child.call<number>('cpuMs')));
  return times.reduce((sum, ms) => sum + ms, 0);
}
