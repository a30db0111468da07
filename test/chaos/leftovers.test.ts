/** Nothing stays behind, whatever way a run ends in. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { run } from './commands.ts';
import { FOLDER_PREFIX, cleanLeftovers } from './leftovers.ts';
import { reasonToSkip } from './requirements.ts';

const skip = (await reasonToSkip((line) => console.error(line))) ?? false;

/** Namespaces and folders that are called after a process. */
async function belongingTo(pid: number | undefined): Promise<string[]> {
  const namespaces = (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '');
  return [...namespaces, ...readdirSync(tmpdir())].filter((name) =>
    name.startsWith(`${FOLDER_PREFIX}${pid}-`),
  );
}

function start(file: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, file), ...args], {
    cwd: dirname(dirname(import.meta.dirname)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

test(
  'what a killed run leaves is cleaned up by the next one, a process that stands still included',
  { skip },
  async () => {
    const killed = start('leftover-process.ts');
    const [line] = (await once(createInterface(killed.stdout as NodeJS.ReadableStream), 'line')) as [string];
    const frozen = Number(line);
    assert.equal((await belongingTo(killed.pid)).length, 4);
    // While it lives nobody touches what it has.
    await cleanLeftovers();
    assert.equal((await belongingTo(killed.pid)).length, 4);
    const gone = once(killed, 'exit');
    killed.kill('SIGKILL');
    await gone;
    assert.equal((await belongingTo(killed.pid)).length, 4);
    process.kill(frozen, 0);
    const cleaned = await cleanLeftovers();
    assert.deepEqual(await belongingTo(killed.pid), []);
    assert.equal(cleaned.filter((name) => name.startsWith(`${FOLDER_PREFIX}${killed.pid}-`)).length, 4);
    await assertGone(frozen);
  },
);

test('Ctrl-C ends the run in the middle, and nothing of it stays', { skip }, async () => {
  const chaos = start('main.ts', '--seconds', '60', '--workload', 'requests');
  const lines = createInterface(chaos.stderr as NodeJS.ReadableStream);
  let begun = false;
  for await (const line of lines) {
    if (!line.startsWith('seed ')) continue;
    begun = true;
    break;
  }
  assert.ok(begun);
  const names = await belongingTo(chaos.pid);
  assert.equal(names.length, 6, names.join(' '));
  const pids = (
    await Promise.all(
      names
        .filter((name) => name.endsWith('-s1') || name.endsWith('-c2'))
        .map((name) => run('ip', ['netns', 'pids', name])),
    )
  ).flatMap((text) => text.split('\n').filter(Boolean).map(Number));
  assert.equal(pids.length, 2);
  const exit = once(chaos, 'exit');
  chaos.kill('SIGINT');
  const [code] = (await exit) as [number];
  assert.equal(code, 130);
  assert.deepEqual(await belongingTo(chaos.pid), []);
  for (const pid of pids) await assertGone(pid);
});

/** SIGKILL takes a moment, and so does whoever adopts the process. */
async function assertGone(pid: number): Promise<void> {
  for (const end = performance.now() + 5000; performance.now() < end;) {
    if (!runs(pid)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`process ${pid} still runs`);
}

/** A process that has ended, and that nobody has asked about yet, does not run. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    assert.match((error as NodeJS.ErrnoException).code ?? '', /ENOENT|ESRCH/);
    return false;
  }
}
