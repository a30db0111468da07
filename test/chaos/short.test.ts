/** A chaos run that fits into a test run. The long one is `npm run chaos`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { FAULT_KINDS } from './faults.ts';
import { reasonToSkip } from './requirements.ts';
import type { ChaosResult } from './result.ts';

const root = dirname(dirname(import.meta.dirname));
const skip = (await reasonToSkip((line) => console.error(line))) ?? false;

test('half a minute of chaos harms no byte, no session and no side effect', { skip }, async ({ signal }) => {
  // Its progress is passed on as it comes: the seed of a run that hangs is the one thing worth having.
  const chaos = spawn('npm', ['run', '-s', 'chaos', '--', '--seconds', '30', '--json'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const [output, [code]] = await Promise.all([
    text(chaos.stdout),
    once(chaos, 'close') as Promise<[number | null]>,
  ]);
  assert.equal(code, 0);
  const lines = output.trimEnd().split('\n');
  assert.equal(lines.length, 1);
  const result = JSON.parse(lines[0] ?? '') as ChaosResult;
  const { lost, duplicated, corrupt, aborted, effects } = result;
  assert.deepEqual(
    { lost, duplicated, corrupt, aborted },
    { lost: 0, duplicated: 0, corrupt: 0, aborted: 0 },
  );
  assert.equal(effects.doubled + effects.missing + effects.mismatched, 0);
  for (const kind of FAULT_KINDS) assert.ok((result.faults[kind] ?? 0) >= 1, kind);
  assert.ok(result.sessions > 200 && result.migrations > 0);
});
