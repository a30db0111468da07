import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createKeyPair } from '../crypto/key-agreement.ts';
import { KeyRing } from '../crypto/key-ring.ts';
import {
  ProtocolError,
  Role,
  WireCode,
  concatBytes,
  encodePreface,
  type ServerAddress,
} from '../wire/index.ts';
import { MAX_RECORD_PLAINTEXT_BYTES, PeerChannel } from './peer-channel.ts';

const ring = KeyRing.generate();
const ALICE: ServerAddress = { name: 'alice', host: '10.0.0.1', port: 7000 };
const BOB: ServerAddress = { name: 'bob', host: '10.0.0.2', port: 7000 };

const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const output = (channel: PeerChannel): Uint8Array => concatBytes(channel.takeOutput());

function createPair(rekeyMessages?: number): { alice: PeerChannel; bob: PeerChannel } {
  return {
    alice: PeerChannel.initiate({ ring, self: ALICE, rekeyMessages }, 'bob'),
    bob: PeerChannel.respond({ ring, self: BOB, rekeyMessages }),
  };
}

function open(rekeyMessages?: number): { alice: PeerChannel; bob: PeerChannel } {
  const pair = createPair(rekeyMessages);
  pair.bob.receive(output(pair.alice));
  pair.alice.receive(output(pair.bob));
  pair.bob.receive(output(pair.alice));
  return pair;
}

function refuses(code: WireCode, action: () => unknown): void {
  assert.throws(action, (error) => error instanceof ProtocolError && error.wireCode === code);
}

describe('a peer channel', () => {
  test('opens on both sides once each has proved the key, and each knows the other', () => {
    const { alice, bob } = createPair();
    bob.receive(output(alice));
    assert.equal(bob.isOpen, false, 'HELLO may be a replay');
    assert.equal(bob.peer, undefined);
    alice.receive(output(bob));
    assert.equal(alice.isOpen, true);
    assert.deepEqual(alice.peer, BOB);
    bob.receive(output(alice));
    assert.equal(bob.isOpen, true);
    assert.deepEqual(bob.peer, ALICE);
  });

  test('carries records both ways, however they are cut up', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 200 })),
        (messages, sizes) => {
          const { alice, bob } = createPair(4);
          const received: Uint8Array[] = [];
          const transfer = (to: PeerChannel, bytes: Uint8Array): void => {
            for (let at = 0; at < bytes.byteLength;) {
              const size = sizes.next().value as number;
              received.push(...to.receive(bytes.subarray(at, at + size)));
              at += size;
            }
          };
          transfer(bob, output(alice));
          transfer(alice, output(bob));
          transfer(
            bob,
            concatBytes([output(alice), ...messages.flatMap((message) => alice.seal([message]))]),
          );
          assert.deepEqual(Buffer.concat(received), Buffer.concat(messages));
          received.length = 0;
          transfer(alice, concatBytes(messages.flatMap((message) => bob.seal([message, bytesOf('.')]))));
          assert.deepEqual(received.length, messages.length);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('carries records of the largest size', () => {
    const { alice, bob } = open();
    const plaintext = new Uint8Array(MAX_RECORD_PLAINTEXT_BYTES).fill(7);
    assert.deepEqual(
      bob.receive(concatBytes(alice.seal([plaintext]))).map((p) => p.byteLength),
      [plaintext.byteLength],
    );
    assert.throws(() => alice.seal([plaintext, bytesOf('x')]), RangeError);
  });

  test('ends when one side says so, and takes nothing behind that', () => {
    const { alice, bob } = open();
    bob.receive(concatBytes([...alice.seal([bytesOf('last')]), ...alice.sealEnd()]));
    assert.equal(bob.isEnded, true);
    assert.deepEqual(bob.peer, ALICE);
    refuses(WireCode.Protocol, () => bob.receive(new Uint8Array(18)));
  });
});

