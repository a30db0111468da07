import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { KeyRing, MAX_KEYS } from './key-ring.ts';

describe('a key ring', () => {
  test('takes a key as bytes, hexadecimal and base64 of either alphabet', () => {
    const key = randomBytes(32);
    const { idText } = new KeyRing(key).newest;
    for (const text of ['hex', 'base64', 'base64url'] as const) {
      assert.equal(new KeyRing(` ${key.toString(text)}\n`).newest.idText, idText);
    }
    assert.equal(new KeyRing([key.toString('hex').toUpperCase(), key]).keys.length, 1);
    assert.equal(KeyRing.from(key).newest.idText, idText);
    const ring = KeyRing.generate();
    assert.equal(KeyRing.from(ring), ring);
  });

  test('keeps its own copy of a key', () => {
    const key = randomBytes(32);
    const text = key.toString('hex');
    const ring = new KeyRing(key);
    key.fill(0);
    assert.ok(ring.newest.equals(new KeyRing(text).newest));
  });

  test('refuses what is no key, without quoting it', () => {
    const nearly = randomBytes(32).toString('hex').slice(1);
    for (const bad of ['', nearly, randomBytes(31), randomBytes(33), 'x'.repeat(44), 7 as never]) {
      assert.throws(
        () => new KeyRing(bad),
        (error: Error) => error instanceof TypeError && !error.message.includes(nearly),
      );
    }
    assert.throws(() => new KeyRing([]), RangeError);
  });

  test('never shows a secret, however it is printed', () => {
    const key = randomBytes(32);
    const ring = new KeyRing([key, randomBytes(32)]);
    const shown = [
      inspect(ring, { showHidden: true, depth: 9 }),
      inspect(ring.newest, { showHidden: true, depth: 9, customInspect: false }),
      JSON.stringify({ ring, key: ring.newest }),
      JSON.stringify(Object.entries(ring.newest)),
    ].join('\n');
    for (const encoding of ['hex', 'base64', 'base64url', 'latin1'] as const) {
      assert.ok(!shown.includes(key.toString(encoding)), encoding);
    }
    assert.ok(!shown.includes([...key].join(',')));
    assert.ok(shown.includes(ring.newest.idText));
  });

  test('seals with the first key; an accepted one waits for its rotation', () => {
    const ring = KeyRing.generate();
    const old = ring.newest.idText;
    const next = randomBytes(32);
    let changes = 0;
    const unsubscribe = ring.subscribe(() => (changes += 1));
    const id = ring.accept(next);
    assert.equal(ring.newest.idText, old);
    assert.equal(ring.rotate(next), id);
    assert.equal(ring.newest.idText, id);
    assert.equal(ring.keys.length, 2);
    assert.throws(() => ring.retire(id), RangeError);
    assert.equal(ring.retire(old), true);
    assert.equal(ring.retire(old), false);
    assert.equal(changes, 3);
    unsubscribe();
    ring.accept(randomBytes(32));
    assert.equal(changes, 3);
  });

  test('is bounded', () => {
    const ring = KeyRing.generate();
    for (let keys = 1; keys < MAX_KEYS; keys += 1) ring.accept(randomBytes(32));
    assert.throws(() => ring.accept(randomBytes(32)), RangeError);
    assert.throws(() => ring.rotate(randomBytes(32)), RangeError);
    assert.equal(ring.keys.length, MAX_KEYS);
  });
});
