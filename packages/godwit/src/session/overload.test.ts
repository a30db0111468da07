import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { overloadPolicy, type Relief, type ServerLoad } from './overload.ts';

const QUIET: ServerLoad = {
  sessions: 10,
  plain: 0,
  memoryBytes: 0,
  maxMemoryBytes: 1000,
  halfOpen: 0,
  maxHalfOpen: 100,
  eventLoopDelayMs: 0,
};

/** What is answered to one load after the other. */
function course(
  policy: ReturnType<typeof overloadPolicy>,
  ...loads: readonly Partial<ServerLoad>[]
): readonly Relief[] {
  let before: Relief = 'none';
  return loads.map((load) => (before = policy.judge({ ...QUIET, ...load }, before)));
}

describe('the default policy', () => {
  test('sheds before it refuses, and refuses before it ends anything', () => {
    const loads = [0, 499, 500, 749, 750, 999, 1000].map((memoryBytes) => ({ memoryBytes }));
    assert.deepEqual(course(overloadPolicy(), ...loads), [
      'none',
      'none',
      'shed',
      'shed',
      'refuse',
      'refuse',
      'end',
    ]);
  });

  test('ends no session because of peers that have settled nothing', () => {
    const loads = [49, 50, 75, 100].map((halfOpen) => ({ halfOpen }));
    assert.deepEqual(course(overloadPolicy(), ...loads), ['none', 'shed', 'refuse', 'refuse']);
  });

  test('takes a step back only well below its mark, one after the other', () => {
    const loads = [1000, 801, 799, 601, 599, 401, 399].map((memoryBytes) => ({ memoryBytes }));
    assert.deepEqual(course(overloadPolicy(), ...loads), [
      'end',
      'end',
      'refuse',
      'refuse',
      'shed',
      'shed',
      'none',
    ]);
  });

  test('minds the event loop only where it is told to', () => {
    const loads = [99, 100, 200, 161, 150, 70].map((eventLoopDelayMs) => ({ eventLoopDelayMs }));
    const policy = overloadPolicy({ eventLoopDelayMs: 100 });
    assert.equal(policy.measuresEventLoop, true);
    assert.deepEqual(course(policy, ...loads), ['none', 'shed', 'refuse', 'refuse', 'shed', 'none']);
    assert.equal(overloadPolicy().measuresEventLoop, false);
    assert.deepEqual(course(overloadPolicy(), { eventLoopDelayMs: 10_000 }), ['none']);
  });

  test('knows no memory limit of 0', () => {
    assert.deepEqual(course(overloadPolicy(), { memoryBytes: 1e12, maxMemoryBytes: 0 }), ['none']);
  });

  test('refuses shares that make no sense', () => {
    for (const options of [{ shedAt: 0 }, { shedAt: 0.9 }, { refuseAt: 1.1 }, { shedAt: NaN }])
      assert.throws(() => overloadPolicy(options), RangeError);
  });
});
