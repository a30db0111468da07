/** The protocol core runs anywhere that speaks ECMAScript: no operating system, no clock, no randomness, no event loop. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import vm from 'node:vm';
import { build } from 'esbuild';
import type { Metafile } from 'esbuild';

const root = dirname(dirname(import.meta.dirname));
const WIRE = 'packages/godwit/src/wire/index.ts';
const SESSION = 'packages/godwit/src/session/index.ts';

interface Bundle {
  readonly code: string;
  readonly metafile: Metafile;
}

describe('the protocol core', () => {
  test('bundles for a browser out of wire/ and session/ alone', async () => {
    const { metafile } = await bundleCore(entryOfCore());
    assert.deepEqual(outsidersOf(metafile), []);
    const inputs = Object.keys(metafile.inputs);
    assert.ok(inputs.includes(WIRE) && inputs.includes(SESSION), `bundled: ${inputs.join(', ')}`);
  });

  test('loads and works in a world without platform, clock, randomness and promises', async () => {
    const { code } = await bundleCore(entryOfCore());
    const world = createBareWorld();
    vm.runInContext(code, world);
    const role = vm.runInContext(
      `core.wire.decodePreface(core.wire.encodePreface(core.wire.Role.Peer)).role`,
      world,
    ) as unknown;
    assert.equal(role, 1);
    assert.equal(vm.runInContext(CONSTRUCT, world), 'answered');
  });
});

describe('the purity test', () => {
  test('notices a module of Node and a file from outside the core', async () => {
    const { metafile } = await bundleCore(`
      import { createHash } from 'node:crypto';
      import { readFileSync } from 'fs';
      export * from './scripts/stages.ts';
      export const values = [createHash, readFileSync];`);
    assert.deepEqual(outsidersOf(metafile), ['fs', 'node:crypto', 'scripts/stages.ts']);
  });

  for (const code of [
    'setTimeout(() => {}, 1)',
    'performance.now()',
    'Date.now()',
    'new Date()',
    'Math.random()',
    'Promise.resolve()',
    'process.hrtime()',
    'Buffer.alloc(1)',
    'console.log(1)',
    'crypto.getRandomValues(new Uint8Array(1))',
    'require("fs")',
  ]) {
    test(`evaluates in a world where ${code} throws`, () => {
      assert.throws(() => {
        vm.runInContext(code, createBareWorld());
      });
    });
  }
});

/** The smallest thing of the core that takes a callback in and hands a request out. */
const CONSTRUCT = `
  const requests = [];
  const book = new core.session.CryptoBook((event) => requests.push(event));
  let result = 'unanswered';
  book.ask({ op: 'macKey' }, () => { result = 'answered'; });
  book.answer(requests[0].id, {});
  result`;

/** The source of an entry that takes in all of the core. */
function entryOfCore(): string {
  for (const path of [WIRE, SESSION])
    assert.ok(existsSync(join(root, path)), `${path} is not there: it exports the core`);
  return `export * as wire from './${WIRE}'; export * as session from './${SESSION}';`;
}

async function bundleCore(contents: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts', sourcefile: 'entry.ts' },
    absWorkingDir: root,
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'core',
    target: 'es2023',
    // Left in as imports, so that the metafile names them; esbuild alone would stop at the first.
    external: ['node:*', ...builtinModules],
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  return { code: outputFiles[0]?.text ?? '', metafile };
}

/** Whatever went into a bundle that is neither wire/ nor session/. */
function outsidersOf(metafile: Metafile): string[] {
  const files = Object.keys(metafile.inputs).filter(
    (path) => path !== 'entry.ts' && !/^packages\/godwit\/src\/(wire|session)\//.test(path),
  );
  const modules = Object.values(metafile.inputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external === true).map(({ path }) => path),
  );
  return [...new Set([...files, ...modules])].sort();
}

/**
 * A fresh set of ECMAScript's built-ins, less those that read a clock, draw at random or wait, plus text encoding: every
 * platform has it, and its result depends on its argument alone.
 */
function createBareWorld(): vm.Context {
  const world = vm.createContext(
    { TextEncoder, TextDecoder },
    { codeGeneration: { strings: false, wasm: false } },
  );
  vm.runInContext(
    `for (const name of ['console', 'WebAssembly', 'Date', 'Promise', 'Atomics', 'SharedArrayBuffer']) delete globalThis[name];
    delete Math.random;`,
    world,
  );
  return world;
}
