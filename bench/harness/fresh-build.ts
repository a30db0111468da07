/**
 * Benchmarks run what users install: the built package, which is built again when a source is newer. Their own programs are
 * compiled too: hundreds of processes would each spend a quarter of a second on that.
 */
import { execFileSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/** Of the repository. */
export const ROOT = dirname(dirname(import.meta.dirname));

/** Within the repository, so that the programs find the packages that they import. */
const COMPILED = join(ROOT, 'bench/.compiled');

const PROGRAMS = ['bench/programs/*.ts', 'bench/peers/*.ts', 'test/bench/planted/*.ts'];

/** Builds `packages/godwit/dist` unless it is newer than all that it is made from, and compiles the programs. */
export async function ensureBuilt(log: (line: string) => void): Promise<void> {
  if (isStale()) {
    log('building packages/godwit');
    execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { stdio: ['ignore', 2, 2] });
  }
  await compilePrograms();
}

/** Compiles the programs alone. What they import of Godwit is the built package, or its sources by node's `--conditions`. */
export async function compilePrograms(): Promise<void> {
  const entryPoints = globSync(PROGRAMS, { cwd: ROOT }).filter((path) => !path.endsWith('.test.ts'));
  await build({
    entryPoints,
    absWorkingDir: ROOT,
    outbase: ROOT,
    outdir: COMPILED,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node22',
    logLevel: 'warning',
  });
}

/** Where a program lies when it is compiled, given its source from the root of the repository. */
export function compiledPath(program: string): string {
  return join(COMPILED, program.replace(/\.ts$/, '.js'));
}

function isStale(): boolean {
  const sources = globSync(['packages/godwit/src/**/*.ts', 'packages/godwit/*.json', 'tsconfig.base.json'], {
    cwd: ROOT,
    exclude: (path) => path.endsWith('.test.ts'),
  });
  const built = globSync('packages/godwit/dist/**/*.js', { cwd: ROOT });
  if (built.length === 0) return true;
  const newestSource = Math.max(...sources.map(modifiedMs));
  // A build writes every file, so the oldest one tells when it began.
  const oldestBuilt = Math.min(...built.map(modifiedMs));
  // A source that was removed left no newer file behind: then there are more modules than sources.
  const modules = sources.filter((path) => path.endsWith('.ts')).length;
  return newestSource > oldestBuilt || modules !== built.length;
}

function modifiedMs(path: string): number {
  return statSync(join(ROOT, path)).mtimeMs;
}
