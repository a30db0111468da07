/**
 * V8's collector, asked for by hand. It is the function that V8 gives to programs that were started with `--expose-gc`; what a caller
 * does with it has to pay, since nobody knows better than V8 when to collect, but for what V8 cannot know.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** As V8 has it: the young generation, or everything; "last-resort" gives memory back that V8 would keep for later. */
export interface CollectOptions {
  readonly type: 'minor' | 'major';
  readonly flavor?: 'regular' | 'last-resort';
}

/** Collects before it returns. */
export type Collect = (options: CollectOptions) => void;

/**
 * The collector, or undefined where it is not to be had. The flag is set while one context is made and unset again in the same
 * breath: nobody else sees anything of it.
 */
export function findCollector(): Collect | undefined {
  const wasSet = typeof (globalThis as { gc?: unknown }).gc === 'function';
  try {
    setFlagsFromString('--expose-gc');
    return runInNewContext('gc') as Collect;
  } catch {
    return undefined;
  } finally {
    if (!wasSet) setFlagsFromString('--no-expose-gc');
  }
}
