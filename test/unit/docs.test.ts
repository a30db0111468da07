/** The documents hold what they promise: links lead somewhere, and what they name exists, both ways. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { DEFAULT_HALF_OPEN_LIMITS } from '../../packages/godwit/src/server/half-open.ts';
import { DEFAULT_GATE_LIMITS } from '../../packages/godwit/src/server/preface-gate.ts';
import {
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
} from '../../packages/godwit/src/session/index.ts';
import { makeSections } from '../../scripts/frame-tables.ts';
import { STAGES } from '../../scripts/stages.ts';

const root = dirname(dirname(import.meta.dirname));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const list = (pattern: string): string[] =>
  globSync(pattern, { cwd: root, exclude: (name) => name === 'node_modules' || name === 'dist' }).sort();

const documents = [...list('*.md'), ...list('docs/*.md'), ...list('examples/*.md')].map((path) => ({
  path,
  text: read(path),
}));
const sources = [
  ...list('packages/*/src/**/*.ts'),
  ...list('bench/**/*.ts'),
  ...list('test/**/*.ts'),
  ...list('scripts/*.ts'),
  ...list('examples/*.ts'),
].map((path) => ({ path, text: read(path) }));
const protocol = read('docs/protocol.md');

test('there are documents and sources to look at', () => {
  assert.ok(documents.length >= 6, `${documents.length} documents`);
  assert.ok(sources.length >= 100, `${sources.length} sources`);
});

describe('a link', () => {
  for (const { path, text } of documents) {
    test(`of ${path} leads to a file, and to a heading in it`, () => {
      const broken = linksOf(text).filter(({ file, anchor }) => {
        const target = file === '' ? path : relative(root, join(root, dirname(path), file));
        if (!existsSync(join(root, target))) return true;
        return anchor !== '' && !anchorsOf(read(target)).has(anchor);
      });
      assert.deepEqual(broken, []);
    });
  }

  test('to nowhere is noticed', () => {
    const text =
      '# A `0x01` heading\n[a](x.md#b) [c](#a-0x01-heading) `[no](link)` [web](https://example.org/)';
    assert.deepEqual(linksOf(text), [
      { file: 'x.md', anchor: 'b' },
      { file: '', anchor: 'a-0x01-heading' },
    ]);
    assert.deepEqual([...anchorsOf(text)], ['a-0x01-heading']);
  });
});

