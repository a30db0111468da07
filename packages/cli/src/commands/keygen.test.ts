/** `godwit keygen`, as a process. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { KeyRing, readKeyFile } from 'godwit';

const program = join(dirname(import.meta.dirname), 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'godwit-keygen-'));
after(() => rmSync(folder, { recursive: true }));

function godwit(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--conditions=godwit-source', program, ...args], { encoding: 'utf8' });
}

test('prints a key, another one each time', () => {
  const [one, two] = [godwit('keygen'), godwit('keygen')];
  assert.equal(one.status, 0, one.stderr);
  assert.doesNotThrow(() => new KeyRing(one.stdout.trim()));
  assert.notEqual(one.stdout, two.stdout);
});

test('writes a file that only its owner can read, and never over one that is there', () => {
  const path = join(folder, 'cluster.keys');
  assert.equal(godwit('keygen', '--out', path).status, 0);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const [key] = readKeyFile(path);
  const again = godwit('keygen', '--out', path);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /there already.*--rotate/);
  assert.deepEqual(readKeyFile(path), [key]);
});

test('rotates a file: the new key in front, the oldest away, comments kept, no key on the terminal', () => {
  const path = join(folder, 'rotated.keys');
  const old = [KeyRing.generateKey(), KeyRing.generateKey()];
  writeFileSync(path, `# chat\n${old.join('\n')}\n`, { mode: 0o600 });
  const { status, stdout, stderr } = godwit('keygen', '--rotate', path, '--keep', '2');
  assert.equal(status, 0, stderr);
  const keys = readKeyFile(path);
  assert.equal(keys.length, 2);
  assert.equal(keys[1], old[0]);
  assert.ok(!old.includes(keys[0] as string));
  assert.match(readFileSync(path, 'utf8'), /^# chat\n/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  for (const key of [...keys, ...old]) assert.ok(!stdout.includes(key) && !stderr.includes(key));
});

test('says what is wrong, and exits with 1', () => {
  const missing = godwit('keygen', '--rotate', join(folder, 'missing.keys'));
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /missing\.keys can not be read/);
  assert.equal(godwit('keygen', '--keep', 'x', '--rotate', join(folder, 'missing.keys')).status, 1);
  assert.match(godwit('keygen', '--help').stdout, /rotate/);
});
