import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import type { Carrier, Transport } from '../carriers/carrier.ts';
import { MemoryNetwork } from '../carriers/memory.ts';
import { TcpTransport } from '../carriers/tcp.ts';
import { KeyRing } from '../crypto/key-ring.ts';
import {
  PREFACE_BYTES,
  Role,
  encodePeerFrame,
  encodePreface,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import { PeerChannel } from './peer-channel.ts';
import {
  MAX_PENDING_LINKS,
  MAX_PENDING_LINKS_PER_ADDRESS,
  PeerLinks,
  type PeerLinkFailure,
  type PeerLinksOptions,
} from './peer-links.ts';

const ring = KeyRing.generate();

/** A server of which only the peer links are there. */
class Node {
  readonly links: PeerLinks;
  readonly frames: { from: string; frame: PeerFrame }[] = [];
  readonly lost: string[] = [];
  readonly failures: PeerLinkFailure[] = [];
  readonly carriers: Carrier[] = [];
  readonly events = new EventEmitter();
  address!: ServerAddress;

  constructor(transport: Transport, options: Partial<PeerLinksOptions>) {
    const change = () => this.events.emit('change');
    this.links = new PeerLinks({
      ring,
      transport,
      self: () => this.address,
      onFrame: (peer, frame) => {
        this.frames.push({ from: peer.name, frame });
        change();
      },
      onLost: (name) => {
        this.lost.push(name);
        change();
      },
      onFailure: (failure) => {
        this.failures.push(failure);
        change();
      },
      ...options,
    });
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.events, 'change');
  }
  get tokens(): unknown[] {
    return this.frames.map(({ frame }) => (frame.frame === 'peerPing' ? frame.token : frame.frame));
  }
}

async function startNode(
  t: TestContext,
  transport: Transport,
  name: string,
  options: Partial<PeerLinksOptions> = {},
): Promise<Node> {
  const node = new Node(transport, options);
  const listening = Promise.withResolvers<undefined>();
  const listener = transport.listen(
    { host: transport instanceof MemoryNetwork ? name : '127.0.0.1', port: 0 },
    {
      onListening: () => listening.resolve(undefined),
      onCarrier: (carrier) => {
        node.carriers.push(carrier);
        let read = Buffer.alloc(0);
        // As a server does: read the preface, then hand the carrier over.
        carrier.start({
          onData: (chunk) => {
            read = Buffer.concat([read, chunk]);
            if (read.byteLength >= PREFACE_BYTES) node.links.accept(carrier, read);
          },
          onDrain: () => undefined,
          onClose: () => undefined,
        });
      },
    },
  );
  await listening.promise;
  const { address: host, port } = listener.address() as AddressInfo;
  node.address = { name, host, port };
  t.after(() => {
    listener.close();
    node.links.close();
    for (const carrier of node.carriers) carrier.destroy();
  });
  return node;
}

