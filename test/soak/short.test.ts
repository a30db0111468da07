/** A soak that fits into a test run. The long one is `npm run soak`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { test } from 'node:test';

const root = dirname(dirname(import.meta.dirname));

test('six runs of the soak end well', async ({ signal }) => {
  // Its output is passed on as it comes: the seed of a run that hangs is the one thing worth having.
  const soak = spawn('npm', ['run', '-s', 'soak', '--', '--runs', '6'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    signal,
  });
  const [code] = (await once(soak, 'close')) as [number | null];
  assert.equal(code, 0);
});
