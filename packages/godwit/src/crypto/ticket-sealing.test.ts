import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roomForState, type TicketHead } from '../session/ticket.ts';
import { MAX_TICKET_HEAD_BYTES } from '../wire/index.ts';
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
    terminal: false,
    delivery: 1,
    schema: 0,
    service: '',
    server: 'a',
    host: 'a',
    port: 1,
    bodyHash: new Uint8Array(32),
    bodyBytes: 0,
    expiresAt: 2000,
    state: new Uint8Array(0),
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

for (const [names, head] of [
  ['short names', headOf(1)],
  [
    'the longest names',
    { ...headOf(1), service: 's'.repeat(64), server: 'n'.repeat(64), host: 'h'.repeat(128) },
  ],
  ['names of another alphabet', { ...headOf(1), service: 'сеанс', server: '服务器', host: 'é' }],
] as const)
  test(`a state goes into its head while there is room, and behind it when there is none: ${names}`, () => {
    const sealing = new TicketSealing({ ring: new KeyRing(new Uint8Array(32)), wallClock: () => 1000 });
    let longestInHead = 0;
    for (let length = 0; length <= MAX_TICKET_HEAD_BYTES; length += 1) {
      const state = new Uint8Array(length).fill(length);
      const sealed = sealing.seal(head, state);
      assert.ok(sealed.head.byteLength <= MAX_TICKET_HEAD_BYTES, `${sealed.head.byteLength} bytes`);
      if (sealed.body.byteLength === 0) longestInHead = length;
      const opened = sealing.open(sealed.head);
      assert.ok('head' in opened);
      assert.deepEqual(sealing.openBody(opened.head, sealed.body), state);
      // A body that does not belong to it.
      assert.equal(sealing.openBody(opened.head, new Uint8Array(length + 29)), undefined);
    }
    const room = roomForState(head);
    assert.equal(longestInHead, room);
    assert.equal(room > 200, names !== 'the longest names');
  });
