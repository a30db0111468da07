/** What users get: the packed library, installed into an empty folder, on the oldest and on the current Node. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as sources from 'godwit';
import * as testing from 'godwit/testing';

const run = promisify(execFile);
const root = dirname(dirname(import.meta.dirname));

/** What a TypeScript user of the library installs besides it. The Node is the oldest that the library runs on. */
const COMPANIONS = ['typescript@6.0', '@types/node@24', 'node@22.12'];

/** What each entry of the package exports. */
const ENTRIES: readonly (readonly [entry: string, names: readonly string[]])[] = [
  ['godwit', Object.keys(sources).sort()],
  ['godwit/testing', Object.keys(testing).sort()],
];

describe('the packed library', () => {
  let folder = '';
  let files: readonly string[] = [];
  let nodes: readonly (readonly [major: number, path: string])[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'godwit-package-'));
    const packed = await npm(join(root, 'packages/godwit'), 'pack', '--json', '--pack-destination', folder);
    const [report] = packReports(packed);
    assert.ok(report);
    files = report.files.map(({ path }) => path);

    // npm runs the install step of `node`, which fetches the binary, only where package.json says so.
    const manifest = { private: true, type: 'module', allowScripts: { node: true } };
    await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
    await npm(
      folder,
      'install',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      `./${report.filename}`,
      ...COMPANIONS,
    );
    nodes = [
      [22, join(folder, 'node_modules/node/bin/node')],
      [24, process.execPath],
    ];
  });

  after(() => rm(folder, { recursive: true, force: true }));

  test('runs below on the versions of Node that it says', async () => {
    for (const [major, node] of nodes)
      assert.match((await run(node, ['--version'])).stdout, new RegExp(`^v${major}\\.`));
  });

  test('holds its code, types, maps, README, licence and changelog, and no sources or tests', () => {
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'package.json',
      'dist/index.js',
      'dist/index.d.ts',
    ]) {
      assert.ok(files.includes(name), `${name} is missing`);
    }
    const unexpected = files.filter(
      (path) => !/^(README\.md|LICENSE|CHANGELOG\.md|package\.json|dist\/.*\.(js|js\.map|d\.ts))$/.test(path),
    );
    assert.deepEqual([...unexpected, ...files.filter((path) => path.includes('.test.'))], []);
  });

  test('says nothing about the machine that built it', async () => {
    const installed = join(folder, 'node_modules/godwit');
    for (const path of files) {
      assert.ok(
        !(await readFile(join(installed, path), 'utf8')).includes(root),
        `${path} names a folder of this machine`,
      );
    }
  });

  test('brings no other module along, and insists on none', async () => {
    const text = await readFile(join(folder, 'node_modules/godwit/package.json'), 'utf8');
    const manifest = JSON.parse(text) as Record<string, Record<string, unknown> | undefined>;
    assert.deepEqual({ ...manifest['dependencies'], ...manifest['optionalDependencies'] }, {});
    for (const peer of Object.keys(manifest['peerDependencies'] ?? {})) {
      assert.deepEqual(manifest['peerDependenciesMeta']?.[peer], { optional: true }, peer);
    }
  });

  for (const [entry, names] of ENTRIES) {
    test(`gives import and require of ${entry} the names that the sources export`, async () => {
      const print = 'console.log(JSON.stringify(Object.keys(entry).sort()));';
      await writeFile(join(folder, 'import.mjs'), `import * as entry from '${entry}';\n${print}\n`);
      await writeFile(join(folder, 'require.cjs'), `const entry = require('${entry}');\n${print}\n`);
      for (const [major, node] of nodes) {
        for (const script of ['import.mjs', 'require.cjs']) {
          const { stdout } = await run(node, [script], { cwd: folder });
          assert.deepEqual(
            withoutInterop(JSON.parse(stdout) as string[]),
            names,
            `${script} on Node ${major}`,
          );
        }
      }
    });

    test(`gives import and require of ${entry} one and the same instance`, async () => {
      const compare = `import * as entry from '${entry}';
        import { createRequire } from 'node:module';
        const required = createRequire(import.meta.url)('${entry}');
        for (const name of Object.keys(entry)) if (entry[name] !== required[name]) throw new Error(name);`;
      await writeFile(join(folder, 'same.mjs'), compare);
      for (const [, node] of nodes) await run(node, ['same.mjs'], { cwd: folder });
    });
  }

  test('type-checks in a strict TypeScript project, and runs from it, as ESM and as CommonJS', async () => {
    const imports = (kind: 'esm' | 'commonjs'): string =>
      ENTRIES.map(([entry], index) =>
        kind === 'esm'
          ? `import * as entry${index} from '${entry}';`
          : `import entry${index} = require('${entry}');`,
      ).join('\n');
    const all = ENTRIES.map(([, names], index) => names.map((name) => `${name}: entry${index}.${name}`));
    // Where a program expects net's types, ours fit: but under exactOptionalPropertyTypes (docs/net.md).
    const fit = `export const asNet: [Socket, Server, typeof connect, typeof createServer] =
        [new entry0.Socket(), new entry0.Server(), entry0.connect, entry0.createServer];\n`;
    const nets = `import type { Server, Socket, connect, createServer } from 'node:net';\n`;
    const use = `export const names: string[] = Object.keys({ ${all.flat().join(', ')} });
      const check: (handler: entry1.Handler, options: entry1.CheckOptions) => Promise<entry1.CheckReport> = entry1.checkHandler;
      const handler = (socket: entry0.ServerSocket): void => {
        let count = socket.importState(Number) ?? 0;
        socket.onExportState(() => String(count));
        socket.on('data', (chunk: Buffer) => {
          count += chunk.length;
          socket.write(chunk);
        });
      };
      check(handler, { input: 'to be echoed', crashes: 16 }).then(({ crashes, restores, output }) => {
        if (crashes < 16 || restores === 0 || output.toString() !== 'to be echoed') throw new Error('not checked');
        console.log(JSON.stringify(names));
      });\n`;
    await writeFile(join(folder, 'esm.mts'), `${imports('esm')}\n${use}`);
    await writeFile(join(folder, 'commonjs.cts'), `${imports('commonjs')}\n${use}`);
    await writeFile(join(folder, 'fits.mts'), `${nets}${imports('esm')}\n${fit}`);
    const compilerOptions = {
      target: 'es2023',
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
    };
    const compile = async (files: readonly string[], options: object): Promise<void> => {
      const config = { compilerOptions: { ...compilerOptions, ...options }, files };
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
      await runOrShow(process.execPath, [join(folder, 'node_modules/typescript/bin/tsc'), '-p', '.'], folder);
    };
    await compile(['esm.mts', 'commonjs.cts'], {});
    await compile(['fits.mts'], { exactOptionalPropertyTypes: false, noEmit: true });

    for (const [major, node] of nodes) {
      for (const script of ['esm.mjs', 'commonjs.cjs']) {
        const { stdout } = await run(node, [script], { cwd: folder });
        const names = ENTRIES.flatMap(([, exported]) => exported);
        assert.deepEqual(JSON.parse(stdout), names, `${script} on Node ${major}`);
      }
    }
  });

  test('maps its code back to the TypeScript that it was', async () => {
    const map = JSON.parse(await readFile(join(folder, 'node_modules/godwit/dist/index.js.map'), 'utf8')) as {
      readonly sourcesContent?: readonly string[];
    };
    assert.deepEqual(map.sourcesContent, [
      await readFile(join(root, 'packages/godwit/src/index.ts'), 'utf8'),
    ]);
  });
});

interface PackReport {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** `npm pack --json` prints a list, and from npm 12 on an object by package name. */
function packReports(stdout: string): PackReport[] {
  return Object.values(JSON.parse(stdout) as Record<string, PackReport>);
}

/** What require() adds to the names of an ES module. */
function withoutInterop(names: readonly string[]): string[] {
  return names.filter((name) => name !== '__esModule' && name !== 'module.exports');
}

async function npm(folder: string, ...args: string[]): Promise<string> {
  return runOrShow('npm', args, folder);
}

/** Like `run`, but a failure shows what the program printed on either stream. */
async function runOrShow(program: string, args: string[], folder: string): Promise<string> {
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) };
  try {
    return (await run(program, args, { cwd: folder, env })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? ''}`, { cause: error });
  }
}