describe('a peer channel is refused', () => {
  test('to a peer with another key under the same id, or with none of ours', () => {
    const stranger = { ring: KeyRing.generate(), self: ALICE };
    refuses(WireCode.UnknownKey, () =>
      PeerChannel.respond({ ring, self: BOB }).receive(output(PeerChannel.initiate(stranger, 'bob'))),
    );
    const hello = output(PeerChannel.initiate(stranger, 'bob'));
    hello.set(ring.newest.id, 14);
    refuses(WireCode.Unauthenticated, () => PeerChannel.respond({ ring, self: BOB }).receive(hello));
  });

  test('when the answer comes from somebody without the key', () => {
    const { alice } = createPair();
    const impostor = PeerChannel.respond({ ring, self: BOB });
    impostor.receive(output(PeerChannel.initiate({ ring, self: ALICE }, 'bob')));
    refuses(WireCode.Unauthenticated, () => alice.receive(output(impostor)));
  });

  test('to a peer that has the key and sends a share of low order', () => {
    const ephemeral = { ...createKeyPair(), share: new Uint8Array(32) };
    const hello = output(PeerChannel.initiate({ ring, self: ALICE, ephemeral }, 'bob'));
    refuses(WireCode.Unauthenticated, () => PeerChannel.respond({ ring, self: BOB }).receive(hello));
  });

  test('under another name than the one that was looked for', () => {
    const carol = { ...BOB, name: 'carol' };
    const bob = PeerChannel.respond({ ring, self: carol });
    refuses(WireCode.Denied, () => bob.receive(output(createPair().alice)));
    const twin = PeerChannel.respond({ ring, self: BOB });
    refuses(WireCode.Denied, () => twin.receive(output(PeerChannel.initiate({ ring, self: BOB }, 'bob'))));
  });

  test('with any bit of the handshake flipped', () => {
    const hello = output(createPair().alice);
    for (let bit = 0; bit < hello.byteLength * 8; bit += 7) {
      const flipped = Uint8Array.from(hello);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const bob = PeerChannel.respond({ ring, self: BOB });
      try {
        bob.receive(flipped);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
      // A longer length only makes it wait.
      assert.equal(bob.takeOutput().length, 0, `bit ${bit}`);
    }
  });

  test('when a HELLO is replayed: nothing is believed before FINISH', () => {
    const { alice, bob } = createPair();
    const hello = output(alice);
    bob.receive(hello);
    alice.receive(output(bob));
    const finish = output(alice);
    const again = PeerChannel.respond({ ring, self: BOB });
    again.receive(hello);
    refuses(WireCode.Unauthenticated, () => again.receive(finish));
    assert.equal(again.peer, undefined);
  });

  test('when a record is replayed, left out, exchanged or tampered with', () => {
    const deeds: readonly ((one: Uint8Array, two: Uint8Array) => Uint8Array[])[] = [
      (one) => [one, one],
      (_one, two) => [two],
      (one, two) => [two, one],
      (one) => [one.with(5, (one[5] as number) ^ 1)],
      (one) => [one.with(one.byteLength - 1, (one.at(-1) as number) ^ 1)],
      (one, two) => [one.with(1, (one[1] as number) - 1), two],
    ];
    for (const deed of deeds) {
      const { alice, bob } = open();
      const [one, two] = ['first', 'second'].map((text) => concatBytes(alice.seal([bytesOf(text)])));
      assert.ok(one && two);
      refuses(WireCode.Unauthenticated, () => deed(one, two).map((record) => bob.receive(record)));
      assert.equal(bob.isOpen, false);
      assert.throws(() => bob.receive(two));
    }
  });

  test('when a record is sent back to its sender', () => {
    const { alice } = open();
    const record = concatBytes(alice.seal([bytesOf('echo')]));
    refuses(WireCode.Unauthenticated, () => alice.receive(record));
  });

  test('with a length beyond the limit, before its bytes are waited for', () => {
    const preface = encodePreface(Role.Peer);
    const bob = PeerChannel.respond({ ring, self: BOB });
    refuses(WireCode.Protocol, () => bob.receive(concatBytes([preface, Uint8Array.of(0x02, 0x01)])));
    const { alice, bob: other } = createPair();
    other.receive(output(alice));
    refuses(WireCode.Protocol, () => other.receive(Uint8Array.of(0x00, 0x11)));
    const short = open().bob;
    refuses(WireCode.Protocol, () => short.receive(Uint8Array.of(0x00, 0x0f)));
  });

  test('to a client', () => {
    const bob = PeerChannel.respond({ ring, self: BOB });
    refuses(WireCode.Protocol, () => bob.receive(encodePreface(Role.Client)));
  });
});
