import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Sha256 } from './sha256.ts';

function nativeSha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('the SHA-256 that can move', () => {
  test('agrees with node:crypto at every length around the edges of a block', () => {
    for (let length = 0; length <= 200; length++) {
      const bytes = Buffer.alloc(length, length);
      assert.equal(new Sha256().update(bytes).digest(), nativeSha256(bytes), `${length} bytes`);
    }
  });

  test('agrees with node:crypto however the input is cut, its state exported and taken up at each cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (pieces) => {
        let hash = new Sha256();
        for (const piece of pieces) hash = Sha256.fromState(hash.update(piece).exportState());
        const whole = Buffer.concat(pieces);
        assert.equal(hash.digest(), nativeSha256(whole));
        assert.equal(hash.length, whole.length);
      }),
    );
  });

  test('goes on after a digest was taken', () => {
    const hash = new Sha256().update(Buffer.from('god'));
    assert.equal(hash.digest(), nativeSha256(Buffer.from('god')));
    assert.equal(hash.update(Buffer.from('wit')).digest(), nativeSha256(Buffer.from('godwit')));
  });

  test('refuses a state of another length', () => {
    assert.throws(() => Sha256.fromState(new Uint8Array(103)), RangeError);
  });
});
