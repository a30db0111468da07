/** The library with defences taken out of it, by patches of its sources that are applied in memory (test/sim/mutants). */
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type * as godwit from 'godwit';
import { Bundler } from '../sim/mutants/bundle.ts';
import type { Edit } from '../sim/mutants/mutant.ts';

export type { Edit } from '../sim/mutants/mutant.ts';
export type Library = typeof godwit;

const ENTRY = 'packages/godwit/src/index.ts';

/** Throws when an edit does not match: the defence it takes out is written otherwise by now. */
export async function patchedLibrary(name: string, edits: readonly Edit[]): Promise<Library> {
  const bundler = await Bundler.create(ENTRY, 'cjs');
  try {
    const code = await bundler.bundle({ name, reason: 'the defence is switched off', breaks: [], edits });
    const module: { exports: unknown } = { exports: {} };
    const run = compileFunction(code, ['require', 'module', 'exports']) as (...given: unknown[]) => void;
    run(createRequire(import.meta.url), module, module.exports);
    return module.exports as Library;
  } finally {
    await bundler.dispose();
  }
}
