/** Inputs on disk, under `test/fuzz/corpus/<target>/`: scripts as text, counterexamples of fast-check as JSON. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { formatScript, parseScript, type Script } from './script.ts';
import type { Counterexample, Target } from './target.ts';

const root = dirname(dirname(dirname(import.meta.dirname)));
const CORPUS = join(dirname(import.meta.dirname), 'corpus');
const SUFFIX = { script: '.steps', model: '.json' } as const;

interface Entry<T> {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly input: T;
}

export function readScripts(target: Target): (Entry<Script> & { readonly isCommented: boolean })[] {
  return filesOf(target).map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return { path, input: parseScript(text), isCommented: text.startsWith('#') };
  });
}

export function readCounterexamples(target: Target): Entry<Counterexample>[] {
  return filesOf(target).map((path) => {
    return { path, input: JSON.parse(readFileSync(join(root, path), 'utf8')) as Counterexample };
  });
}

/** The name of the target that an input is for, by the folder it lies in. */
export function targetOf(file: string): string {
  return basename(dirname(file));
}

/** Writes an input, with a comment where the format has room for one; answers its path. */
export function writeInput(target: Target, input: Script | Counterexample, comment?: string): string {
  const body = isScript(input) ? formatScript(input) : `${JSON.stringify(input, undefined, 2)}\n`;
  const name = createHash('sha256').update(body).digest('hex').slice(0, 12);
  const folder = join(CORPUS, target.name);
  const file = join(folder, `${name}${SUFFIX[target.kind]}`);
  mkdirSync(folder, { recursive: true });
  const heading = isScript(input) && comment !== undefined ? `# ${comment.replaceAll('\n', ' ')}\n` : '';
  writeFileSync(file, heading + body);
  return relative(root, file);
}

export function removeInput(path: string): void {
  rmSync(join(root, path));
}

function isScript(input: Script | Counterexample): input is Script {
  return Array.isArray(input);
}

function filesOf(target: Target): string[] {
  const folder = join(CORPUS, target.name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX[target.kind]))
    .sort()
    .map((name) => relative(root, join(folder, name)));
}
