import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TicketHead } from '../session/ticket.ts';
import { KeyRing } from './key-ring.ts';
import { TicketSealing } from './ticket-sealing.ts';

/** More than are remembered, former ones included. */
const SESSIONS = 600;

function headOf(number: number): TicketHead {
  const sessionId = new Uint8Array(16);
  new DataView(sessionId.buffer).setUint32(0, number);
  return {
    sessionId,
    secret: new Uint8Array(32),
    epoch: 1,
    k: 1,
    input: 0,
    output: 0,
    inputFinished: false,
    outputFinished: false,
    delivery: 1,
    schema: 0,
    service: '',
    server: 'a',
    host: 'a',
    port: 1,
    bodyHash: new Uint8Array(32),
    bodyBytes: 0,
    expiresAt: 2000,
  };
}

test('tickets open, and are sealed again, whether or not their key is still remembered', () => {
  const ring = new KeyRing(new Uint8Array(32));
  const sealing = new TicketSealing({ ring, wallClock: () => 1000 });
  const state = Uint8Array.of(1, 2, 3);
  const tickets = Array.from({ length: SESSIONS }, (_, number) => sealing.seal(headOf(number), state));
  const elsewhere = new TicketSealing({ ring, wallClock: () => 1000 });
  for (const [number, { head, body }] of tickets.entries())
    for (const opening of [sealing, elsewhere]) {
      const opened = opening.open(head);
      assert.ok('head' in opened);
      assert.deepEqual(opening.openBody(opened.head, body), state);
      const again = opening.seal(headOf(number), state);
      const reopened = sealing.open(again.head);
      assert.ok('head' in reopened);
      assert.deepEqual(sealing.openBody(reopened.head, again.body), state);
    }
});
