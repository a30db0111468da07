/** The soak is a command for pipes: `npm run soak 2>&1 | head`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const root = dirname(dirname(import.meta.dirname));

test('the soak ends when nobody reads its progress, and leaves no file behind', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-closed-output-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const soak = spawn(process.execPath, ['--conditions=godwit-source', 'test/soak/main.ts'], {
    cwd: root,
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: t.signal,
  });
  let stdout = '';
  soak.stdout.on('data', (chunk) => (stdout += String(chunk)));
  soak.stderr.destroy(); // Long before its first line.
  const [code] = (await once(soak, 'close')) as [number | null];
  assert.equal(code, 141);
  assert.equal(stdout, '');
  assert.deepEqual(readdirSync(folder), []);
});
