/** Calls and globals that are banned, each with what to use instead. */
import ts from 'typescript';
import { isCore, isTest, lineOf } from './source.ts';
import type { Source, Violation } from './source.ts';

interface Ban {
  /** A global, or one of its members: `Buffer`, `Date.now`. */
  readonly names: readonly string[];
  readonly applies: (path: string) => boolean;
  readonly instead: string;
}

const CORE_BANS: readonly Ban[] = [
  { names: ['Date', 'performance'], applies: isCoreSource, instead: 'take `now` as an argument' },
  { names: ['Math.random', 'crypto'], applies: isCoreSource, instead: 'take random bytes as an argument' },
  {
    names: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
    applies: isCoreSource,
    instead: 'put a row into the timer table; pollTimeout() tells the caller when to come back',
  },
  {
    names: ['Promise', 'queueMicrotask', 'async', 'await'],
    applies: isCoreSource,
    instead: 'emit a request and take its result in a later call',
  },
  { names: ['Buffer'], applies: isCoreSource, instead: 'use Uint8Array and DataView' },
  {
    names: ['process', 'console', 'globalThis', 'require'],
    applies: isCoreSource,
    instead: 'pass in what the core needs',
  },
];

const GENERAL_BANS: readonly Ban[] = [
  {
    names: ['Math.random'],
    applies: (path) => !isCoreSource(path),
    instead:
      "draw from node:crypto, or in a test from the run's seeded generator, so that one seed reproduces the run",
  },
  {
    names: ['Date.now'],
    applies: (path) => path.startsWith('packages/godwit/') && !isTest(path) && !isCoreSource(path),
    instead:
      'use performance.now(), which never jumps; only a time that another machine reads is wall-clock time',
  },
  {
    names: ['Date.now', 'performance', 'setTimeout', 'setInterval', 'setImmediate'],
    applies: (path) =>
      path.startsWith('test/sim/') && !path.endsWith('.test.ts') && !path.endsWith('/main.ts'),
    instead: "use the simulated world's clock",
  },
  {
    names: ['process.exit', 'process.abort'],
    applies: (path) => path.startsWith('packages/godwit/') && !isTest(path) && !isCoreSource(path),
    instead: 'throw or emit an error: the process belongs to the application',
  },
  {
    names: ['parseInt', 'parseFloat'],
    applies: () => true,
    instead: 'use Number(), which refuses trailing rubbish',
  },
  { names: ['eval', 'require'], applies: (path) => !isCoreSource(path), instead: 'import the module' },
  {
    names: ['test.only', 'it.only', 'describe.only', 'suite.only'],
    applies: (path) => path.endsWith('.test.ts'),
    instead: 'run one test with `npm test -- FILE --name PATTERN`',
  },
];

/** On a line, or alone on the line before it, with a reason. The bans of the core know no exception. */
const EXCEPTION = /\/\/ tidy-allow: \S+ \S+/;

export function checkBans(source: Source): Violation[] {
  const core = indexBans(CORE_BANS, source.path);
  const general = indexBans(GENERAL_BANS, source.path);
  const declared = namesDeclaredIn(source.tree);
  const lines = source.text.split('\n');
  const violations: Violation[] = [...looseAssertions(source)];

  const visit = (node: ts.Node): void => {
    for (const name of namesAt(node)) {
      const ban = core.get(name) ?? general.get(name);
      if (ban === undefined || declared.has(name.split('.')[0] ?? name)) continue;
      const line = lineOf(source.tree, node);
      const excepted = EXCEPTION.test(lines[line - 1] ?? '') || EXCEPTION.test(aloneOnLine(lines[line - 2]));
      if (core.has(name) || !excepted)
        violations.push({ path: source.path, line, message: `${name}: ${ban.instead}` });
    }
    ts.forEachChild(node, visit);
  };
  visit(source.tree);
  return violations;
}

function isCoreSource(path: string): boolean {
  return isCore(path) && !isTest(path);
}

function indexBans(bans: readonly Ban[], path: string): Map<string, Ban> {
  return new Map(
    bans.filter((ban) => ban.applies(path)).flatMap((ban) => ban.names.map((name) => [name, ban])),
  );
}

function aloneOnLine(line: string | undefined): string {
  return line?.trimStart().startsWith('//') ? line : '';
}

/** The names under which a node could be banned: `Date` and `Date.now` for the identifier in `Date.now()`. */
function namesAt(node: ts.Node): string[] {
  if (node.kind === ts.SyntaxKind.AsyncKeyword) return ['async'];
  if (node.kind === ts.SyntaxKind.AwaitKeyword || ts.isAwaitExpression(node)) return ['await'];
  if (!ts.isIdentifier(node) || isMemberName(node)) return [];
  const parent = node.parent;
  const member =
    ts.isPropertyAccessExpression(parent) && parent.expression === node ? parent.name.text : undefined;
  return member === undefined ? [node.text] : [node.text, `${node.text}.${member}`];
}

/** A parameter called `crypto` is no global. An import is no excuse: it brings in the very thing that is banned. */
function namesDeclaredIn(tree: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const declares =
      ts.isVariableDeclaration(node) ||
      ts.isParameter(node) ||
      ts.isBindingElement(node) ||
      ts.isFunctionDeclaration(node);
    if (declares && node.name !== undefined && ts.isIdentifier(node.name)) names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return names;
}

/** The `b` of `a.b`, `{ b: 1 }` or `interface { b: string }` names a member of something, not a global. */
function isMemberName(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isQualifiedName(parent)) return parent.right === node;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  return (
    (ts.isPropertyAssignment(parent) ||
      ts.isPropertySignature(parent) ||
      ts.isPropertyDeclaration(parent) ||
      ts.isMethodDeclaration(parent) ||
      ts.isMethodSignature(parent) ||
      ts.isAccessor(parent)) &&
    parent.name === node
  );
}

function looseAssertions({ path, imports }: Source): Violation[] {
  return imports
    .filter(({ specifier }) => ['assert', 'node:assert', 'assert/strict'].includes(specifier))
    .map(({ specifier, line }) => ({ path, line, message: `"${specifier}": import 'node:assert/strict'` }));
}
