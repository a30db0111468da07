import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHandler } from 'godwit/testing';
import { countLines } from './line-counter.ts';

test('lines are counted once, wherever the server dies', async () => {
  const report = await checkHandler(countLines, {
    input: 'one\ntwo\nthree\nno fourth',
    crashes: 'every-offset',
    server: { allowHalfOpen: true },
  });
  assert.equal(report.output.toString(), '3 lines\n');
  assert.ok(report.restores > 0);
});
