import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rehearse } from './rehearsal.ts';

test('a rehearsal opens a session, moves it by its ticket and closes it in order', () => {
  assert.equal(rehearse(), true);
});
