/** What every carrier must do, run against each transport. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once, EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import { unixAddress } from './address.ts';
import {
  CLOSED_HERE,
  WRITE_HIGH_WATER_BYTES,
  type Carrier,
  type CarrierClosed,
  type Dial,
  type DialAddress,
  type DialDone,
  type DialOptions,
  type ListenHandlers,
  type ListenTarget,
  type Listener,
  type Transport,
} from './carrier.ts';
import { MemoryNetwork } from './memory.ts';
import { TcpTransport } from './tcp.ts';
import { TlsTransport } from './tls.ts';
import { Trunk } from './trunk.ts';
import { Authority } from '../../../../test/integration/certificates.ts';

const authority = await Authority.create('Test Authority');
const identity = await authority.issue('godwit.test');

/** One end of a carrier, with what happened to it. */
class End {
  readonly carrier: Carrier;
  readonly events = new EventEmitter();
  readonly chunks: Uint8Array[] = [];
  readonly closes: CarrierClosed[] = [];
  drains = 0;
  constructor(carrier: Carrier) {
    this.carrier = carrier;
  }
  start(): this {
    this.carrier.start({
      onData: (chunk) => {
        // Whether they are lent or given: what is read later must be what came.
        this.chunks.push(this.carrier.lendsChunks ? new Uint8Array(chunk) : chunk);
        this.events.emit('change');
      },
      onDrain: () => {
        this.drains += 1;
        this.events.emit('change');
      },
      onClose: (closed) => {
        this.closes.push(closed);
        this.events.emit('change');
      },
    });
    return this;
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.events, 'change');
  }
}

interface World {
  readonly transport: Transport;
  readonly listener: Listener;
  readonly address: DialAddress;
  readonly accepted: Carrier[];
  pair(): Promise<[client: End, server: End]>;
}

async function createWorld(t: TestContext, transport: Transport): Promise<World> {
  const accepted: Carrier[] = [];
  const waiting: ((carrier: Carrier) => void)[] = [];
  const listening = Promise.withResolvers<undefined>();
  const listener = transport.listen(
    { host: '127.0.0.1', port: 0 },
    {
      onCarrier: (carrier) => {
        accepted.push(carrier);
        waiting.shift()?.(carrier);
      },
      onListening: () => listening.resolve(undefined),
      onError: (error) => listening.reject(error),
    },
  );
  await listening.promise;
  t.after(() => {
    listener.close();
    for (const carrier of accepted) carrier.destroy();
  });
  const bound = listener.address() as net.AddressInfo | string;
  const address = typeof bound === 'string' ? unixAddress(bound) : { host: bound.address, port: bound.port };
  return {
    transport,
    listener,
    address,
    accepted,
    pair: async () => {
      const far = new Promise<Carrier>((resolve) => waiting.push(resolve));
      const near = await dial(transport, address);
      t.after(() => near.destroy());
      return [new End(near), new End(await far)];
    },
  };
}

function dial(transport: Transport, address: DialAddress, timeoutMs = 5_000): Promise<Carrier> {
  return new Promise((resolve, reject) => {
    transport.dial(address, { timeoutMs }, (error, carrier) => {
      if (carrier) resolve(carrier);
      else reject(Object.assign(new Error(error?.message), error));
    });
  });
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text);

/** TCP's transport at a path. */
function createUnixTransport(): Transport {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-carriers-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const tcp = new TcpTransport();
  return {
    dial: (address, options, done) => tcp.dial(address, { ...options, unixSockets: true }, done),
    listen: (_target, handlers) => tcp.listen({ path: join(folder, 'socket') }, handlers),
  };
}

/** Channels, each in a connection of TCP that nobody else is in. */
class ChannelTransport implements Transport {
  readonly #tcp = new TcpTransport();

  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    return this.#tcp.dial(address, options, (error, carrier) => {
      if (carrier === undefined) {
        done(error, undefined);
        return;
      }
      const trunk = new Trunk(carrier, { onEmpty: () => trunk.end(), onClose: () => undefined });
      trunk.start();
      done(undefined, trunk.openChannel());
    });
  }

  listen(target: ListenTarget, handlers: ListenHandlers): Listener {
    return this.#tcp.listen(target, {
      ...handlers,
      onCarrier: (carrier) => {
        const onChannel = (channel: Carrier): boolean => {
          handlers.onCarrier(channel);
          return true;
        };
        new Trunk(carrier, { onChannel, onEmpty: () => undefined, onClose: () => undefined }).start();
      },
    });
  }
}

