/** Strangers who begin a connection that sessions share (protocol.md §3.6): what they cost, and that they are told apart. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connect, type Refusal, type Server } from 'godwit';
import { findCollector } from '../../packages/godwit/src/carriers/collector.ts';
import { FRUITLESS_CHANNELS_MAX } from '../../packages/godwit/src/server/trunks.ts';
import {
  NONCE_BYTES,
  RecordType,
  Role,
  encodeFrame,
  encodePreface,
  writeRecordHeader,
} from '../../packages/godwit/src/wire/index.ts';
import { Clients, addressOf, allEcho, open, start } from './echo.ts';
import { until } from './until.ts';

/** Of X25519, as OPEN carries it. */
const KEY_SHARE = new Uint8Array(
  generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' }).subarray(-32),
);

/** What is held in arrays outside of V8's heap, or waits to be collected, in bytes. */
function heldBytes(): number {
  const collect = findCollector();
  assert.ok(collect !== undefined);
  collect({ type: 'major' });
  return process.memoryUsage().arrayBuffers;
}

/** One collection does not find all: what was marked while it was still in use stays until the next. What is held stays longer. */
async function heldAtMost(limitBytes: number): Promise<void> {
  let held = heldBytes();
  for (let collections = 1; held > limitBytes && collections < 10; collections += 1) {
    await wait(5);
    held = heldBytes();
  }
  assert.ok(held <= limitBytes, `${held} bytes, and at most ${limitBytes} were expected`);
}

