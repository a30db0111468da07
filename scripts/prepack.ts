/** Runs before `npm pack` and `npm publish`: builds, and puts the repository's own front page into the package. */
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);

for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) {
  copyFileSync(join(root, name), join(root, 'packages/godwit', name));
}

await import('./build.ts');