const ping = (token: number): Uint8Array => encodePeerFrame('peerPing', { token });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const [name, createTransport] of [
  ['TCP', () => new TcpTransport()],
  ['memory', () => new MemoryNetwork()],
] as const) {
  describe(`peer links over ${name}`, () => {
    test('dial on demand, and serve both directions', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      alice.links.send(bob.address, ping(1));
      alice.links.send(bob.address, ping(2));
      await bob.until(() => bob.frames.length === 2);
      assert.deepEqual(bob.tokens, [1, 2]);
      assert.equal(bob.frames[0]?.from, 'alice');
      bob.links.send(alice.address, ping(3));
      await alice.until(() => alice.frames.length === 1);
      assert.deepEqual([alice.links.size, bob.links.size], [1, 1]);
      assert.equal(alice.carriers.length, 0, 'bob used the link that alice had dialled');
    });

    test('send at the end of a tick in one write, or at once when they are flushed', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      alice.links.send(bob.address, ping(1));
      await bob.until(() => bob.frames.length === 1);
      const [carrier] = bob.carriers;
      assert.ok(carrier);
      const writes = t.mock.method(carrier, 'write');
      bob.links.send(alice.address, ping(2));
      bob.links.send(alice.address, ping(3));
      assert.equal(writes.mock.callCount(), 0);
      bob.links.flush();
      assert.equal(writes.mock.callCount(), 1);
      bob.links.send(alice.address, ping(4));
      await alice.until(() => alice.frames.length === 3);
      assert.deepEqual(alice.tokens, [2, 3, 4]);
      assert.equal(writes.mock.callCount(), 2);
    });

    test('carry megabytes in order, past backpressure', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      const chunks = 200;
      for (let requestId = 0; requestId < chunks; requestId += 1) {
        const bytes = new Uint8Array(60_000).fill(requestId);
        alice.links.send(bob.address, encodePeerFrame('stateChunk', { requestId, bytes }));
      }
      await bob.until(() => bob.frames.length === chunks);
      for (const [index, { frame }] of bob.frames.entries()) {
        assert.ok(frame.frame === 'stateChunk');
        assert.deepEqual([frame.requestId, frame.bytes[59_999]], [index, index]);
      }
    });

    test('are not confused when both sides dial at once', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      for (let token = 0; token < 50; token += 1) {
        alice.links.send(bob.address, ping(token));
        bob.links.send(alice.address, ping(token));
        if (token % 10 === 0) await pause(1);
      }
      const expected = Array.from({ length: 50 }, (_, token) => token);
      await alice.until(() => alice.frames.length === 50);
      await bob.until(() => bob.frames.length === 50);
      assert.deepEqual(alice.tokens, expected);
      assert.deepEqual(bob.tokens, expected);
      assert.deepEqual([...alice.lost, ...bob.lost], []);
    });

    test('tell when a peer is lost, and dial again for the next frame', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      alice.links.send(bob.address, ping(1));
      await bob.until(() => bob.frames.length === 1);
      bob.carriers[0]?.reset();
      await alice.until(() => alice.lost.length === 1);
      await bob.until(() => bob.lost.length === 1);
      assert.deepEqual([alice.lost, bob.lost], [['bob'], ['alice']]);
      alice.links.send(bob.address, ping(2));
      await bob.until(() => bob.frames.length === 2);
    });

    test('tell when a peer can not be reached', async (t) => {
      const transport = createTransport();
      const alice = await startNode(t, transport, 'alice');
      alice.links.send({ name: 'bob', host: '127.0.0.1', port: 1 }, ping(1));
      await alice.until(() => alice.lost.length === 1);
      assert.deepEqual([alice.lost, alice.failures[0]?.code], [['bob'], 'ECONNREFUSED']);
    });

    test('refuse a peer with another key, or under another name', async (t) => {
      const transport = createTransport();
      const bob = await startNode(t, transport, 'bob');
      const mallory = await startNode(t, transport, 'mallory', { ring: KeyRing.generate() });
      mallory.links.send(bob.address, ping(1));
      await mallory.until(() => mallory.lost.length === 1);
      await bob.until(() => bob.failures.length === 1);
      assert.equal(bob.failures[0]?.code, 'ERR_GODWIT_UNKNOWN_KEY');
      const alice = await startNode(t, transport, 'alice');
      alice.links.send({ ...bob.address, name: 'carol' }, ping(1));
      await alice.until(() => alice.lost.length === 1);
      assert.deepEqual(alice.lost, ['carol']);
      assert.deepEqual([bob.frames.length, bob.links.size, bob.lost.length], [0, 0, 0]);
    });

    test('end at once, whoever dialled, when the key they were made with is revoked; others stay', async (t) => {
      const transport = createTransport();
      const [old, next] = [KeyRing.generateKey(), KeyRing.generateKey()];
      const keys = new KeyRing(old);
      const revoked = keys.newest.idText;
      const bob = await startNode(t, transport, 'bob', { ring: keys });
      const alice = await startNode(t, transport, 'alice', { ring: new KeyRing(old) });
      const dave = await startNode(t, transport, 'dave', { ring: new KeyRing([old, next]) });
      const carol = await startNode(t, transport, 'carol', { ring: new KeyRing(next) });
      alice.links.send(bob.address, ping(1));
      bob.links.send(dave.address, ping(1));
      await bob.until(() => bob.frames.length === 1);
      await dave.until(() => dave.frames.length === 1);
      keys.rotate(next);
      carol.links.send(bob.address, ping(1));
      await bob.until(() => bob.frames.length === 2);
      // The old key still opens: nothing is lost, and nobody dials again.
      alice.links.send(bob.address, ping(2));
      bob.links.send(dave.address, ping(2));
      await bob.until(() => bob.frames.length === 3);
      await dave.until(() => dave.frames.length === 2);
      assert.deepEqual([bob.links.size, bob.lost, bob.failures], [3, [], []]);

      keys.retire(revoked);
      assert.deepEqual([bob.links.size, bob.lost.toSorted()], [1, ['alice', 'dave']]);
      assert.deepEqual(
        bob.failures.map(({ code }) => code),
        ['ERR_GODWIT_UNKNOWN_KEY', 'ERR_GODWIT_UNKNOWN_KEY'],
      );
      await alice.until(() => alice.lost.length === 1);
      await dave.until(() => dave.lost.length === 1);
      bob.links.send(dave.address, ping(3));
      carol.links.send(bob.address, ping(2));
      await dave.until(() => dave.frames.length === 3);
      await bob.until(() => bob.frames.length === 4);
      assert.deepEqual([bob.links.size, bob.frames.at(-1)?.from, carol.lost], [2, 'carol', []]);
      // Who has the old key alone is let in no more.
      alice.links.send(bob.address, ping(3));
      await alice.until(() => alice.lost.length === 2);
      assert.deepEqual([bob.links.size, bob.frames.length], [2, 4]);
    });

    test('end in silence when idle', async (t) => {
      const transport = createTransport();
      const alice = await startNode(t, transport, 'alice', { idleTimeoutMs: 30 });
      const bob = await startNode(t, transport, 'bob');
      bob.links.warm(alice.address);
      while (bob.links.size === 0) await pause(1);
      while (bob.links.size + alice.links.size > 0) await pause(5);
      assert.deepEqual([...alice.lost, ...bob.lost, ...alice.failures, ...bob.failures], []);
    });

    test('close all, and the peers hear of it', async (t) => {
      const transport = createTransport();
      const [alice, bob] = [await startNode(t, transport, 'alice'), await startNode(t, transport, 'bob')];
      alice.links.warm(bob.address);
      while (bob.links.size === 0) await pause(1);
      alice.links.send(bob.address, ping(9));
      alice.links.close();
      await bob.until(() => bob.lost.length === 1);
      assert.deepEqual([bob.tokens, bob.lost, alice.lost], [[9], ['alice'], []]);
      alice.links.send(bob.address, ping(10));
      assert.equal(alice.links.size, 0);
    });
  });
}

