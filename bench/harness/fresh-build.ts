/** Benchmarks run what users install: the built package. It is built again when a source is newer. */
import { execFileSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = dirname(dirname(import.meta.dirname));

/** Builds `packages/godwit/dist` unless it is newer than all that it is made from. */
export function ensureBuilt(log: (line: string) => void): void {
  if (!isStale()) return;
  log('building packages/godwit');
  execFileSync(process.execPath, [join(root, 'scripts/build.ts')], { stdio: ['ignore', 2, 2] });
}

function isStale(): boolean {
  const sources = globSync(['packages/godwit/src/**/*.ts', 'packages/godwit/*.json', 'tsconfig.base.json'], {
    cwd: root,
    exclude: (path) => path.endsWith('.test.ts'),
  });
  const built = globSync('packages/godwit/dist/**/*.js', { cwd: root });
  if (built.length === 0) return true;
  const newestSource = Math.max(...sources.map(modifiedMs));
  // A build writes every file, so the oldest one tells when it began.
  const oldestBuilt = Math.min(...built.map(modifiedMs));
  // A source that was removed left no newer file behind: then there are more modules than sources.
  const modules = sources.filter((path) => path.endsWith('.ts')).length;
  return newestSource > oldestBuilt || modules !== built.length;
}

function modifiedMs(path: string): number {
  return statSync(join(root, path)).mtimeMs;
}