for (const [name, createTransport] of [
  ['tcp', () => new TcpTransport()],
  ['unix', createUnixTransport],
  ['memory', () => new MemoryNetwork()],
  ['channel', () => new ChannelTransport()],
  ['tls', () => new TlsTransport({ client: { ca: authority.ca }, server: identity })],
] as const) {
  describe(`a ${name} carrier`, () => {
    test('delivers the parts of each write in order, both ways', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      server.start();
      assert.equal(client.carrier.write([bytesOf('one '), bytesOf(''), bytesOf('two ')]), true);
      client.carrier.write([bytesOf('three')]);
      server.carrier.write([bytesOf('four '), bytesOf('five')]);
      await server.until(() => server.text === 'one two three');
      await client.until(() => client.text === 'four five');
    });

    test('keeps bytes that came before it was started', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      client.carrier.write([bytesOf('early')]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(server.bytes, 0);
      server.start();
      await server.until(() => server.text === 'early');
    });

    test('is handed over to other handlers by another start', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      server.start();
      client.carrier.write([bytesOf('preface')]);
      await server.until(() => server.text === 'preface');
      const next = new End(server.carrier).start();
      client.carrier.write([bytesOf('rest')]);
      await next.until(() => next.text === 'rest');
      client.carrier.destroy();
      await next.until(() => next.closes.length === 1);
      assert.equal(server.text, 'preface');
      assert.equal(server.closes.length, 0);
    });

    // A channel that is paused does not keep its connection from being read: see trunk.test.ts.
    const backpressure = 'says so when too much is waiting, and again when it may go on';
    if (name !== 'channel')
      test(backpressure, async (t) => {
        const [client, server] = await (await createWorld(t, createTransport())).pair();
        client.start();
        server.start();
        server.carrier.pause();
        const block = randomBytes(WRITE_HIGH_WATER_BYTES / 4);
        const sent = createHash('sha256');
        let blocks = 0;
        // The kernel's buffers take some megabytes before the carrier has to keep anything.
        for (let writable = true; writable; blocks += 1) {
          assert.ok(blocks < 1_000, 'backpressure never came');
          writable = client.carrier.write([block.subarray(0, 10), block.subarray(10)]);
          sent.update(block);
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.ok(client.carrier.bytesQueued > 0);
        assert.equal(client.drains, 0);
        server.carrier.resume();
        await client.until(() => client.drains === 1);
        await server.until(() => server.bytes === blocks * block.byteLength);
        assert.equal(client.carrier.bytesQueued, 0);
        const received = createHash('sha256').update(Buffer.concat(server.chunks));
        assert.equal(received.digest('hex'), sent.digest('hex'));
      });

    test('flushes before it ends, and the peer sees a reset', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      server.start();
      const block = randomBytes(1_000_000);
      server.carrier.write([block]);
      server.carrier.end();
      await client.until(() => client.closes.length === 1);
      assert.equal(client.bytes, block.byteLength);
      assert.deepEqual(
        client.closes.map(({ code, reset }) => [code, reset]),
        [['ECONNRESET', true]],
      );
      await server.until(() => server.closes.length === 1);
      assert.equal(server.closes[0]?.code, CLOSED_HERE);
    });

    test('delivers nothing once it was ended on this side', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      server.start();
      server.carrier.end();
      client.carrier.write([bytesOf('too late')]);
      await server.until(() => server.closes.length === 1);
      assert.equal(server.bytes, 0);
    });

    for (const way of ['destroy', 'reset'] as const) {
      test(`is closed exactly once on both sides by ${way}`, async (t) => {
        const [client, server] = await (await createWorld(t, createTransport())).pair();
        client.start();
        server.start();
        client.carrier[way]();
        client.carrier.end();
        client.carrier[way]();
        assert.equal(client.closes.length, 0, 'closed from within a call of its own');
        assert.equal(client.carrier.write([bytesOf('x')]), true);
        await server.until(() => server.closes.length === 1);
        await client.until(() => client.closes.length === 1);
        assert.equal(client.closes[0]?.code, CLOSED_HERE);
        assert.equal(client.closes[0].reset, false);
        assert.equal(server.closes[0]?.code, 'ECONNRESET');
        assert.equal(server.closes[0].reset, true);
        await new Promise((resolve) => setTimeout(resolve, 10));
        assert.deepEqual([client.closes.length, server.closes.length, server.bytes], [1, 1, 0]);
      });
    }

    test('tells of an end that came before it was started', async (t) => {
      const [client, server] = await (await createWorld(t, createTransport())).pair();
      client.start();
      client.carrier.write([bytesOf('bye')]);
      client.carrier.end();
      await new Promise((resolve) => setTimeout(resolve, 10));
      server.start();
      await server.until(() => server.closes.length === 1);
      assert.equal(server.text, 'bye');
      assert.equal(server.closes[0]?.reset, true);
    });

    test('knows its addresses', async (t) => {
      const world = await createWorld(t, createTransport());
      const [client, server] = await world.pair();
      // Keying material that only these two ends have, where there is TLS.
      assert.equal(client.carrier.exporter?.byteLength, name === 'tls' ? 32 : undefined);
      assert.deepEqual(client.carrier.exporter, server.carrier.exporter);
      if (name === 'unix') {
        const { localAddress, remoteAddress, remotePort } = client.carrier;
        assert.deepEqual([localAddress, remoteAddress, remotePort], [undefined, undefined, undefined]);
        return;
      }
      assert.equal(client.carrier.remotePort, world.address.port);
      assert.equal(server.carrier.localPort, world.address.port);
      assert.equal(server.carrier.remotePort, client.carrier.localPort);
      assert.equal(client.carrier.remoteAddress, '127.0.0.1');
    });

    test('is counted by its listener while it is open', async (t) => {
      const world = await createWorld(t, createTransport());
      const [client, server] = await world.pair();
      assert.equal(world.listener.connections, 1);
      client.start().carrier.destroy();
      server.start();
      await server.until(() => server.closes.length === 1);
      server.carrier.destroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(world.listener.connections, 0);
    });
  });

  describe(`a ${name} dial`, () => {
    test('to a port where nobody listens fails with a refusal', async (t) => {
      const world = await createWorld(t, createTransport());
      world.listener.close();
      const code = name === 'unix' ? 'ENOENT' : 'ECONNREFUSED';
      await assert.rejects(dial(world.transport, world.address), { code, reset: true });
    });

    test('that is cancelled is never done', async (t) => {
      const world = await createWorld(t, createTransport());
      let done = 0;
      const pending = world.transport.dial(world.address, { timeoutMs: 1_000 }, () => (done += 1));
      pending.cancel();
      pending.cancel();
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(done, 0);
    });

    for (const when of ['before', 'after'] as const) {
      test(`is done with ABORT_ERR when its signal is aborted ${when} it begins`, async (t) => {
        const world = await createWorld(t, createTransport());
        const abort = new AbortController();
        if (when === 'before') abort.abort();
        const done = Promise.withResolvers<CarrierClosed | undefined>();
        let calls = 0;
        world.transport.dial(world.address, { timeoutMs: 1_000, signal: abort.signal }, (error) => {
          calls += 1;
          done.resolve(error);
        });
        assert.equal(calls, 0, 'done before dial returned');
        abort.abort();
        assert.equal((await done.promise)?.code, 'ABORT_ERR');
        await new Promise((resolve) => setTimeout(resolve, 10));
        assert.equal(calls, 1);
      });
    }
  });
}

