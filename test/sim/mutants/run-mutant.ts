/** Runs a core with a fault in it in a thread, and says which checker noticed it. */
import { Worker } from 'node:worker_threads';
import type { SubjectReport, SubjectStep } from './subject.ts';

export interface Catch {
  /** That of the simulator which objected; or `hang`, or `crash`. */
  readonly checker: string;
  readonly message: string;
  /** The seed or case that showed it, and how many runs it took. */
  readonly by: string;
  readonly runs: number;
}

/** One run takes milliseconds: one that takes so long does not end. */
const HANG_MS = 10_000;
/** A mutant that fills the memory is caught by that. */
const MEMORY_MB = 1024;

/** `code` is a bundle of subject.ts. Resolves to undefined when nothing was noticed, or `signal` came first. */
export function runSubject(
  code: string,
  steps: readonly SubjectStep[],
  signal: AbortSignal,
): Promise<Catch | undefined> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(code, {
      eval: true,
      workerData: steps,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    });
    let running: string | undefined;
    let runs = 0;
    let timer: NodeJS.Timeout | undefined;
    const settle = (caught: Catch | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      worker.removeAllListeners();
      worker.on('error', () => undefined);
      void worker.terminate().then(() => resolve(caught));
    };
    const abort = (): void => settle(undefined);
    signal.addEventListener('abort', abort);
    const caughtBy = (checker: string, message: string): void =>
      settle({ checker, message, by: running ?? '', runs });
    worker.on('message', (report: SubjectReport) => {
      if (report.type === 'survived') settle(undefined);
      else if (report.type === 'caught') caughtBy(report.checker, report.message);
      else {
        running = report.what;
        runs += 1;
        clearTimeout(timer);
        // tidy-allow: a thread that hangs is noticed by the clock on the wall
        timer = setTimeout(() => caughtBy('hang', `${running} did not end within ${HANG_MS} ms`), HANG_MS);
      }
    });
    worker.on('error', (error: Error) => {
      if (running !== undefined) {
        caughtBy('crash', error.message);
        return;
      }
      // Before the first run it is no mutant of the protocol, but no program.
      settle(undefined);
      reject(error);
    });
  });
}
