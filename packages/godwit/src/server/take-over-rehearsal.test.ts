import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { TcpTransport } from '../carriers/tcp.ts';
import { Server } from './server.ts';
import { pauseRehearsal, rehearseTakeOver, type CreateServer } from './take-over-rehearsal.ts';

const createServer: CreateServer = (options, onSession) => new Server(options, onSession);

test('a rehearsal moves a session that writes, from servers that live and from dead ones, back and forth', async () => {
  assert.equal(await rehearseTakeOver(createServer), true);
});

test('a rehearsal stands still while a client attaches, and goes on behind it', async () => {
  let sessions = 0;
  const counting: CreateServer = (options, onSession) =>
    new Server(options, (socket) => {
      sessions += 1;
      onSession(socket);
    });
  pauseRehearsal(new TcpTransport());
  const play = rehearseTakeOver(counting);
  await setTimeout(50);
  assert.equal(sessions, 0);
  assert.equal(await play, true);
  assert.ok(sessions > 1);
});