describe('the memory network', () => {
  test('cuts a host off: its carriers are reset, dials to it time out until it is healed', async (t) => {
    const network = new MemoryNetwork();
    const world = await createWorld(t, network);
    const [client, server] = await world.pair();
    client.start();
    server.start();
    client.carrier.write([bytesOf('lost')]);
    network.cut('127.0.0.1');
    await client.until(() => client.closes.length === 1);
    await server.until(() => server.closes.length === 1);
    assert.equal(server.bytes, 0);
    assert.equal(client.closes[0]?.reset, true);
    await assert.rejects(dial(network, world.address, 10), { code: 'ETIMEDOUT', reset: false });
    network.heal('127.0.0.1');
    await world.pair();
  });

  test('copies bytes, as a kernel does', async (t) => {
    const [client, server] = await (await createWorld(t, new MemoryNetwork())).pair();
    const bytes = Buffer.from('before');
    client.carrier.write([bytes]);
    bytes.fill('x');
    server.start();
    await server.until(() => server.bytes > 0);
    assert.equal(server.text, 'before');
  });
});

test('neither TCP nor TLS dials a Unix socket but for whoever asked for one', async () => {
  const address = unixAddress('/no/such/socket');
  for (const transport of [new TcpTransport(), new TlsTransport()])
    await assert.rejects(dial(transport, address), { code: 'ERR_GODWIT_DENIED' });
});

