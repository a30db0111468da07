/** `npm run attacks`, as people and programs call it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { FAMILIES } from './attacks.ts';

function run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const main = new URL('main.ts', import.meta.url).pathname;
  return spawnSync(process.execPath, ['--conditions=godwit-source', main, ...args], {
    encoding: 'utf8',
    timeout: 50_000,
  });
}

test('npm run attacks -- --json prints one line, in which nothing succeeded, and the table goes to standard error', () => {
  const { status, stdout, stderr } = run('--json');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^[^\n]+\n$/);
  const result = JSON.parse(stdout) as Record<string, unknown> & { unstoppable: { setting: string }[] };
  const all = Object.values(FAMILIES).flat();
  const unstoppable = all.filter(({ setting }) => setting !== undefined);
  assert.equal(result.attacks, all.length - unstoppable.length);
  assert.equal(result.refused, result.attacks);
  assert.deepEqual(result.succeeded, []);
  assert.equal(result.unstoppable.length, unstoppable.length);
  for (const { name } of all) assert.ok(stderr.includes(name), name);
});

test('with --only it tries some, with a name that there is none of it says so, and --help says how', () => {
  const some = run('--only', 'low order');
  assert.equal(some.status, 0);
  assert.match(some.stdout, /1 attacks, 1 refused, 0 succeeded/);
  assert.equal(run('--only', 'no such attack').status, 2);
  assert.equal(run('--unknown').status, 2);
  assert.match(run('--help').stdout, /^Usage: npm run -s attacks/);
});

test('there are 30 attacks and more, and no two have one name', () => {
  const names = Object.values(FAMILIES)
    .flat()
    .map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.length >= 30);
});
