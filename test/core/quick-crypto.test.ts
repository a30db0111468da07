/** Worlds whose cryptography is a checksum go through the same frames as worlds with the real one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import { Delivery, WireCode } from '../../packages/godwit/src/wire/index.ts';
import { QuickCrypto } from '../world/quick-crypto.ts';
import { Scenario } from '../world/scenario.ts';

/** A planned migration, and one from the ticket. */
function transcript(quick: boolean): string[] {
  const scenario = new Scenario({
    delivery: Delivery.Commit,
    ...(quick && { world: { createCrypto: (options) => new QuickCrypto(options) } }),
  });
  scenario.untilReceived(20_000);
  scenario.trigger('b');
  scenario.untilMigrated(1);
  scenario.untilReceived(60_000);
  scenario.world.server('b').kill();
  scenario.finishExactly();
  return scenario.world.transcript;
}

test('a session moves through the same frames, at the same times, whether its proofs are real or checksums', () => {
  const real = transcript(false);
  assert.deepEqual(transcript(true), real);
  assert.ok(real.some((line) => line.endsWith('state')) && real.some((line) => line.endsWith('migrate')));
});

test('a byte that differs fails a proof, a seal and a body made of checksums', () => {
  const ring = KeyRing.generate();
  const crypto = new QuickCrypto({
    ring,
    random: (bytes) => new Uint8Array(bytes).fill(7),
    wallClock: () => 5,
  });
  const data = [Uint8Array.of(1, 2), Uint8Array.of(3)];
  const secret = new Uint8Array(32).fill(1);
  const { mac } = crypto.execute({ op: 'mac', secret, label: 'migrate', data }) as { mac: Uint8Array };
  const verify = (label: 'migrate' | 'accept', changed: Uint8Array[], presented: Uint8Array): unknown =>
    crypto.execute({ op: 'verify', secret, label, data: changed, mac: presented });
  assert.deepEqual(verify('migrate', data, mac), { ok: true });
  assert.deepEqual(verify('accept', data, mac), { ok: false });
  assert.deepEqual(verify('migrate', [Uint8Array.of(1), Uint8Array.of(2, 3)], mac), { ok: false });
  assert.deepEqual(verify('migrate', data, flipped(mac, 3)), { ok: false });

  const plain = {
    sessionId: new Uint8Array(16).fill(2),
    secret,
    epoch: 3,
    k: 4,
    input: 5,
    output: 6,
    inputFinished: false,
    outputFinished: false,
    terminal: false,
    delivery: 0,
    schema: 1,
    service: 'test',
    server: 'a',
    host: 'a',
    port: 1,
    bodyHash: new Uint8Array(32),
    bodyBytes: 0,
    expiresAt: 10,
    state: new Uint8Array(0),
  };
  const state = Uint8Array.of(9, 8, 7);
  const sealed = crypto.execute({ op: 'seal', head: plain, body: state }) as {
    head: Uint8Array;
    body: Uint8Array;
  };
  const opened = crypto.execute({ op: 'open', head: sealed.head }) as { head: typeof plain };
  assert.equal(opened.head.k, 4);
  assert.deepEqual(crypto.execute({ op: 'openBody', head: opened.head, body: sealed.body }), { body: state });
  assert.deepEqual(crypto.execute({ op: 'openBody', head: opened.head, body: flipped(sealed.body, 13) }), {
    body: undefined,
  });
  const refused = (head: Uint8Array): unknown => crypto.execute({ op: 'open', head });
  assert.deepEqual(refused(flipped(sealed.head, 60)), { refused: WireCode.TicketInvalid });
  assert.deepEqual(refused(flipped(sealed.head, 2)), { refused: WireCode.UnknownKey });
  const late = new QuickCrypto({ ring, random: (bytes) => new Uint8Array(bytes), wallClock: () => 10 });
  assert.deepEqual(late.execute({ op: 'open', head: sealed.head }), { refused: WireCode.TicketExpired });
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
}
