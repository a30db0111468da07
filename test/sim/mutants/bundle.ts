/** Bundles an entry with a mutant's faults in it, in memory: no mutated source is ever on disk. */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { context, type BuildContext } from 'esbuild';
import { applyEdits, type Mutant } from './mutant.ts';

const ROOT = dirname(dirname(dirname(import.meta.dirname)));
const LIBRARY = join(ROOT, 'packages', 'godwit', 'src');

export class Bundler {
  readonly #context: BuildContext<{ write: false }>;
  readonly #subject: { mutant: Mutant | undefined };

  private constructor(built: BuildContext<{ write: false }>, subject: { mutant: Mutant | undefined }) {
    this.#context = built;
    this.#subject = subject;
  }

  /** `entry` is relative to the root of the repository. */
  static async create(entry: string, format: 'cjs' | 'esm'): Promise<Bundler> {
    const subject: { mutant: Mutant | undefined } = { mutant: undefined };
    const built = await context({
      absWorkingDir: ROOT,
      entryPoints: [entry],
      bundle: true,
      write: false,
      platform: 'node',
      format,
      target: 'node22',
      packages: 'external',
      conditions: ['godwit-source'],
      logLevel: 'silent',
      plugins: [
        {
          name: 'mutant',
          setup: (build) => {
            build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
              const file = relative(LIBRARY, path).split(sep).join('/');
              if (!subject.mutant?.edits.some((edit) => edit.file === file)) return undefined;
              return { contents: applyEdits(subject.mutant, file, readFileSync(path, 'utf8')), loader: 'ts' };
            });
          },
        },
      ],
    });
    return new Bundler(built, subject);
  }

  /** The code, mutated or, with undefined, as it is. Throws when the mutant does not match, or is no program. */
  bundle(mutant: Mutant | undefined): Promise<string> {
    const bundled = this.#last.then(async () => {
      this.#subject.mutant = mutant;
      const result = await this.#context.rebuild();
      return result.outputFiles[0]?.text ?? '';
    });
    this.#last = bundled.catch(() => undefined);
    return bundled;
  }
  /** One at a time. */
  #last: Promise<unknown> = Promise.resolve();

  async dispose(): Promise<void> {
    await this.#context.dispose();
  }
}