describe('the TCP transport', () => {
  test('listens on a handle of another server', async (t) => {
    const other = net.createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const accepted = Promise.withResolvers<Carrier>();
    const listening = Promise.withResolvers<undefined>();
    const listener = new TcpTransport().listen(
      { args: [other] },
      { onCarrier: (carrier) => accepted.resolve(carrier), onListening: () => listening.resolve(undefined) },
    );
    t.after(() => {
      listener.close();
      other.close();
    });
    await listening.promise;
    const client = net.connect((other.address() as net.AddressInfo).port, '127.0.0.1');
    t.after(() => client.destroy());
    (await accepted.promise).write([bytesOf('hello')]);
    assert.equal(String((await once(client, 'data'))[0]), 'hello');
  });

  test('lends what a dialled socket reads: two of them read into the same memory', async (t) => {
    const world = await createWorld(t, new TcpTransport());
    const [one, one2] = await world.pair();
    const [other, other2] = await world.pair();
    const lent: Uint8Array[] = [];
    for (const { carrier } of [one, other])
      carrier.start({
        onData: (chunk) => {
          lent.push(chunk);
          one.events.emit('change');
        },
        onDrain: () => undefined,
        onClose: () => undefined,
      });
    assert.deepEqual(
      [one, one2, other, other2].map(({ carrier }) => carrier.lendsChunks),
      [true, false, true, false],
    );
    one2.carrier.write([Buffer.from('first')]);
    await one.until(() => lent.length === 1);
    assert.equal(Buffer.from(lent[0] ?? []).toString(), 'first');
    other2.carrier.write([Buffer.from('other')]);
    await one.until(() => lent.length === 2);
    assert.equal(Buffer.from(lent[0] ?? []).toString(), 'other');
  });

  test('gives what a dialled socket reads in bulk away: nothing is read into that memory again', async (t) => {
    const world = await createWorld(t, new TcpTransport());
    const [one, one2] = await world.pair();
    const owned: { chunk: Uint8Array; copy: Uint8Array }[] = [];
    let bytes = 0;
    let last = 0;
    one.carrier.start({
      onData: (chunk) => {
        if (!one.carrier.lendsChunks) owned.push({ chunk, copy: new Uint8Array(chunk) });
        bytes += chunk.byteLength;
        last = chunk.byteLength;
        one.events.emit('change');
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    let sent = 0;
    for (let i = 0; i < 64; i += 1) {
      const part = new Uint8Array(50_000).fill(i);
      one2.carrier.write([part]);
      sent += part.byteLength;
    }
    await one.until(() => bytes === sent);
    assert.ok(owned.length > 0, 'no bulk read was given away');
    for (const { chunk, copy } of owned) assert.equal(Buffer.compare(chunk, copy), 0);
    // And once little comes, memory is lent again.
    for (let i = 0; i < 2; i += 1) {
      one2.carrier.write([new Uint8Array(10)]);
      sent += 10;
      await one.until(() => bytes === sent);
    }
    assert.equal(last, 10);
    assert.equal(one.carrier.lendsChunks, true);
  });

  test('tells of the end behind the last full records of TLS, which are passed on together', async (t) => {
    const world = await createWorld(t, new TlsTransport({ client: { ca: authority.ca }, server: identity }));
    const [client, server] = await world.pair();
    let bytes = 0;
    let isClosed = false;
    client.carrier.start({
      onData: (chunk) => {
        bytes += chunk.byteLength;
      },
      onDrain: () => undefined,
      onClose: () => {
        isClosed = true;
        client.events.emit('change');
      },
    });
    server.start();
    // The first is not foreseen, and four at a time are passed on: some are left when the end comes.
    const sent = 24 * 16 * 1024;
    server.carrier.write([new Uint8Array(sent)]);
    server.carrier.end();
    await client.until(() => isClosed);
    assert.equal(bytes, sent);
  });

  test('hands the raw stream out, with the bytes already read at its front', async (t) => {
    const world = await createWorld(t, new TcpTransport());
    const [client, server] = await world.pair();
    client.start().carrier.write([bytesOf('GET / ')]);
    server.start();
    await server.until(() => server.text === 'GET / ');
    const stream = server.carrier.takeStream?.();
    assert.ok(stream);
    client.carrier.write([bytesOf('HTTP/1.1')]);
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text === 'HTTP/1.1') stream.end('200');
    });
    stream.resume();
    await client.until(() => client.closes.length === 1);
    assert.equal(client.text, '200');
    assert.equal(server.text, 'GET / ');
    assert.equal(server.closes.length, 0);
  });

  test('reports a listen error', async (t) => {
    const world = await createWorld(t, new TcpTransport());
    const failed = Promise.withResolvers<Error>();
    new TcpTransport().listen(world.address, {
      onCarrier: () => assert.fail('accepted'),
      onError: (error) => failed.resolve(error),
    });
    assert.equal(((await failed.promise) as NodeJS.ErrnoException).code, 'EADDRINUSE');
  });
});
