/** The soak finds what it looks for. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isSound, runSoak } from './soak.ts';

test('a service that loses, doubles and damages a piece is counted so, in both delivery modes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-planted-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const result = await runSoak({
    runs: 2,
    bytes: 4 * 1024 * 1024,
    seed: 1,
    folder,
    log: (line) => t.diagnostic(line),
    entry: join(import.meta.dirname, 'faulty-server.ts'),
  });
  assert.equal(result.aborted, 0);
  assert.deepEqual(result.incidents, { lost: 2, duplicated: 2, corrupt: 2 });
  assert.ok(result.lost > 0 && result.duplicated > 0 && result.corrupt > 0);
  assert.equal(result.mismatched, 2);
  assert.equal(isSound(result), false);
});
