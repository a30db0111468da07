import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob, posix, sep } from 'node:path';
import { describe, test } from 'node:test';
import { STAGES } from '../../scripts/stages.ts';
import { checkBans } from './tidy/bans.ts';
import { LINES_MAX, LINES_WARN, checkLength, findDeadFiles } from './tidy/files.ts';
import { checkImports } from './tidy/layers.ts';
import type { Packages } from './tidy/layers.ts';
import { formatViolation, parseSource } from './tidy/source.ts';
import type { Source, Violation } from './tidy/source.ts';

const root = dirname(dirname(import.meta.dirname));

describe('tidy: the sources of this repository', () => {
  const sources = readSources();
  const packages = readPackages();

  test('import only from their own layer and those below', () => {
    assertNone(sources.flatMap((source) => checkImports(source, packages)));
  });

  test('call nothing that is banned', () => {
    assertNone(sources.flatMap(checkBans));
  });

  test(`have at most ${LINES_MAX} lines each`, (t) => {
    const results = sources.map(checkLength);
    for (const warning of results.flatMap((result) => result.warnings)) t.diagnostic(warning);
    assertNone(results.flatMap((result) => result.violations));
  });

  test('are each used by something', () => {
    // The core is an entry of its own: the simulator and the purity test take it without the rest.
    const entries = new Set([...packages.entries, 'packages/godwit/src/session/index.ts']);
    assertNone(findDeadFiles(sources, entries));
  });

  test('have every test file run by exactly one stage', () => {
    const tests = sources.filter(({ path }) => path.endsWith('.test.ts'));
    const runs = tests.map(({ path }) => {
      const stages = STAGES.filter((stage) => stage.patterns.some((pattern) => matchesGlob(path, pattern)));
      return { path, stages: stages.map((stage) => stage.name) };
    });
    assert.deepEqual(
      runs.filter(({ stages }) => stages.length !== 1),
      [],
      'give the folder a stage in scripts/stages.ts',
    );
  });
});

