/** Waits for what no event tells of, in turns of the event loop. */
import { setImmediate } from 'node:timers/promises';

/** Nothing here takes as long. */
export const PATIENCE_MS = 4000;

export async function waitUntil(
  isThere: () => boolean,
  what: string,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!isThere()) {
    if (performance.now() > deadline) throw new Error(`no ${what} within ${patienceMs} ms`);
    await setImmediate();
  }
}

/** Whether it comes true within that time. */
export async function comesTrue(isThere: () => boolean, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!isThere() && performance.now() < deadline) await setImmediate();
  return isThere();
}
