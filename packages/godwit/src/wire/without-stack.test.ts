import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError, WireCode } from './codes.ts';
import { withoutStack } from './without-stack.ts';

const hasFrames = ({ stack }: Error): boolean => /\n +at /.test(stack ?? '');

test('what is made or thrown in it has no stack, and what comes behind it has', () => {
  assert.equal(hasFrames(withoutStack(() => new Error('made'))), false);
  assert.throws(
    () =>
      withoutStack(() => {
        throw new Error('thrown');
      }),
    (error: Error) => error.message === 'thrown' && !hasFrames(error),
  );
  assert.equal(hasFrames(new Error('behind')), true);
});

test('an error for what a peer did wrong has none, and all the rest', () => {
  const error = new ProtocolError(WireCode.LimitExceeded, 'too much', true);
  assert.equal(hasFrames(error), false);
  const { name, message, code, tryElsewhere } = error;
  assert.deepEqual(
    { name, message, code, tryElsewhere },
    { name: 'ProtocolError', message: 'too much', code: 'ERR_GODWIT_LIMIT_EXCEEDED', tryElsewhere: true },
  );
  assert.ok(error instanceof ProtocolError);
  assert.equal(hasFrames(new Error('behind')), true);
});
