/** Nothing that tests wait for takes so long, on a busy machine either, in milliseconds. */
const LIMIT_MS = 60_000;

/** Waits for something that no event tells of. Rejects after a minute, and says for what it waited. */
export async function until(condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error(`waited ${LIMIT_MS} ms in vain for ${String(condition)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
