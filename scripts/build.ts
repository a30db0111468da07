/** Compiles the library into packages/godwit/dist. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

// The compiler never deletes, and what an old source left behind would be packed.
rmSync(join(root, 'packages/godwit/dist'), { recursive: true, force: true });

try {
  execFileSync(process.execPath, [compiler, '-p', join(root, 'packages/godwit/tsconfig.build.json')], {
    // To standard error: `npm pack --json` builds on its way and owns standard output.
    stdio: ['ignore', 2, 2],
  });
} catch {
  process.exitCode = 1; // The compiler has already said what is wrong.
}
