/** A fuzz that fits into a test run, as people start it. The long one is `npm run fuzz`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { FuzzResult } from './engine/run.ts';

const root = dirname(dirname(import.meta.dirname));

test('what the corpus has and a few seconds of search hold every property', async ({ signal }) => {
  // Progress is passed on as it comes: the seed of a run that hangs is the one thing worth having.
  const fuzz = spawn('npm', ['run', '-s', 'fuzz', '--', '--seconds', '8', '--json'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const [output, [code]] = await Promise.all([
    text(fuzz.stdout),
    once(fuzz, 'close') as Promise<[number | null]>,
  ]);
  assert.equal(output.trim().split('\n').length, 1, 'one line');
  const { targets, failures } = JSON.parse(output) as FuzzResult;
  assert.deepEqual(failures, []);
  assert.equal(code, 0);
  const idle = Object.entries(targets).filter(([, { runs }]) => runs === 0);
  assert.deepEqual(idle, [], 'every target has run');
});