describe('tidy: a planted violation is caught', () => {
  const packages: Packages = {
    entries: new Set(['packages/godwit/src/index.ts', 'packages/godwit/src/browser.ts']),
    optionalPeers: new Set(['ws', '@nats-io/transport-node']),
    commandDependencies: new Set(['pino']),
  };

  const forbiddenImports: readonly (readonly [path: string, code: string])[] = [
    ['wire/frame.ts', `import { assert } from '../session/assert.ts';`],
    ['wire/frame.ts', `import type { Code } from '../errors.ts';`],
    ['wire/frame.ts', `import { crc32 } from 'node:zlib';`],
    ['session/core.ts', `export * from '../crypto/keys.ts';`],
    ['session/core.ts', `type Server = import('../server/server.ts').Server;`],
    ['session/core.ts', `import fc from 'fast-check';`],
    ['carriers/tcp.ts', `import { Socket } from '../client/socket.ts';`],
    ['carriers/tcp.ts', `const { Server } = await import('../server/server.ts');`],
    ['client/connect.ts', `import { Server } from '../server/server.ts';`],
    ['client/connect.ts', `import { connect } from '../index.ts';`],
    ['server/server.ts', `import { Agent } from '../adapters/http.ts';`],
    ['server/server.ts', `import { drain } from '../policy/drain.ts';`],
    ['server/server.ts', `import { helper } from '../../../../test/helper.ts';`],
    ['server/server.ts', `import { helper } from './server.test.ts';`],
    ['carriers/websocket.ts', `import { WebSocket } from 'isomorphic-ws';`],
    ['sundries/things.ts', `import { connect } from '../client/connect.ts';`],
  ];
  for (const [path, code] of forbiddenImports) {
    test(`when the library's ${path} says ${code}`, () => {
      const violations = checkImports(parseSource(`packages/godwit/src/${path}`, `\n${code}`), packages);
      assert.deepEqual(
        violations.map(({ line }) => line),
        [2],
      );
    });
  }

  for (const code of [
    `import { world } from '../../../../test/sim/world.ts';`,
    `import { Session } from '../../../godwit/src/session/index.ts';`,
    `import chalk from 'chalk';`,
  ]) {
    test(`when the command says ${code}`, () => {
      assert.equal(checkImports(parseSource('packages/cli/src/demo/run.ts', code), packages).length, 1);
    });
  }

  test('but an import that points down passes', () => {
    const allowed: readonly (readonly [path: string, code: string])[] = [
      [
        'packages/godwit/src/session/core.ts',
        `import { Frame } from '../wire/index.ts'; import './timers.ts';`,
      ],
      [
        'packages/godwit/src/session/core.test.ts',
        `import fc from 'fast-check'; import test from 'node:test';`,
      ],
      [
        'packages/godwit/src/client/connect.ts',
        `import { tcp } from '../carriers/tcp.ts'; import net from 'node:net';`,
      ],
      ['packages/godwit/src/carriers/websocket.ts', `import { WebSocket } from 'ws';`],
      ['packages/godwit/src/cluster/nats.ts', `import { connect } from '@nats-io/transport-node/deep';`],
      ['packages/godwit/src/adapters/http.ts', `import { connect } from '../client/connect.ts';`],
      ['packages/godwit/src/index.ts', `export { Agent } from './adapters/http.ts';`],
      [
        'packages/cli/src/main.ts',
        `import 'godwit'; import 'godwit/http'; import pino from 'pino'; import './x.ts';`,
      ],
    ];
    for (const [path, code] of allowed) assertNone(checkImports(parseSource(path, code), packages));
  });

  const bannedInCore = [
    `const now = Date.now();`,
    `const now = new Date();`,
    `const now = performance.now();`,
    `const draw = Math.random();`,
    `const key = crypto.getRandomValues(new Uint8Array(16));`,
    `setTimeout(() => {}, 1);`,
    `setInterval(() => {}, 1);`,
    `setImmediate(() => {});`,
    `queueMicrotask(() => {});`,
    `if (process.env.DEBUG) debug();`,
    `const bytes = Buffer.from('x');`,
    `function take(bytes: Buffer): void {}`,
    `interface Keys { agree(): Promise<void> }`,
    `const later = async () => {};`,
    `for await (const frame of frames) take(frame);`,
    `globalThis['setTimeout'](() => {}, 1);`,
    `console.log('x');`,
    `// tidy-allow: a good reason\nconst now = Date.now();`,
  ];
  for (const layer of ['wire', 'session']) {
    for (const code of bannedInCore) {
      test(`when ${layer}/ says ${code.replace('\n', ' ')}`, () => {
        assert.notEqual(checkBans(parseSource(`packages/godwit/src/${layer}/x.ts`, code)).length, 0);
      });
    }
  }

  test('but comments, strings, members and unit tests of the core may name what is banned', () => {
    const innocent = `/** Unlike Date.now() or a Promise. */ export const hint = 'setTimeout';
      interface Options { process: number; Buffer?: string }
      export function take(options: Options, crypto: number): number { return options.process + crypto; }`;
    assertNone(checkBans(parseSource('packages/godwit/src/session/x.ts', innocent)));
    assertNone(
      checkBans(parseSource('packages/godwit/src/session/x.test.ts', bannedInCore.slice(5, 15).join('\n'))),
    );
  });

  const bannedElsewhere: readonly (readonly [path: string, code: string])[] = [
    ['packages/godwit/src/server/x.ts', `const now = Date.now();`],
    ['packages/godwit/src/server/x.ts', `process.exit(1);`],
    ['packages/godwit/src/server/x.ts', `const port = parseInt(text);`],
    ['packages/cli/src/x.ts', `const draw = Math.random();`],
    ['test/chaos/x.ts', `const draw = Math.random();`],
    ['test/sim/x.ts', `setTimeout(() => {}, 1);`],
    ['test/unit/x.test.ts', `test.only('x', () => {});`],
    ['test/unit/x.test.ts', `import assert from 'node:assert';`],
  ];
  for (const [path, code] of bannedElsewhere) {
    test(`when ${path} says ${code}`, () => {
      assert.equal(checkBans(parseSource(path, code)).length, 1);
    });
  }

  test('unless the line, or the one before it, says why outside the core', () => {
    const path = 'packages/godwit/src/crypto/ticket.ts';
    assertNone(
      checkBans(parseSource(path, `// tidy-allow: other servers read the expiry\nconst now = Date.now();`)),
    );
    assertNone(checkBans(parseSource(path, `const now = Date.now(); // tidy-allow: other servers read it`)));
    assert.equal(checkBans(parseSource(path, `const now = Date.now(); // tidy-allow:`)).length, 1);
    assert.equal(
      checkBans(parseSource(path, `f(); // tidy-allow: only this line\nconst now = Date.now();`)).length,
      1,
    );
  });

  test('when a source is too long, with a warning well before', () => {
    const withLines = (path: string, count: number): Source => parseSource(path, 'f();\n'.repeat(count));
    assert.equal(checkLength(withLines('packages/cli/src/x.ts', LINES_MAX + 1)).violations.length, 1);
    assert.equal(checkLength(withLines('packages/cli/src/x.ts', LINES_MAX)).violations.length, 0);
    assert.equal(checkLength(withLines('packages/cli/src/x.ts', LINES_WARN + 1)).warnings.length, 1);
    assert.equal(checkLength(withLines('packages/cli/src/x.ts', LINES_WARN)).warnings.length, 0);
  });

  test('when nothing but a test uses a source', () => {
    const dead = findDeadFiles(
      [
        parseSource('packages/godwit/src/index.ts', `export * from './a.ts';`),
        parseSource('packages/godwit/src/a.ts', `new Worker(new URL('./worker.ts', import.meta.url));`),
        parseSource('packages/godwit/src/worker.ts', ``),
        parseSource('packages/godwit/src/tested.ts', `import './tested.ts';`),
        parseSource(
          'packages/godwit/src/tested.test.ts',
          `import './tested.ts'; import '../../../test/helper.ts';`,
        ),
        parseSource('packages/godwit/src/alone.ts', ``),
        parseSource('packages/cli/src/demo/main.ts', ``),
        parseSource('test/helper.ts', ``),
        parseSource('test/integration/x.test.ts', `spawn('node', ['test/integration/child.ts']);`),
        parseSource('test/integration/child.ts', ``),
        parseSource('test/forgotten.ts', ``),
      ],
      new Set(['packages/godwit/src/index.ts']),
    );
    assert.deepEqual(
      dead.map(({ path }) => path),
      ['packages/godwit/src/tested.ts', 'packages/godwit/src/alone.ts', 'test/forgotten.ts'],
    );
  });
});

