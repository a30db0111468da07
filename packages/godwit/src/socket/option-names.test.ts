import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkAllNames, checkOptionNames } from './option-names.ts';

const KNOWN = { keys: 'godwit', delivery: 'godwit', members: 'godwit', noDelay: 'net' } as const;

describe('names of options', () => {
  test('that are known pass, and so do those that resemble none of ours', () => {
    checkOptionNames({ keys: 1, delivery: 1, noDelay: true }, KNOWN);
    checkOptionNames({ cert: 1, requestTimeout: 1, x: 1, nodelay: 1, [Symbol('keys')]: 1 }, KNOWN);
  });

  for (const [given, meant] of [
    ['key', 'keys'],
    ['kesy', 'keys'],
    ['Keys', 'keys'],
    ['delivry', 'delivery'],
    ['dleivery', 'delivery'],
    ['Deliverys', 'delivery'],
    ['member', 'members'],
  ])
    test(`"${given}" is taken for a mistyped "${meant}"`, () => {
      assert.throws(() => checkOptionNames({ [given as string]: 1 }, KNOWN), {
        code: 'ERR_GODWIT_OPTION_UNKNOWN',
        message: `there is no option "${given}": did you mean "${meant}"?`,
      });
    });

  test('two letters off a short name is another name', () => {
    checkOptionNames({ eyes: 1, key1s2: 1 }, KNOWN);
  });

  test('within an option of ours every name must be known', () => {
    checkAllNames('limits', undefined, { maxStateBytes: 1 });
    checkAllNames('limits', { maxStateBytes: 5 }, { maxStateBytes: 1 });
    assert.throws(() => checkAllNames('limits', { maxStateByte: 5 }, { maxStateBytes: 1 }), {
      code: 'ERR_GODWIT_OPTION_UNKNOWN',
      message: 'there is no option "limits.maxStateByte": did you mean "maxStateBytes"?',
    });
    assert.throws(() => checkAllNames('limits', { colour: 5 }, { maxStateBytes: 1, maxSessions: 1 }), {
      code: 'ERR_GODWIT_OPTION_UNKNOWN',
      message: 'there is no option "limits.colour": there are maxStateBytes, maxSessions',
    });
  });
});
