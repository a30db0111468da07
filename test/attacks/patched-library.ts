/**
 * The library with defences taken out of it: shipped code has no test switch, so its sources are patched in memory as they
 * are bundled. Nothing patched is ever on disk.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { compileFunction } from 'node:vm';
import { build } from 'esbuild';
import type * as godwit from 'godwit';

const ROOT = dirname(dirname(import.meta.dirname));
const LIBRARY = join(ROOT, 'packages', 'godwit', 'src');

export type Library = typeof godwit;

/** A defence that is taken out. */
export interface Edit {
  /** Below packages/godwit/src. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly search: string;
  readonly replace: string;
}

/** Throws when an edit does not match: the defence it takes out is written otherwise by now. */
export async function patchedLibrary(edits: readonly Edit[]): Promise<Library> {
  const pending = new Set(edits);
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [join(LIBRARY, 'index.ts')],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    packages: 'external',
    logLevel: 'silent',
    plugins: [
      {
        name: 'defences',
        setup: ({ onLoad }) => {
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const file = relative(LIBRARY, path).split(sep).join('/');
            const here = edits.filter((edit) => edit.file === file);
            if (here.length === 0) return undefined;
            let contents = readFileSync(path, 'utf8');
            for (const edit of here) {
              contents = apply(edit, contents);
              pending.delete(edit);
            }
            return { contents, loader: 'ts' };
          });
        },
      },
    ],
  });
  const [unused] = pending;
  if (unused) throw new Error(`no file packages/godwit/src/${unused.file} is part of the library`);
  const module: { exports: unknown } = { exports: {} };
  const run = compileFunction(result.outputFiles[0]?.text ?? '', ['require', 'module', 'exports']) as (
    ...given: unknown[]
  ) => void;
  run(createRequire(import.meta.url), module, module.exports);
  return module.exports as Library;
}

function apply({ file, search, replace }: Edit, text: string): string {
  const parts = text.split(search);
  if (parts.length !== 2)
    throw new Error(
      `a defence in packages/godwit/src/${file} was found ${parts.length - 1} times, not once: correct it in ` +
        `test/attacks. It looks for:\n${search}`,
    );
  return parts.join(replace);
}
