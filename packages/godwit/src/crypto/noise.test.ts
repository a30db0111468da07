import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../wire/index.ts';
import { createKeyPair, type KeyPair } from './key-agreement.ts';
import { CipherState, NoiseHandshake } from './noise.ts';
import { random } from './random.ts';

interface NoiseVector {
  readonly init_prologue: string;
  readonly init_psks: readonly [string];
  readonly init_ephemeral: string;
  readonly resp_ephemeral: string;
  readonly handshake_hash: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

const { noise } = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/crypto.json', import.meta.url), 'utf8'),
) as { noise: NoiseVector };

function pairOf(hex: string): KeyPair {
  const der = Buffer.concat([fromHex('302e020100300506032b656e04220420'), fromHex(hex)]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const share = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(12);
  return { privateKey, share };
}

const EMPTY = new Uint8Array(0);

describe('the Noise handshake', () => {
  test('speaks as other implementations do', () => {
    const common = { prologue: fromHex(noise.init_prologue), preSharedKey: fromHex(noise.init_psks[0]) };
    const initiator = new NoiseHandshake({
      ...common,
      isInitiator: true,
      ephemeral: pairOf(noise.init_ephemeral),
    });
    const responder = new NoiseHandshake({
      ...common,
      isInitiator: false,
      ephemeral: pairOf(noise.resp_ephemeral),
    });
    const [hello, reply, ...rest] = noise.messages;
    assert.ok(hello && reply);
    assert.equal(toHex(initiator.write(fromHex(hello.payload))), hello.ciphertext);
    assert.equal(toHex(responder.read(fromHex(hello.ciphertext)) as Uint8Array), hello.payload);
    assert.equal(toHex(responder.write(fromHex(reply.payload))), reply.ciphertext);
    assert.equal(toHex(initiator.read(fromHex(reply.ciphertext)) as Uint8Array), reply.payload);
    assert.equal(toHex(initiator.hash), noise.handshake_hash);
    assert.equal(toHex(responder.hash), noise.handshake_hash);
    const [one, two] = [initiator.split(), responder.split()];
    for (const [index, { payload, ciphertext }] of rest.entries()) {
      const [from, to] = index % 2 === 0 ? [one, two] : [two, one];
      assert.equal(toHex(Buffer.concat(from.send.seal(EMPTY, [fromHex(payload)]))), ciphertext);
      assert.equal(toHex(to.receive.open(EMPTY, fromHex(ciphertext)) as Uint8Array), payload);
    }
    assert.equal(rest.length, 4);
  });

  for (const [what, change] of [
    ['another pre-shared key', { preSharedKey: random(32) }],
    ['another prologue', { prologue: random(3) }],
  ] as const) {
    test(`fails with ${what}`, () => {
      const common = { prologue: EMPTY, preSharedKey: new Uint8Array(32) };
      const hello = new NoiseHandshake({ ...common, isInitiator: true }).write(random(10));
      assert.equal(new NoiseHandshake({ ...common, ...change, isInitiator: false }).read(hello), undefined);
    });
  }

  test('refuses a share of low order', () => {
    const common = { prologue: EMPTY, preSharedKey: new Uint8Array(32) };
    const initiator = new NoiseHandshake({ ...common, isInitiator: true });
    initiator.write(EMPTY);
    assert.equal(initiator.read(new Uint8Array(48)), undefined);
    // From somebody who has the pre-shared key.
    const ephemeral = { ...createKeyPair(), share: new Uint8Array(32) };
    const hello = new NoiseHandshake({ ...common, isInitiator: true, ephemeral }).write(EMPTY);
    assert.equal(new NoiseHandshake({ ...common, isInitiator: false }).read(hello), undefined);
  });
});

describe('a cipher state', () => {
  test('opens each message once and in order, and is not put off by others', () => {
    const key = random(32);
    const [sender, receiver] = [new CipherState(key), new CipherState(key)];
    const [first, second] = [1, 2].map((n) => Buffer.concat(sender.seal(EMPTY, [Buffer.from([n])])));
    assert.ok(first && second);
    assert.equal(receiver.open(EMPTY, second), undefined);
    assert.deepEqual([...(receiver.open(EMPTY, first) ?? [])], [1]);
    assert.equal(receiver.open(EMPTY, first), undefined);
    assert.equal(receiver.open(EMPTY, EMPTY), undefined);
    assert.deepEqual([...(receiver.open(EMPTY, second) ?? [])], [2]);
  });

  test('changes its key after so many messages, at both ends alike', () => {
    const key = random(32);
    const [sender, receiver, stale] = [
      new CipherState(key, 3),
      new CipherState(key, 3),
      new CipherState(key),
    ];
    for (let n = 0; n < 10; n += 1) {
      const sealed = Buffer.concat(sender.seal(EMPTY, [Buffer.from([n]), Buffer.from('!')]));
      assert.deepEqual(receiver.open(EMPTY, sealed), Buffer.from([n, 0x21]));
      assert.equal(stale.open(EMPTY, sealed) !== undefined, n < 3);
    }
  });
});
