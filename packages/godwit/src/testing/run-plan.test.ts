import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pieceSizes, planFaults, type Fault, type PlanOptions } from './run-plan.ts';
import { SeededRandom } from './seeded-random.ts';

const SHAPE = { inputBytes: 10, outputBytes: 20, tickets: 3 };
const OPTIONS: PlanOptions = { seed: 1, delivery: 'replay', crashes: 'every-offset', shape: SHAPE, from: 5 };

/** Places of the runs that have one crash, and states exported often. */
function crashed(options: PlanOptions, at: Fault['at']): number[] {
  return planFaults(options)
    .filter(
      ({ cadence, faults }) => cadence === 'often' && faults.length === 1 && faults[0]?.kind === 'crash',
    )
    .flatMap(({ faults }) => faults.filter((fault) => fault.at === at).map(({ offset }) => offset));
}

describe('faults are planned', () => {
  test('at every byte of both streams, at their ends, and at every ticket', () => {
    assert.deepEqual(crashed(OPTIONS, 'input'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(
      crashed(OPTIONS, 'output'),
      Array.from({ length: 22 }, (_, offset) => offset),
    );
    assert.deepEqual(crashed(OPTIONS, 'ticket'), [10, 20, 30]);
  });

  test('at as many places as asked for, spread evenly', () => {
    const options = { ...OPTIONS, crashes: 100, shape: { inputBytes: 0, outputBytes: 100_000, tickets: 0 } };
    const offsets = crashed(options, 'output');
    assert.equal(offsets.length + crashed(options, 'input').length, 100);
    for (let part = 1; part < offsets.length; part += 1) {
      const distance = (offsets[part] as number) - (offsets[part - 1] as number);
      assert.ok(distance > 0 && distance < 2 * 1001, `${distance}`);
    }
  });

  test('with numbers that follow one another, and the same from the same seed', () => {
    const plans = planFaults(OPTIONS);
    assert.deepEqual(
      plans.map(({ number }) => number),
      plans.map((_, index) => 5 + index),
    );
    assert.deepEqual(planFaults(OPTIONS), plans);
    assert.notDeepEqual(planFaults({ ...OPTIONS, seed: 2 }), plans);
  });

  test('with moves, with several faults in a row, and first without any snapshot in replay mode', () => {
    const plans = planFaults(OPTIONS);
    assert.equal(plans[0]?.cadence, 'never');
    assert.ok(plans.some(({ faults }) => faults.length === 1 && faults[0]?.kind === 'move'));
    assert.ok(plans.some(({ faults }) => faults.length > 1));
    assert.ok(planFaults({ ...OPTIONS, delivery: 'commit' }).every(({ cadence }) => cadence !== 'never'));
  });

  test('nowhere, if no crash is asked for', () => {
    assert.deepEqual(planFaults({ ...OPTIONS, crashes: 0 }), []);
  });
});

describe('input is cut', () => {
  const sizes = (chunking: Parameters<typeof pieceSizes>[0], inputBytes: number): number[] => {
    const next = pieceSizes(chunking, inputBytes, new SeededRandom(1));
    return Array.from({ length: 50 }, next);
  };

  test('not at all, into bytes, or as drawn', () => {
    assert.deepEqual(new Set(sizes('as-written', 1000)), new Set([Infinity]));
    assert.deepEqual(new Set(sizes('bytes', 1000)), new Set([1]));
    const drawn = sizes('drawn', 1000);
    assert.ok(Math.min(...drawn) >= 1 && Math.max(...drawn) <= 200 && new Set(drawn).size > 20);
    assert.deepEqual(sizes('drawn', 1000), drawn);
  });

  test('into a bounded number of pieces when it is long', () => {
    assert.deepEqual(new Set(sizes('bytes', 40_960)), new Set([10]));
    assert.ok(sizes('drawn', 1_000_000).reduce((sum, size) => sum + size) > 1_000_000);
  });
});
