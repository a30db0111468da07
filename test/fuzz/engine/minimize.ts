/** Makes a failing script small: fewer steps, then fewer and smaller bytes. */
import type { Script } from './script.ts';

/** When to be content, in runs. */
const MAX_RUNS = 1500;

/** `fails` tells whether a script still fails in the same way. */
export function minimize(script: Script, fails: (script: Script) => boolean): Script {
  let best = script;
  let runs = 0;
  const accept = (candidate: Script): boolean => {
    runs += 1;
    if (runs > MAX_RUNS || !fails(candidate)) return false;
    best = candidate;
    return true;
  };
  let before: Script;
  do {
    before = best;
    dropSteps(() => best, accept);
    shrinkBytes(() => best, accept);
  } while (best !== before && runs <= MAX_RUNS);
  return best;
}

type Accept = (candidate: Script) => boolean;

/** Half of the steps at once, a quarter, … one. */
function dropSteps(best: () => Script, accept: Accept): void {
  for (let size = Math.ceil(best().length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let at = 0; at < best().length;) if (!accept(best().toSpliced(at, size))) at += size;
}

function shrinkBytes(best: () => Script, accept: Accept): void {
  for (let at = 0; at < best().length; at += 1) {
    const step = () => best()[at] as Script[number];
    const replace = (bytes: Uint8Array): boolean => accept(best().with(at, { op: step().op, bytes }));
    for (let size = step().bytes.byteLength; size >= 1; size = Math.floor(size / 2))
      while (
        size <= step().bytes.byteLength &&
        replace(step().bytes.slice(0, step().bytes.byteLength - size))
      );
    for (let i = 0; i < step().bytes.byteLength; i += 1)
      if (step().bytes[i] !== 0) replace(step().bytes.with(i, 0));
  }
}