describe('docs/protocol.md', () => {
  const sections = new Set([...protocol.matchAll(/^#{2,3} (\d+(?:\.\d+)?) /gm)].map(([, number]) => number));

  test('numbers its sections without a gap', () => {
    const numbers = [...sections].map((number) => String(number).split('.').map(Number));
    let [chapter, section] = [0, 0];
    for (const [first, second] of numbers) {
      const follows =
        second === undefined
          ? first === chapter + 1 && second === undefined
          : first === chapter && second === section + 1;
      assert.ok(follows, `§${first}.${second ?? ''} follows §${chapter}.${section}`);
      [chapter, section] = [first as number, second ?? 0];
    }
  });

  test('has every section that the sources cite', () => {
    const missing = sources.flatMap(({ path, text }) =>
      citationsOf(text)
        .filter((number) => !sections.has(number))
        .map((number) => `${path} cites §${number}`),
    );
    assert.deepEqual(missing, []);
  });

  test('has every section that the documents cite', () => {
    const ownText = protocol
      .split('\n')
      .filter((line) => !/paper/i.test(line))
      .join('\n')
      .replace(/^\| §.*$/gm, '');
    const missing = [...ownText.matchAll(/(?<!RFC \d+, )§(\d+(?:\.\d+)?)/g)]
      .map(([, number]) => number)
      .filter((number) => !sections.has(number));
    assert.deepEqual(missing, []);
  });

  test('has every limit in §12 and every timer in §13, with its default', () => {
    const tables: readonly (readonly [chapter: number, heading: string, settings: object])[] = [
      [12, '12.2', DEFAULT_CLIENT_LIMITS],
      [12, '12.3', { ...DEFAULT_SERVER_LIMITS, ...DEFAULT_GATE_LIMITS, ...DEFAULT_HALF_OPEN_LIMITS }],
      [13, '13.1', DEFAULT_CLIENT_TIMERS],
      [13, '13.2', DEFAULT_SERVER_TIMERS],
    ];
    for (const [chapter, heading, settings] of tables) {
      const text = sectionOf(protocol, chapter).split(`### ${heading} `)[1]?.split('\n### ')[0] ?? '';
      const missing = Object.entries(settings)
        .map(([name, value]) => `| \`${name}\` | ${(value as number).toLocaleString('en-US')} | `)
        .filter((row) => !text.includes(row));
      assert.deepEqual(missing, [], `§${heading}`);
    }
  });

  test('has a place for every table that is made', () => {
    const made = Object.keys(makeSections());
    assert.deepEqual(
      made.filter((name) => !protocol.includes(`<!-- ${name}:begin -->`)),
      [],
    );
  });

  test('names every code of the sources in §11, and no other', () => {
    const own = sources.filter(({ path }) => /^packages\/godwit\/src\/.*(?<!\.test)\.ts$/.test(path));
    const used = codesIn(own.map(({ text }) => text).join('\n'));
    const listed = codesIn(sectionOf(protocol, 11));
    assert.deepEqual(listed, used);
  });

  test('names, for each invariant, tests that exist', () => {
    const names = sources
      .filter(({ path }) => path.endsWith('.test.ts'))
      .map(({ text }) => text)
      .join('\n');
    const chapter = sectionOf(protocol, 15);
    for (const [number, text] of invariantsOf(chapter)) {
      const tests = [...text.matchAll(/“([^”]+)”/gs)].map(([, name]) => String(name).replace(/\s+/g, ' '));
      assert.ok(tests.length > 0, `I${number} names no test`);
      for (const name of tests) assert.ok(names.includes(name), `I${number}: there is no test “${name}”`);
    }
    assert.deepEqual([...invariantsOf(chapter).keys()], [1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe('the codes of the documents', () => {
  const listed = new Set(codesIn(sectionOf(protocol, 11)));
  for (const { path, text } of documents) {
    test(`that ${path} names exist`, () => {
      assert.deepEqual(
        codesIn(text).filter((code) => !listed.has(code)),
        [],
      );
    });
  }
});

describe('the commands of the documents', () => {
  const scripts = new Set(Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts));
  for (const { path, text } of documents) {
    test(`that ${path} names exist`, () => {
      const named = [...text.matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g)].map(([, name]) => String(name));
      assert.deepEqual(
        named.filter((name) => !scripts.has(name)),
        [],
      );
      const stages = new Set(STAGES.map(({ name }) => name));
      const staged = [...text.matchAll(/npm test -- ([a-z]+)\b(?!\/)/g)].map(([, name]) => String(name));
      assert.deepEqual(
        staged.filter((name) => !stages.has(name)),
        [],
      );
    });
  }
});

describe('the paths of the documents', () => {
  for (const { path, text } of documents) {
    test(`that ${path} names exist`, () => {
      const named = [...text.matchAll(/`((?:packages|bench|test|scripts|docs|examples)\/[\w./-]+)`/g)].map(
        ([, name]) => String(name),
      );
      const built = /^(?:docs\/api|packages\/godwit\/dist|bench\/results)\b/;
      assert.deepEqual(
        named.filter((name) => !built.test(name) && !existsSync(join(root, name))),
        [],
      );
    });
  }
});

/** Links within the repository, outside of code. */
function linksOf(text: string): { readonly file: string; readonly anchor: string }[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`(?!\])/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => String(target))
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', anchor = ''] = target.split('#');
      return { file, anchor };
    });
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)];
  return new Set(
    headings.map(([, heading]) =>
      String(heading)
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** `protocol.md §7.2, §7.3` cites two sections. */
function citationsOf(text: string): string[] {
  return [...text.matchAll(/protocol\.md((?:,? (?:and )?§\d+(?:\.\d+)?)+)/g)].flatMap(([, cited]) =>
    [...String(cited).matchAll(/§(\d+(?:\.\d+)?)/g)].map(([, number]) => String(number)),
  );
}

/** A prefix of codes, as types name it, is none of them. */
function codesIn(text: string): string[] {
  return [...new Set([...text.matchAll(/ERR_GODWIT_[A-Z_]*[A-Z](?!_\$)\b/g)].map(([code]) => code))].sort();
}

function sectionOf(text: string, chapter: number): string {
  return text.split(`\n## ${chapter} `)[1]?.split('\n## ')[0] ?? '';
}

function invariantsOf(chapter: string): Map<number, string> {
  const parts = chapter.split(/^### (?:\d+\.\d+ )?I(\d)\b/m).slice(1);
  return new Map(
    parts.flatMap((part, index) => (index % 2 === 0 ? [[Number(part), parts[index + 1] ?? '']] : [])),
  );
}
