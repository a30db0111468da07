/** What `npm test` says at its end of what failed: counted, and told once more, since a log's end may be all that is kept. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Counts } from '../../scripts/test-counts.ts';

const REPORTER = join(import.meta.dirname, '../../scripts/test-counts.ts');

const PLANTED = `
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
describe('a group', () => {
  test('passes', () => undefined);
  test('fails', () => assert.equal(1, 2, 'one is not two'));
  test('is skipped', { skip: true }, () => undefined);
  test('is still to be done', { todo: true }, () => assert.fail('not yet'));
});
test('takes for ever', { timeout: 50 }, () => new Promise((resolve) => setTimeout(resolve, 10_000).unref()));
`;

test('a test that fails is counted and named with what it said, and its group is not', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-counts-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'planted.test.mjs'), PLANTED);
  writeFileSync(join(folder, 'empty.test.mjs'), '');
  const output = join(folder, 'counts.json');
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const args = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${output}`];
  const { status } = spawnSync(process.execPath, ['--test', ...args], { cwd: folder, env });
  assert.notEqual(status, 0);

  const { passed, failed, skipped, emptyFiles, failures } = JSON.parse(
    readFileSync(output, 'utf8'),
  ) as Counts;
  assert.deepEqual({ passed, failed, skipped }, { passed: 1, failed: 2, skipped: 2 });
  assert.equal(emptyFiles.length, 1);
  assert.deepEqual(
    failures.map(({ name }) => name),
    ['fails', 'takes for ever'],
  );
  assert.match(failures[0]?.message ?? '', /one is not two[^]*planted\.test\.mjs:6/);
  assert.match(failures[0]?.file ?? '', /planted\.test\.mjs$/);
  assert.match(failures[1]?.message ?? '', /timed out/);
});
