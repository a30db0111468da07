/** The exhaustive run: every fault at every place of a small exchange, once and twice, on all cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { addTally, allJobs, emptyTally, type Job, type Tally } from './job.ts';
import type { Depth } from './cases.ts';

export interface ExhaustiveOptions {
  readonly depth: Depth;
  /** Only jobs of these scripts. */
  readonly scripts?: readonly string[];
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number, tally: Tally) => void;
}

export async function runExhaustive(options: ExhaustiveOptions): Promise<Tally> {
  const { depth, scripts, onProgress, signal } = options;
  const waiting = allJobs(depth).filter(({ script }) => scripts?.includes(script) ?? true);
  const count = waiting.length;
  const total = emptyTally();
  let done = 0;
  await Promise.all(
    Array.from({ length: Math.min(count, options.threads ?? availableParallelism()) }, async () => {
      const worker = new Worker(new URL('worker.ts', import.meta.url));
      const stop = (): void => void worker.terminate();
      signal?.addEventListener('abort', stop);
      try {
        for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
          addTally(total, await runOn(worker, job));
          done += 1;
          onProgress?.(done, count, total);
        }
      } finally {
        signal?.removeEventListener('abort', stop);
        await worker.terminate();
      }
    }),
  );
  return total;
}

function runOn(worker: Worker, job: Job): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('a thread ended before its cases'));
    worker.once('error', reject);
    worker.once('exit', onExit);
    worker.once('message', (tally: Tally) => {
      worker.off('error', reject);
      worker.off('exit', onExit);
      resolve(tally);
    });
    worker.postMessage(job);
  });
}
