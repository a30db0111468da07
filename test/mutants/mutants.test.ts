/** The simulator and the exhaustive run find deliberate faults of the core; and they can miss one. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Bundler } from '../sim/mutants/bundle.ts';
import { MUTANTS } from '../sim/mutants/index.ts';
import type { runJob as runJobOf } from '../sim/exhaustive/job.ts';
import { mutant, type Mutant } from '../sim/mutants/mutant.ts';
import { runSubject } from '../sim/mutants/run-mutant.ts';

const MAIN = join(import.meta.dirname, '../sim/mutants/main.ts');

/** The origin goes on by itself while another server has its session. */
const THAWS = MUTANTS.find(({ name }) => name === 'frozen-session-thaws-by-itself') as Mutant;

test('every mutant is caught by a checker, and the core as it is passes what shows them', () => {
  const json = execFileSync(process.execPath, ['--conditions=godwit-source', MAIN, '--json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.equal(json.trim().split('\n').length, 1);
  const { mutants, caught, survived } = JSON.parse(json) as {
    mutants: number;
    caught: number;
    survived: string[];
  };
  assert.deepEqual(survived, []);
  assert.equal(caught, mutants);
  assert.ok(mutants >= 30, `${mutants} mutants`);
});

test('a change that breaks nothing survives', async () => {
  const harmless = mutant(
    'harmless',
    [],
    'it would break nothing',
    'session/limits.ts',
    'raceStaggerMs: 100,',
    'raceStaggerMs: 101,',
  );
  const bundler = await Bundler.create('test/sim/mutants/subject.ts', 'cjs');
  try {
    const { signal } = new AbortController();
    const code = await bundler.bundle(harmless);
    assert.equal(await runSubject(code, [{ type: 'seeds', from: 1, count: 3 }], signal), undefined);
    const broken = await bundler.bundle(THAWS);
    const caught = await runSubject(broken, [{ type: 'seeds', from: 1, count: 30 }], signal);
    assert.equal(caught?.checker, 'I5');
  } finally {
    await bundler.dispose();
  }
});

test('a mutant whose text the sources no longer have is no mutant', async () => {
  const bundler = await Bundler.create('test/sim/mutants/subject.ts', 'cjs');
  try {
    const lost = mutant('lost', [], 'none', 'session/limits.ts', 'no such text', '');
    await assert.rejects(bundler.bundle(lost), /matches 0 times/);
  } finally {
    await bundler.dispose();
  }
});

test('the commands of the simulator and of the exhaustive run fail when the core is broken', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-mutants-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const bundle = async (entry: string, name: string): Promise<string> => {
    const bundler = await Bundler.create(entry, 'esm');
    try {
      const file = join(folder, name);
      writeFileSync(file, await bundler.bundle(THAWS));
      return file;
    } finally {
      await bundler.dispose();
    }
  };
  const main = await bundle('test/sim/main.ts', 'main.mjs');
  const run = (...args: string[]): { status: number | null; violations: { checker: string }[] } => {
    const { status, stdout } = spawnSync(process.execPath, [main, '--json', ...args], { encoding: 'utf8' });
    return { status, violations: (JSON.parse(stdout) as { violations: { checker: string }[] }).violations };
  };
  for (const args of [
    ['--exhaustive', '--case', 'origin/replay'],
    ['--seed', '1'],
  ]) {
    const { status, violations } = run(...args);
    assert.equal(status, 1);
    assert.ok(
      violations.some(({ checker }) => checker === 'I5'),
      JSON.stringify(violations),
    );
  }

  // And the work that the exhaustive run hands to its threads names every case that shows it.
  const { runJob } = (await import(
    pathToFileURL(await bundle('test/sim/exhaustive/job.ts', 'job.mjs')).href
  )) as { runJob: typeof runJobOf };
  const tally = runJob({ script: 'thaw', mode: 'replay', depth: 'short', part: 0 });
  assert.ok(tally.violations.length > 0);
  assert.match(tally.violations[0]?.case ?? '', /^thaw\/replay/);
});
