/** The demo as a visitor runs it, on a small file. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = dirname(dirname(import.meta.dirname));

/** Small enough to be quick, and many times what fits into the buffers on the way. */
const FILE_BYTES = 4 * 1024 * 1024;

describe('npm run demo', () => {
  let folder = '';
  let file = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'godwit-demo-'));
    file = join(folder, 'file.bin');
    await writeFile(
      file,
      Uint8Array.from({ length: FILE_BYTES }, (_, index) => (index * 31 + (index >> 8)) & 0xff),
    );
  });

  after(() => rm(folder, { recursive: true, force: true }));

  test('tells a person what happened', async ({ signal }) => {
    const { stdout } = await run('npm', ['run', '-s', 'demo', '--', file], { cwd: root, signal });
    assert.notEqual(stdout.trim(), '');
  });

  test('with --json prints JSON and nothing else', async ({ signal }) => {
    const { stdout } = await run('npm', ['run', '-s', 'demo', '--', file, '--json'], { cwd: root, signal });
    const documents = parseDocuments(stdout);
    assert.notEqual(documents.length, 0);
    for (const document of documents) assert.equal(typeof document, 'object');
  });
});

/** One document, or one a line. */
function parseDocuments(text: string): unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    return text
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  }
}