function assertNone(violations: readonly Violation[]): void {
  assert.equal(violations.map(formatViolation).join('\n'), '');
}

function readSources(): Source[] {
  const paths = globSync(['packages/*/src/**/*.ts', 'bench/**/*.ts', 'test/**/*.ts'], { cwd: root });
  return paths
    .sort()
    .map((path) => parseSource(path.replaceAll(sep, '/'), readFileSync(join(root, path), 'utf8')));
}

function readPackages(): Packages {
  const library = readManifest('packages/godwit');
  const command = readManifest('packages/cli');
  return {
    entries: new Set([
      ...sourcesNamedIn('packages/godwit', library),
      ...sourcesNamedIn('packages/cli', command),
    ]),
    optionalPeers: new Set(Object.keys(library.peerDependencies ?? {})),
    commandDependencies: new Set(Object.keys(command.dependencies ?? {})),
  };
}

interface Manifest {
  readonly exports?: unknown;
  readonly bin?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;
}

/** The sources that a manifest's `exports` and `bin` name: "./src/index.ts". */
function sourcesNamedIn(folder: string, { exports, bin }: Manifest): string[] {
  const text = JSON.stringify([exports, bin]);
  return [...text.matchAll(/"\.\/(src\/[^"]+\.ts)"/g)].map(([, path]) => posix.join(folder, path ?? ''));
}
