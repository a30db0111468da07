/** Checks of files as a whole: too long, or used by nobody. */
import { posix } from 'node:path';
import ts from 'typescript';
import { isTest } from './source.ts';
import type { Source, Violation } from './source.ts';

/** The most lines that a source may have. A file beyond it holds more than one idea. */
export const LINES_MAX = 500;

/** From here on, look for the second idea. */
export const LINES_WARN = 350;

export function checkLength({ path, text }: Source): { violations: Violation[]; warnings: string[] } {
  if (isTest(path)) return { violations: [], warnings: [] };
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  const message = `has ${lines} lines; the most is ${LINES_MAX}: find the second idea in it`;
  if (lines > LINES_MAX) return { violations: [{ path, line: LINES_MAX + 1, message }], warnings: [] };
  return { violations: [], warnings: lines > LINES_WARN ? [`${path} ${message}`] : [] };
}

/**
 * Sources that nothing uses. An import counts, and so does a string that ends in the file's name, as a worker or a child
 * process is named. A source of a package that only tests use is as dead as one that nobody uses.
 */
export function findDeadFiles(sources: readonly Source[], entries: ReadonlySet<string>): Violation[] {
  const used = new Set<string>();
  const usedByTests = new Set<string>();
  for (const source of sources) {
    const mine = isTest(source.path) ? usedByTests : used;
    for (const path of filesNamedIn(source)) if (path !== source.path) mine.add(path);
  }
  return sources
    .filter(({ path }) => !path.endsWith('.test.ts') && !path.endsWith('/main.ts') && !entries.has(path))
    .filter(({ path }) => !used.has(path) && !(path.startsWith('test/') && usedByTests.has(path)))
    .map(({ path }) => ({
      path,
      line: 1,
      message: usedByTests.has(path)
        ? 'is used by tests only: delete it, or move it to test/'
        : 'is used by nothing',
    }));
}

function filesNamedIn({ path, tree }: Source): string[] {
  const named: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) && node.text.endsWith('.ts')) {
      // Relative to the file, as in an import, or to the root, as in a command line.
      named.push(posix.join(posix.dirname(path), node.text), posix.normalize(node.text));
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return named;
}
