/** The library with defences taken out of it, by patches of its sources that are applied in memory (test/sim/mutants). */
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type * as godwit from 'godwit';
import { Bundler } from '../sim/mutants/bundle.ts';
import type { Edit } from '../sim/mutants/mutant.ts';

export type { Edit } from '../sim/mutants/mutant.ts';
export type Library = typeof godwit;

const ENTRY = 'packages/godwit/src/index.ts';

/** One for all attacks, which take their turns: it reads most files once. */
let bundler: Promise<Bundler> | undefined;

/** Throws when an edit does not match: the defence it takes out is written otherwise by now. */
export async function patchedLibrary(name: string, edits: readonly Edit[]): Promise<Library> {
  bundler ??= Bundler.create(ENTRY, 'cjs');
  const code = await (
    await bundler
  ).bundle({ name, reason: 'the defence is switched off', breaks: [], edits });
  const module: { exports: unknown } = { exports: {} };
  const run = compileFunction(code, ['require', 'module', 'exports']) as (...given: unknown[]) => void;
  run(createRequire(import.meta.url), module, module.exports);
  return module.exports as Library;
}

/** To be called at the end: esbuild keeps the process alive. */
export async function closePatcher(): Promise<void> {
  await (await bundler)?.dispose();
}
