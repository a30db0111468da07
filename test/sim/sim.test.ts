import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSavedPlans } from './saved-plans.ts';
import { runPlan, runSeed } from './run-seed.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

test('the same seed gives the same run twice, and another seed another', () => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 20; seed += 1) {
    const first = runSeed(seed).hash;
    assert.equal(runSeed(seed).hash, first, `seed ${seed}`);
    hashes.add(first);
  }
  assert.equal(hashes.size, 20);
});

test('nothing is violated in 5,000 seeds, and they reach everything', () => {
  const json = execFileSync(
    process.execPath,
    ['--conditions=godwit-source', MAIN, '--seeds', '5000', '--threads', '2', '--json'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const result = JSON.parse(json) as { seeds: number; violations: []; unreached: [] };
  assert.deepEqual([result.seeds, result.violations, result.unreached], [5000, [], []]);
});

for (const { name, shows, plan } of readSavedPlans())
  test(`what once failed does no more: ${name}, ${shows}`, () => {
    assert.deepEqual(runPlan(plan).violations, []);
  });

test('a plan that was saved runs as its seed does', () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const direct = runSeed(seed);
    const saved = runPlan(JSON.parse(JSON.stringify(direct.plan)) as typeof direct.plan);
    assert.equal(saved.hash, direct.hash, `seed ${seed}`);
  }
});
