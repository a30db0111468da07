import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

const PAIRS = 4;

/** Buffers of 64 KiB, as a stream reads them, many times what V8 collects at once; prints the page faults of the second half. */
const CHURN = `
  const rounds = 12_000;
  let faultsBefore = 0;
  for (let round = 0; round < 2 * rounds; round += 1) {
    if (round === rounds) faultsBefore = process.resourceUsage().minorPageFault;
    Buffer.allocUnsafeSlow(64 * 1024).fill(1);
    if (round % 100 === 0) await new Promise(setImmediate);
  }
  console.log(process.resourceUsage().minorPageFault - faultsBefore);
`;

async function faultsOf(before: string): Promise<number> {
  const args = ['--conditions=godwit-source', '--input-type=module', '--eval', `${before}\n${CHURN}`];
  const { stdout } = await run(process.execPath, args, { cwd: import.meta.dirname });
  return Number(stdout);
}

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };

test('a process that keeps what V8 frees faults it in once, and not again and again', async (context) => {
  if (header.glibcVersionRuntime === undefined) {
    context.skip('this system has another allocator than that of glibc, which is left alone');
    return;
  }
  const source = JSON.stringify(new URL('freed-memory.ts', import.meta.url).href);
  // What lies on top of the heap when V8 frees is chance, more so where it is disturbed: one of several pairs has to show it.
  const pairs: string[] = [];
  let isShown = false;
  while (!isShown && pairs.length < PAIRS) {
    const keeping = await faultsOf(`const { keepFreedMemory } = await import(${source}); keepFreedMemory();`);
    const usual = await faultsOf('');
    isShown = keeping < usual / 2;
    pairs.push(`${keeping} page faults, and ${usual} without`);
  }
  context.diagnostic(pairs.join('; '));
  assert.ok(isShown, pairs.join('; '));
});
