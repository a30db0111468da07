/** For scripts that generate a committed file: write it, or with --check say whether it is up to date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const ROOT = dirname(import.meta.dirname);

/** Absolute path of a file of the repository. */
export function pathOf(...names: readonly string[]): string {
  return join(ROOT, ...names);
}

/** Writes `text`, or with `--check` among the arguments compares it. Answers the exit code. */
export function writeOrCheck(path: string, text: string, script: string): number {
  const name = relative(ROOT, path);
  const current = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  if (current === text) {
    console.log(`${name} is up to date`);
    return 0;
  }
  if (process.argv.includes('--check')) {
    console.error(`${name} is not what its sources say: run \`node ${script}\` and look at the difference`);
    return 1;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  console.log(`${name} written`);
  return 0;
}
