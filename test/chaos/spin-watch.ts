/**
 * Ends a process whose event loop does not come round although it has the processor to itself, and says where it was: an
 * endless loop would otherwise look like a slow machine. Time on the processor counts, not on the wall: a process that is
 * frozen, or starved by others, does nothing wrong.
 */
import { writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

/** How often the event loop shows that it comes round, and how often that is looked at, in milliseconds. */
const BEAT_MS = 200;

/** So much time on the processor without a beat is an endless loop, in milliseconds. */
const SPIN_LIMIT_MS = 5000;

export function watchForSpinning(): void {
  const beats = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref();
  new Worker(new URL(import.meta.url), { workerData: beats, stdout: false, stderr: false }).unref();
}

if (!isMainThread && workerData instanceof Int32Array) {
  const beats: Int32Array = workerData;
  let last = -1;
  let usedThen = 0;
  setInterval(() => {
    const { user, system } = process.cpuUsage();
    const usedMs = (user + system) / 1000;
    const beat = Atomics.load(beats, 0);
    if (beat !== last) {
      last = beat;
      usedThen = usedMs;
    } else if (usedMs - usedThen > SPIN_LIMIT_MS) {
      usedThen = Infinity;
      tellWhere();
    }
  }, BEAT_MS);
}

/** Stops the main thread where it is. */
function tellWhere(): void {
  const session = new Session();
  session.connectToMainThread();
  const scripts = new Map<string, string>();
  session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url));
  session.on('Debugger.paused', ({ params }) => {
    const frames = params.callFrames.map(({ functionName, location }) => {
      const place = `${scripts.get(location.scriptId) ?? '?'}:${location.lineNumber + 1}`;
      return `  in ${functionName || '(anonymous)'} ${place}`;
    });
    // The main thread stands still, and so does its way to standard error.
    writeSync(2, `the event loop does not come round:\n${frames.join('\n')}\n`);
    process.kill(process.pid, 'SIGKILL');
  });
  session.post('Debugger.enable', () => session.post('Debugger.pause'));
}
