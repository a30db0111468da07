/** The benchmarks at their smallest: that they work, and that no figure is grossly worse than it was. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { CATALOG } from '../../bench/catalog.ts';
import type { Outcome } from '../../bench/harness/bench.ts';

const main = join(dirname(dirname(import.meta.dirname)), 'bench/main.ts');

/** `--quick` promises 180 s of a machine that does nothing else; others get half as much again. */
const LIMIT_MS = 270_000;

test('every figure is within its gross limit, and all take little more than 180 s', async (t) => {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [main, '--quick', '--check', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: t.signal,
  });
  const [output, progress, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ]);
  const tookMs = performance.now() - startedMs;
  assert.equal(code, 0, progress);
  assert.equal(output.split('\n').length, 2, 'one line');

  const outcomes = JSON.parse(output) as Record<string, Outcome>;
  assert.deepEqual(Object.keys(outcomes), Object.keys(CATALOG));
  for (const [name, outcome] of Object.entries(outcomes)) {
    if ('skipped' in outcome) {
      t.diagnostic(`${name} is skipped: ${String(outcome.skipped)}`);
      continue;
    }
    const { ratio, godwit, net, spread, pairs } = outcome;
    t.diagnostic(`${name} ${ratio} (${spread[0]} … ${spread[1]})`);
    for (const value of [ratio, godwit, net, ...spread])
      assert.ok(Number.isFinite(value), `${name}: ${value}`);
    assert.ok(pairs >= 3, name);
  }
  assert.ok(tookMs < LIMIT_MS, `took ${(tookMs / 1000).toFixed(0)} s`);
});
