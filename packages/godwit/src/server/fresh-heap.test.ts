import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const source = JSON.stringify(new URL('fresh-heap.ts', import.meta.url).href);

/** Capacity of the young generation, in MiB, before and behind it, in a process that has allocated so much that stays. */
async function freshened(keptMebibytes: number): Promise<{ before: number; after: number; exposed: string }> {
  const program = `
    import { getHeapSpaceStatistics } from 'node:v8';
    const { freshenHeap } = await import(${source});
    const young = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size / 2 ** 20;
    globalThis.kept = [];
    for (let made = 0; made < ${keptMebibytes} * 2 ** 10; made += 1) kept.push(new Array(128).fill({ made }));
    const before = young();
    freshenHeap();
    console.log(JSON.stringify({ before, after: young(), exposed: typeof gc }));`;
  const args = ['--conditions=godwit-source', '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { cwd: import.meta.dirname });
  return JSON.parse(stdout) as { before: number; after: number; exposed: string };
}

test('a server that has loaded little begins with a small young generation', async () => {
  const { before, after, exposed } = await freshened(4);
  assert.ok(before >= 4 && after <= before / 4, `${before} and ${after} MiB`);
  assert.equal(exposed, 'undefined');
});

test('a process with a large heap is left alone: collecting it would take too long', async () => {
  const { before, after } = await freshened(40);
  assert.ok(before >= 4 && after === before, `${before} and ${after} MiB`);
});
