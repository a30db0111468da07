/** Loads modules with everything they import from this repository instrumented, with a fault planted if so wished. */
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import './runtime.ts'; // which instrumented sources report to

/** A deliberate fault in a source, to see that it is found. */
export interface Plant {
  readonly name: string;
  /** Relative to the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

const root = dirname(dirname(dirname(import.meta.dirname)));

/** What targets may import of this repository. */
const SOURCES = [
  'packages/godwit/src/*.ts',
  'packages/godwit/src/{wire,session,crypto,cluster}/*.ts',
  'packages/godwit/src/carriers/{address,join-small,record-batch}.ts',
  'test/{world,arbitraries}/*.ts',
  'test/fuzz/{targets,models}/*.ts',
];

/** What is counted: the code that bytes of peers reach. Tests and drivers are only opened. */
const COUNTED = /^packages\/godwit\/src\/(wire|session|crypto|cluster)\//;

/** What runs the targets is one and the same for all of them, and reads no private members. */
const NOT_INSTRUMENTED = /^test\/fuzz\/(instrument|engine)\//;

const QUERY = '?fuzz=';

const plants = new Map<string, Plant>();
const CACHE = join(root, 'node_modules/.cache/godwit-fuzz');
/** What was transformed differently before is of no use. */
const transformDigest = sha256(readFileSync(join(import.meta.dirname, 'transform.ts')));
let isHooked = false;

/** The module at `path`, relative to the root, and all it imports; each plant makes another copy of all of it. */
export async function loadInstrumented<T>(path: string, plant?: Plant): Promise<T> {
  const key = plant === undefined ? '' : encodeURIComponent(plant.name);
  if (plant) plants.set(key, plant);
  await prepare(plant);
  hook();
  const url = pathToFileURL(join(root, path)).href;
  return (await import(`${url}${QUERY}${key}`)) as T;
}

/** Transforms what was not transformed before: it takes seconds, and a compiler that most runs need not load. */
async function prepare(plant: Plant | undefined): Promise<void> {
  const paths = globSync(SOURCES, { cwd: root }).map((path) => path.replaceAll(sep, '/'));
  const missing = paths
    .filter((path) => !path.endsWith('.test.ts'))
    .map((path) => ({ path, text: textOf(path, plant) }))
    .filter(({ path, text }) => !existsSync(cacheFile(path, text)));
  if (missing.length === 0) return;
  const { transform } = await import('./transform.ts');
  mkdirSync(CACHE, { recursive: true });
  for (const { path, text } of missing) {
    const file = cacheFile(path, text);
    writeFileSync(
      `${file}.${process.pid}`,
      transform(text, { path: join(root, path), counts: COUNTED.test(path) }),
    );
    renameSync(`${file}.${process.pid}`, file); // several processes may be at it
  }
}

function hook(): void {
  if (isHooked) return;
  isHooked = true;
  process.setSourceMapsEnabled(true);
  registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context);
      const at = context.parentURL?.indexOf(QUERY) ?? -1;
      const path = pathOf(resolved.url);
      if (at < 0 || path === undefined || NOT_INSTRUMENTED.test(path)) return resolved;
      return { ...resolved, url: resolved.url + (context.parentURL as string).slice(at) };
    },
    load: (url, context, next) => {
      const at = url.indexOf(QUERY);
      const path = at < 0 ? undefined : pathOf(url.slice(0, at));
      if (path === undefined) return next(url, context);
      const key = url.slice(at + QUERY.length);
      const plant = plants.get(key);
      // A fault that is not planted would look like one that nobody finds.
      if (key !== '' && plant === undefined) throw new Error(`there is no plant ${key}`);
      const text = textOf(path, plant);
      const file = cacheFile(path, text);
      if (!existsSync(file)) throw new Error(`${path} is imported, but it is not among SOURCES of load.ts`);
      return { format: 'module', shortCircuit: true, source: readFileSync(file, 'utf8') };
    },
  });
}

/** The path of a source of this repository, relative to its root; undefined for all others. */
function pathOf(url: string): string | undefined {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return undefined;
  const path = relative(root, fileURLToPath(url)).replaceAll(sep, '/');
  return path.startsWith('..') || path.includes('node_modules/') ? undefined : path;
}

function textOf(path: string, plant: Plant | undefined): string {
  const text = readFileSync(join(root, path), 'utf8');
  return plant?.file === path ? planted(text, plant) : text;
}

function cacheFile(path: string, text: string): string {
  return join(CACHE, `${sha256(`${transformDigest}\n${path}\n${text}`)}.js`);
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex').slice(0, 32);
}

function planted(text: string, { name, file, find, replace }: Plant): string {
  const parts = text.split(find);
  if (parts.length !== 2)
    throw new Error(
      `plant ${name}: the text to replace occurs ${parts.length - 1} times in ${file}, not once`,
    );
  return parts.join(replace);
}