describe('peer links', () => {
  test('give up on a peer that does not answer within the dial timeout', async (t) => {
    const network = new MemoryNetwork();
    const alice = await startNode(t, network, 'alice', { dialTimeoutMs: 20 });
    const bob = await startNode(t, network, 'bob');
    network.cut('bob');
    alice.links.send(bob.address, ping(1));
    await alice.until(() => alice.lost.length === 1);
    assert.equal(alice.failures[0]?.code, 'ETIMEDOUT');
    // One that accepts and then says nothing is no better.
    network.listen({ host: 'silent', port: 7 }, { onCarrier: (carrier) => bob.carriers.push(carrier) });
    alice.links.send({ name: 'silent', host: 'silent', port: 7 }, ping(1));
    await alice.until(() => alice.lost.length === 2);
    assert.deepEqual(alice.lost, ['bob', 'silent']);
    assert.equal(alice.failures[1]?.code, 'ERR_GODWIT_TIMEOUT');
  });

  test('give up on a peer that takes nothing, at a limit', async (t) => {
    const network = new MemoryNetwork();
    const alice = await startNode(t, network, 'alice', { queueLimitBytes: 1_000_000 });
    const bob = await startNode(t, network, 'bob');
    alice.links.warm(bob.address);
    while (bob.links.size === 0) await pause(1);
    bob.carriers[0]?.pause();
    const chunk = encodePeerFrame('stateChunk', { requestId: 1, bytes: new Uint8Array(60_000) });
    for (let sent = 0; sent < 40 && alice.lost.length === 0; sent += 1) {
      alice.links.send(bob.address, chunk);
      await pause(0);
    }
    assert.deepEqual(alice.lost, ['bob']);
    assert.equal(alice.failures[0]?.code, 'ERR_GODWIT_LIMIT_EXCEEDED');
  });

  for (const [where, most, addressOf] of [
    ['', MAX_PENDING_LINKS, (index: number) => `10.0.0.${index}`],
    [' of one address', MAX_PENDING_LINKS_PER_ADDRESS, () => '10.0.0.1'],
  ] as const)
    test(`keep few unproven carriers${where}, and none for long`, async (t) => {
      const network = new MemoryNetwork();
      const bob = await startNode(t, network, 'bob', { dialTimeoutMs: 100 });
      const closes: number[] = [];
      for (let index = 0; index <= most; index += 1) {
        const localAddress = addressOf(index);
        network.dial(bob.address, { timeoutMs: 1_000, localAddress }, (_error, carrier) => {
          carrier?.start({
            onData: () => undefined,
            onDrain: () => undefined,
            onClose: () => closes.push(index),
          });
          carrier?.write([encodePreface(Role.Peer)]);
        });
      }
      await bob.until(() => bob.failures.length === most);
      assert.equal(closes[0], most, 'the one too many is closed at once, before any is late');
      assert.ok(bob.failures.every(({ code }) => code === 'ERR_GODWIT_TIMEOUT'));
    });

  test('close on a frame that breaks the protocol, even under the right key', async (t) => {
    const network = new MemoryNetwork();
    const bob = await startNode(t, network, 'bob');
    const self = { name: 'alice', host: 'alice', port: 1 };
    const channel = PeerChannel.initiate({ ring, self }, 'bob');
    network.dial(bob.address, { timeoutMs: 1_000 }, (_error, carrier) => {
      carrier?.start({
        onData: (chunk) => {
          channel.receive(chunk);
          if (!channel.isOpen) return;
          carrier.write([...channel.takeOutput(), ...channel.seal([Uint8Array.of(0x7f, 0, 0, 0)])]);
        },
        onDrain: () => undefined,
        onClose: () => undefined,
      });
      carrier?.write(channel.takeOutput());
    });
    await bob.until(() => bob.lost.length === 1);
    assert.deepEqual(
      [bob.lost, bob.failures[0]?.code, bob.links.size],
      [['alice'], 'ERR_GODWIT_PROTOCOL', 0],
    );
  });

  test('come to nothing when their key is revoked before the peer has answered', async (t) => {
    const network = new MemoryNetwork();
    const [old, next] = [KeyRing.generateKey(), KeyRing.generateKey()];
    const keys = new KeyRing(old);
    const bob = await startNode(t, network, 'bob', { ring: keys });
    const isReached = Promise.withResolvers<undefined>();
    network.listen(
      { host: 'mute', port: 7 },
      {
        onCarrier: (carrier) => {
          bob.carriers.push(carrier);
          carrier.start({
            onData: () => isReached.resolve(undefined),
            onDrain: () => undefined,
            onClose: () => undefined,
          });
        },
      },
    );
    bob.links.send({ name: 'mute', host: 'mute', port: 7 }, ping(1));
    await isReached.promise;
    keys.replace([next, old]);
    assert.deepEqual(bob.lost, []);
    keys.replace([next]);
    assert.deepEqual([bob.lost, bob.failures[0]?.code], [['mute'], 'ERR_GODWIT_UNKNOWN_KEY']);
  });

  test('come to nothing when their key is revoked before the peer that dialled has finished', async (t) => {
    const network = new MemoryNetwork();
    const [old, next] = [KeyRing.generateKey(), KeyRing.generateKey()];
    const keys = new KeyRing([next, old]);
    const bob = await startNode(t, network, 'bob', { ring: keys });
    const self = { name: 'alice', host: 'alice', port: 1 };
    const channel = PeerChannel.initiate({ ring: new KeyRing(old), self }, 'bob');
    const isAnswered = Promise.withResolvers<Carrier>();
    const isClosed = Promise.withResolvers<undefined>();
    network.dial(bob.address, { timeoutMs: 1_000 }, (_error, carrier) => {
      carrier?.start({
        onData: (chunk) => {
          channel.receive(chunk);
          isAnswered.resolve(carrier);
        },
        onDrain: () => undefined,
        onClose: () => isClosed.resolve(undefined),
      });
      carrier?.write(channel.takeOutput());
    });
    const carrier = await isAnswered.promise;
    keys.replace([next]);
    carrier.write(channel.takeOutput());
    await isClosed.promise;
    assert.deepEqual([bob.failures[0]?.code, bob.links.size], ['ERR_GODWIT_UNKNOWN_KEY', 0]);
  });

  test('go by the newest key, and by an accepted one during a rotation', async (t) => {
    const network = new MemoryNetwork();
    const [one, two] = [KeyRing.generateKey(), KeyRing.generateKey()];
    const alice = await startNode(t, network, 'alice', { ring: new KeyRing([two, one]) });
    const bob = await startNode(t, network, 'bob', { ring: new KeyRing([one, two]) });
    alice.links.send(bob.address, ping(1));
    await bob.until(() => bob.frames.length === 1);
    bob.links.send(alice.address, ping(2));
    await alice.until(() => alice.frames.length === 1);
  });
});
