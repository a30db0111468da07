import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findDifference } from './difference.ts';

const expected = Buffer.from('the quick brown fox jumps over the lazy dog');

describe('the first difference', () => {
  for (const [what, actual, offset, kind, bytes] of [
    ['of lost bytes', 'the brown fox jumps over the lazy dog', 4, 'lost', 6],
    ['of a lost end', 'the quick', 9, 'lost', 34],
    ['of a lost last byte', 'the quick brown fox jumps over the lazy do', 42, 'lost', 1],
    ['of an output that never began', '', 0, 'lost', 43],
    ['of duplicated bytes', 'the quick quick brown fox jumps over the lazy dog', 10, 'duplicated', 6],
    ['of a duplicated end', 'the quick brown fox jumps over the lazy dog dog', 43, 'duplicated', 4],
    ['of a corrupt byte', 'the quick brawn fox jumps over the lazy dog', 12, 'corrupt', 1],
    ['of several corrupt bytes', 'the quick b123n fox jumps over the lazy dog', 11, 'corrupt', 3],
    ['of another text', 'THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG', 0, 'corrupt', 43],
    ['of bytes behind the end', `${expected.toString()}!`, 43, 'corrupt', 1],
  ] as const) {
    test(what, () => {
      const difference = findDifference(expected, Buffer.from(actual));
      assert.deepEqual(
        { offset: difference?.offset, kind: difference?.kind, bytes: difference?.bytes },
        { offset, kind, bytes },
      );
      assert.equal(String(difference?.expected), String(expected.subarray(offset, offset + 16)));
      assert.equal(String(difference?.actual), actual.slice(offset, offset + 16));
    });
  }

  test('of what was written from an offset on is named by its offset in the whole', () => {
    assert.equal(findDifference(expected, expected.subarray(10), { start: 10 }), undefined);
    const difference = findDifference(expected, Buffer.from('brown fix jumps'), {
      start: 10,
      isWhole: false,
    });
    assert.deepEqual(
      { ...difference, expected: undefined, actual: undefined },
      {
        offset: 17,
        kind: 'corrupt',
        bytes: 1,
        expected: undefined,
        actual: undefined,
      },
    );
  });

  test('is none in what was stopped in the middle, unless it must be whole', () => {
    const actual = expected.subarray(0, 20);
    assert.equal(findDifference(expected, actual, { isWhole: false }), undefined);
    assert.equal(findDifference(expected, actual)?.offset, 20);
  });

  test('of what was stopped is classified by the bytes there are', () => {
    const lost = findDifference(expected, Buffer.from('the brown'), { isWhole: false });
    assert.deepEqual([lost?.kind, lost?.bytes], ['lost', 6]);
    const doubled = findDifference(expected, Buffer.from('the quick quick'), { isWhole: false });
    assert.deepEqual([doubled?.kind, doubled?.bytes], ['duplicated', 6]);
  });
});