describe('strangers who share a connection', () => {
  function header(type: RecordType, channel: number, length = 0): Uint8Array {
    const bytes = new Uint8Array(8);
    writeRecordHeader(bytes, 0, { type, channel, length });
    return bytes;
  }

  function bytesOf(channel: number, bytes: Uint8Array): Uint8Array {
    return Buffer.concat([header(RecordType.Bytes, channel, bytes.byteLength), bytes]);
  }

  async function stranger(
    t: TestContext,
    server: Server,
    ...bytes: readonly Uint8Array[]
  ): Promise<net.Socket> {
    const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    socket.write(Buffer.concat([encodePreface(Role.Trunk), ...bytes]));
    return socket;
  }

  /** What the server says of those it refuses. */
  function refusalsOf(server: Server): Refusal[] {
    const refusals: Refusal[] = [];
    server.on('refused', (refusal: Refusal) => refusals.push(refusal));
    return refusals;
  }

  test('that say nothing in their channels are given up in time, and count until then', async (t) => {
    await using server = await start({
      timers: { authenticateTimeoutMs: 300 },
      limits: { prefaceTimeoutMs: 200 },
    });
    const refusals = refusalsOf(server);
    const socket = await stranger(t, server, header(RecordType.Open, 1), header(RecordType.Open, 2));
    await until(() => server.stats.halfOpen === 3);
    await once(socket, 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      Array(3).fill('ERR_GODWIT_TIMEOUT'),
    );
    assert.match(
      refusals.at(-1)?.message ?? '',
      /no channel of the connection came to anything within 300 ms/,
    );
    await until(() => server.stats.halfOpen === 0 && server.stats.trunks === 0);
  });

  test('that open no channel at all are given up in time', async (t) => {
    await using server = await start({ timers: { authenticateTimeoutMs: 200 } });
    const refusals = refusalsOf(server);
    await once(await stranger(t, server), 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_TIMEOUT'],
    );
    await until(() => server.stats.halfOpen === 0);
  });

  test('whose channels are more than an address may have are refused channel by channel', async (t) => {
    await using server = await start({ limits: { maxHalfOpenPerAddress: 4 } });
    const refusals = refusalsOf(server);
    const opens = Array.from({ length: 10 }, (_, index) => header(RecordType.Open, index + 1));
    await stranger(t, server, ...opens);
    await until(() => refusals.length === 7);
    assert.deepEqual(new Set(refusals.map(({ code }) => code)), new Set(['ERR_GODWIT_LIMIT_EXCEEDED']));
    assert.equal(server.stats.halfOpen, 4);
  });

  test('that open and close channels without end are refused, and cost nothing more', async (t) => {
    await using server = await start();
    const socket = await stranger(t, server);
    let refused = 0;
    let isChallenged = false;
    socket.on('data', (chunk: Buffer) => {
      // Of a server that was sent no preface, nothing but Close and Refused comes.
      for (let at = 0; at + 8 <= chunk.byteLength; at += 8) {
        if (chunk[at] === RecordType.Refused) refused += 1;
        else if (chunk[at] === RecordType.Bytes) isChallenged = true;
      }
    });
    const all = FRUITLESS_CHANNELS_MAX + 500;
    for (let channel = 1; channel <= all; channel += 1)
      socket.write(Buffer.concat([header(RecordType.Open, channel), header(RecordType.Close, channel)]));
    await until(() => refused > 0);
    assert.equal(isChallenged, false);
    // The same server serves everybody else.
    using clients = await open(1, [addressOf(server)]);
    await allEcho(clients, 'well');
  });

  for (const [what, records] of [
    ['what is no record', [Buffer.from('GET / HTTP/1.1\r\n')]],
    ['a channel twice', [header(RecordType.Open, 1), header(RecordType.Open, 1)]],
    ['bytes of a channel that is not open', [bytesOf(1, Buffer.from('x'))]],
  ] as const)
    test(`that send ${what} are hung up on, with a code`, async (t) => {
      await using server = await start();
      const refusals = refusalsOf(server);
      await once(await stranger(t, server, ...records), 'close');
      await until(() => refusals.length > 0);
      assert.ok(refusals.some(({ code }) => code === 'ERR_GODWIT_PROTOCOL'));
      await until(() => server.stats.halfOpen === 0);
    });

  test('that begin a trunk within a trunk, or a link of a member, are refused in that channel', async (t) => {
    await using server = await start();
    const refusals = refusalsOf(server);
    await stranger(
      t,
      server,
      header(RecordType.Open, 1),
      bytesOf(1, encodePreface(Role.Trunk)),
      header(RecordType.Open, 2),
      bytesOf(2, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    );
    await until(() => refusals.length === 2);
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_PROTOCOL'],
    );
    assert.match(refusals[0]?.message ?? '', /a channel begins with a client's preface, and not with role 2/);
  });

  test('that are not of Godwit are not served plainly in a channel', async (t) => {
    await using server = await start({
      plain: 'accept',
      plainAfterMs: 50,
      limits: { prefaceTimeoutMs: 200 },
    });
    const refusals = refusalsOf(server);
    await stranger(
      t,
      server,
      header(RecordType.Open, 1),
      bytesOf(1, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
      header(RecordType.Open, 2),
    );
    await until(() => refusals.length === 2);
    assert.equal(server.stats.plain, 0);
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_TIMEOUT'],
    );
  });

  /** An OPEN that the server takes, behind its preface. */
  function opening(): Buffer {
    return Buffer.concat([
      encodePreface(Role.Client),
      encodeFrame('open', {
        sessionId: new Uint8Array(randomBytes(16)),
        epoch: 1,
        service: '',
        keyShare: KEY_SHARE,
        nonce: new Uint8Array(randomBytes(NONCE_BYTES)),
        credit: 2 ** 21,
        retainLimitBytes: 2 ** 22,
        maxBodyBytes: 2 ** 20,
        features: 0,
      }),
    ]);
  }

  test('that were refused for want of room are taken again, once there is some and they are quiet', async (t) => {
    const held: (() => void)[] = [];
    let isHeld = true;
    await using server = await start({
      limits: { maxHalfOpenPerAddress: 8 },
      authorize: () => (isHeld ? new Promise((resolve) => held.push(() => resolve(true))) : true),
    });
    const alone = { servers: [addressOf(server)], standby: false, shareConnections: false };
    using _waiting = Clients.from(Array.from({ length: 7 }, () => connect(alone))) as Clients;
    await until(() => held.length === 7);
    const socket = await stranger(t, server);
    const opens = Array.from({ length: FRUITLESS_CHANNELS_MAX + 8 }, (_, index) =>
      header(RecordType.Open, index + 1),
    );
    let answered = 0;
    socket.on('data', (chunk: Buffer) => (answered += chunk.byteLength / 8));
    socket.write(Buffer.concat(opens));
    await until(() => answered === opens.length);
    isHeld = false;
    for (const go of held) go();
    await until(() => server.stats.halfOpen === 1);
    // The first of them that is taken is sent a CHALLENGE, which is more than Refused.
    let channel = opens.length;
    while (answered === Math.floor(answered) && answered <= channel) {
      channel += 1;
      socket.write(
        Buffer.concat([header(RecordType.Open, channel), bytesOf(channel, encodePreface(Role.Client))]),
      );
      await once(socket, 'data');
      await wait(100);
    }
    assert.ok(channel < opens.length + 90);
    socket.destroy();
  });

  test('that begin a link of a member in a channel are no less strangers for it', async (t) => {
    await using server = await start({ timers: { authenticateTimeoutMs: 300 } });
    const refusals = refusalsOf(server);
    const link = [header(RecordType.Open, 1), bytesOf(1, encodePreface(Role.Peer))];
    await once(await stranger(t, server, ...link), 'close');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['ERR_GODWIT_PROTOCOL', 'ERR_GODWIT_TIMEOUT'],
    );
    await until(() => server.stats.halfOpen === 0);
  });

  test('that read nothing keep no more of a server’s memory than a connection may', async (t) => {
    await using server = await start({ timers: { detachedTimeoutMs: 100 } }, (socket) => {
      socket.on('error', () => undefined);
      socket.write(Buffer.alloc(256 * 1024));
    });
    const before = heldBytes();
    const socket = await stranger(t, server);
    socket.pause();
    const rounds = 40;
    const atOnce = 20;
    for (let round = 0; round < rounds; round += 1) {
      for (let index = 1; index <= atOnce; index += 1) {
        const channel = round * atOnce + index;
        socket.write(Buffer.concat([header(RecordType.Open, channel), bytesOf(channel, opening())]));
      }
      await until(() => server.stats.sessions > 0);
      for (let index = 1; index <= atOnce; index += 1)
        socket.write(header(RecordType.Close, round * atOnce + index));
      await until(() => server.stats.sessions === 0);
    }
    // 200 MiB were written for them.
    await heldAtMost(before + 32 * 2 ** 20);
    socket.destroy();
  });

  test('that say a part of a preface in each of many channels keep no more than that', async (t) => {
    await using server = await start();
    const socket = await stranger(t, server);
    const before = heldBytes();
    const filler = Buffer.alloc(60 * 1024);
    const channels = 500;
    socket.write(header(RecordType.Open, 1));
    socket.write(header(RecordType.Close, 1));
    for (let channel = 2; channel < channels + 2; channel += 1) {
      // In one chunk with what is dropped, as a server reads it.
      const records = [
        header(RecordType.Open, channel),
        bytesOf(channel, Buffer.from('god')),
        bytesOf(1, filler),
      ];
      if (!socket.write(Buffer.concat(records))) await once(socket, 'drain');
    }
    await until(() => server.stats.halfOpen === channels + 1);
    await heldAtMost(before + (channels * filler.byteLength) / 10);
    socket.destroy();
  });

  test('whose only channel ends before it is begun leave nothing behind', async (t) => {
    const asked = Promise.withResolvers<undefined>();
    const answer = Promise.withResolvers<boolean>();
    await using server = await start({
      authorize: () => {
        asked.resolve(undefined);
        return answer.promise;
      },
      timers: { detachedTimeoutMs: 100 },
    });
    const socket = await stranger(t, server, header(RecordType.Open, 1));
    // More than the server reads before it knows who is there.
    socket.write(bytesOf(1, Buffer.concat([opening(), Buffer.alloc(160 * 1024)])));
    await asked.promise;
    socket.write(Buffer.concat([bytesOf(1, Buffer.alloc(1_000)), header(RecordType.Close, 1)]));
    // It answers what was sent last, so it has read all of it.
    socket.write(Buffer.concat([header(RecordType.Open, 2), bytesOf(2, encodePreface(Role.Client))]));
    await once(socket, 'data');
    socket.write(header(RecordType.Close, 2));
    await until(() => server.stats.halfOpen === 2);
    answer.resolve(true);
    await until(() => server.stats.sessions === 0 && server.stats.carriers === 0);
    await until(() => server.stats.trunks === 0);
    socket.destroy();
  });
});
