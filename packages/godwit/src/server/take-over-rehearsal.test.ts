import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from './server.ts';
import { rehearseTakeOver } from './take-over-rehearsal.ts';

test('a rehearsal moves a session that writes from a dead server to another, all of its output in order', async () => {
  assert.equal(await rehearseTakeOver((options, onSession) => new Server(options, onSession)), true);
});
