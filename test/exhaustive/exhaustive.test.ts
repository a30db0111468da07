/** The exhaustive run, and that it finds what is wrong. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { MODES, SCRIPTS, modesOf } from '../sim/exhaustive/script.ts';
import { caseName, parseCase, runCase, type Case } from '../sim/exhaustive/run-case.ts';
import { framePlaces, singleFaultsAt } from '../sim/exhaustive/cases.ts';

const MAIN = join(import.meta.dirname, '../sim/main.ts');

for (const script of SCRIPTS)
  for (const { name: mode, delivery } of modesOf(script))
    test(`without a fault, ${script.name} restores the session as it says (${mode})`, () => {
      const outcome = runCase({ script, delivery, faults: [] });
      assert.deepEqual(outcome.violations, []);
      assert.deepEqual(outcome.sources, script.shows);
    });

test('a case that is run again by its name strikes at the same place, and comes to the same end', () => {
  const [script] = SCRIPTS.filter(({ name }) => name === 'origin');
  assert.ok(script);
  const reference = runCase({ script, delivery: MODES[1].delivery, faults: [] });
  const faults = framePlaces(reference.tap).flatMap(singleFaultsAt);
  for (const fault of faults.filter((_, i) => i % 29 === 0)) {
    const subject: Case = { script, delivery: MODES[1].delivery, faults: [fault] };
    const first = runCase(subject);
    const again = runCase(parseCase(caseName(subject)));
    assert.equal(first.tap.struck.length, 1, caseName(subject));
    assert.deepEqual(
      [again.sources, again.tap.boundaries, again.tap.struck],
      [first.sources, first.tap.boundaries, first.tap.struck],
    );
  }
});

test('no fault at any place of a small exchange, once or twice, violates anything', () => {
  const json = execFileSync(
    process.execPath,
    ['--conditions=godwit-source', MAIN, '--exhaustive', '--threads', '2', '--json'],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const result = JSON.parse(json) as { cases: number; pairs: number; violations: []; unreached: [] };
  assert.deepEqual([result.violations, result.unreached], [[], []]);
  assert.ok(result.cases > 25_000 && result.pairs > 5000, json.slice(0, 200));
});
