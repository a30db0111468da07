/** Imports point one way: wire <- session <- carriers <- socket, cluster <- client | server <- policy <- adapters <- cli. */
import { isCore, isTest } from './source.ts';
import type { Import, Source, Violation } from './source.ts';

const LIBRARY = 'packages/godwit/src/';
const COMMAND = 'packages/cli/';

/** The files beside index.ts, such as errors.ts, which every layer above the core may use. */
const SHARED = '(shared)';

/** index.ts and the entries of subpath exports: nothing in the library imports them. */
const ENTRY = '(entry)';

const BELOW_CLIENT_AND_SERVER = [SHARED, 'wire', 'session', 'crypto', 'carriers', 'socket', 'cluster'];

/** What each folder of the library may import, besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  session: ['wire'],
  [SHARED]: ['wire', 'session'],
  crypto: [SHARED, 'wire', 'session'],
  carriers: [SHARED, 'wire', 'session', 'crypto'],
  socket: [SHARED, 'wire', 'session', 'crypto', 'carriers'],
  cluster: [SHARED, 'wire', 'session', 'crypto', 'carriers'],
  client: BELOW_CLIENT_AND_SERVER,
  server: BELOW_CLIENT_AND_SERVER,
  policy: [...BELOW_CLIENT_AND_SERVER, 'client', 'server'],
  adapters: [...BELOW_CLIENT_AND_SERVER, 'client', 'server', 'policy'],
  testing: [...BELOW_CLIENT_AND_SERVER, 'client', 'server'],
};

export interface Packages {
  /** The library's public entries, as paths of sources. */
  readonly entries: ReadonlySet<string>;
  /** Third-party modules that users of the library may bring along. */
  readonly optionalPeers: ReadonlySet<string>;
  /** Third-party modules that the command depends on. */
  readonly commandDependencies: ReadonlySet<string>;
}

export function checkImports(source: Source, packages: Packages): Violation[] {
  if (isTest(source.path)) return [];
  return source.imports.flatMap((imported) => {
    const message = source.path.startsWith(LIBRARY)
      ? objectionInLibrary(source.path, imported, packages)
      : source.path.startsWith(COMMAND)
        ? objectionInCommand(imported, packages)
        : undefined;
    return message === undefined ? [] : [{ path: source.path, line: imported.line, message }];
  });
}

function objectionInLibrary(
  path: string,
  { specifier, target }: Import,
  packages: Packages,
): string | undefined {
  const from = layerOf(path, packages);
  if (target === undefined) {
    if (isCore(path)) return `${from}/ imports "${specifier}": the core is pure, so pass in what it needs`;
    if (specifier.startsWith('node:') || packages.optionalPeers.has(moduleOf(specifier))) return undefined;
    return `the library imports "${specifier}": it has no dependency but node:* and its optional peers`;
  }
  if (!target.startsWith(LIBRARY)) return `the library imports ${target}, which is not part of it`;
  if (target.endsWith('.test.ts')) return `a source imports the test ${target}`;

  const to = layerOf(target, packages);
  if (from === ENTRY || from === to) return undefined;
  if (to === ENTRY) return `${from} imports the entry ${target}: import the file that declares it`;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined)
    return `${from}/ is not a known layer: give it a place in ${import.meta.filename}`;
  return allowed.includes(to) ? undefined : `${from} must not import ${to}: imports point one way`;
}

function objectionInCommand({ specifier, target }: Import, packages: Packages): string | undefined {
  if (target !== undefined) {
    return target.startsWith(COMMAND)
      ? undefined
      : `the command imports ${target}: use the public entry 'godwit'`;
  }
  const module = moduleOf(specifier);
  if (module === 'godwit' || specifier.startsWith('node:') || packages.commandDependencies.has(module))
    return undefined;
  return `the command imports "${specifier}", which its package.json does not name`;
}

function layerOf(path: string, packages: Packages): string {
  if (packages.entries.has(path)) return ENTRY;
  const [folder, ...rest] = path.slice(LIBRARY.length).split('/');
  return folder === undefined || rest.length === 0 ? SHARED : folder;
}

/** `@scope/name` of `@scope/name/deep/file`, `name` of `name/deep/file`. */
function moduleOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
