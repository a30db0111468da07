/** Which carriers of a process share a connection, and for how long: against a server of trunks that says as much as it is told to. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { until } from '../../../../test/integration/until.ts';
import { PREFACE_BYTES, Role } from '../wire/index.ts';
import type { Carrier, CarrierClosed, DialOptions, DialStep } from './carrier.ts';
import { BULK_BYTES, Channel } from './channel.ts';
import { TRUNK_IDLE_MS } from './client-trunk.ts';
import { ANSWER_TIMEOUT_MS, OWN_CONNECTIONS, REFUSED_PAUSE_MS, SharingTransport } from './sharing.ts';
import { SocketCarrier, TcpTransport } from './tcp.ts';
import { Trunk } from './trunk.ts';

/** A server that answers each channel's first bytes, and each connection's, unless it is told to be silent. */
class Server {
  readonly #server: net.Server;
  connections = 0;
  open = 0;
  answer: Uint8Array = Buffer.from('answer');
  takesChannels = true;
  /** Whether a connection, counted from 1, is answered. */
  answers: (connection: number) => boolean = () => true;

  constructor(t: TestContext) {
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      this.connections += 1;
      this.open += 1;
      socket.on('close', () => (this.open -= 1));
      this.#serve(new SocketCarrier(socket), this.connections);
      t.after(() => socket.destroy());
    });
    t.after(() => this.#server.close());
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  #serve(carrier: SocketCarrier, connection: number): void {
    const answer = (channel: Carrier): boolean => {
      if (!this.takesChannels) return false;
      channel.start({
        onData: () => {
          if (this.answers(connection)) channel.write([this.answer]);
        },
        onDrain: () => undefined,
        onClose: () => undefined,
      });
      return true;
    };
    carrier.start({
      onData: (chunk) => {
        if (chunk[10] !== Role.Trunk) return;
        const trunk = new Trunk(carrier, {
          onChannel: answer,
          onEmpty: () => undefined,
          onClose: () => undefined,
        });
        trunk.start(chunk.subarray(PREFACE_BYTES));
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
  }
}

interface Dialled {
  readonly carrier: Carrier;
  readonly closed: Promise<CarrierClosed>;
  /** Bytes that came. */
  received: number;
}

/** A server, and how to dial it; what is dialled is closed with the test. */
async function setUp(t: TestContext, transport = new SharingTransport(new TcpTransport())) {
  const server = new Server(t);
  await server.listen();
  const dial = (options: Partial<DialOptions> = {}, isHeard = true): Promise<Dialled> =>
    new Promise((resolve, reject) => {
      transport.dial(server.address, { timeoutMs: 2_000, ...options }, (error, carrier) => {
        if (carrier === undefined) {
          reject(Object.assign(new Error(error?.message), error));
          return;
        }
        t.after(() => carrier.destroy());
        const closed = Promise.withResolvers<CarrierClosed>();
        const dialled: Dialled = { carrier, closed: closed.promise, received: 0 };
        carrier.start({
          onData: ({ byteLength }) => {
            dialled.received += byteLength;
            resolve(dialled);
          },
          onDrain: () => undefined,
          onClose: closed.resolve,
        });
        carrier.write([Buffer.from('first word')]);
        // Connections of their own are not answered here.
        if (!isHeard || carrier instanceof SocketCarrier) resolve(dialled);
      });
    });
  const own: Dialled[] = [];
  for (let count = 0; count < OWN_CONNECTIONS; count += 1) own.push(await dial());
  return { server, transport, dial, own };
}

test('the first carriers have connections of their own; those beyond share one, also those dialled at once', async (t) => {
  const { server, dial, own } = await setUp(t);
  assert.ok(own.every(({ carrier }) => carrier instanceof SocketCarrier));
  const shared = await Promise.all([dial(), dial(), dial()]);
  shared.push(await dial());
  assert.ok(shared.every(({ carrier }) => carrier instanceof Channel));
  assert.equal(server.connections, OWN_CONNECTIONS + 1);
});

for (const way of ['up', 'down'] as const)
  test(`no other carrier is put behind a bulk stream (${way})`, async (t) => {
    const { server, dial } = await setUp(t);
    const [bulk, small] = [await dial(), await dial()];
    assert.equal(bulk.carrier.localPort, small.carrier.localPort);
    if (way === 'up') bulk.carrier.write([Buffer.alloc(BULK_BYTES)]);
    else {
      server.answer = Buffer.alloc(BULK_BYTES);
      bulk.carrier.write([Buffer.from('much')]);
      await until(() => bulk.received >= BULK_BYTES);
      server.answer = Buffer.from('little');
    }
    const next = await dial();
    assert.ok(next.carrier instanceof Channel);
    assert.notEqual(next.carrier.localPort, bulk.carrier.localPort);
    assert.equal((small.carrier as Channel).isClosed, false);
    assert.equal((await dial()).carrier.localPort, next.carrier.localPort);
  });

test('a connection without channels is kept from its last one on, not from an earlier one', async (t) => {
  const { server, dial } = await setUp(t);
  const first = await dial();
  first.carrier.end();
  await wait(TRUNK_IDLE_MS / 2);
  const second = await dial();
  await wait(TRUNK_IDLE_MS / 2 - 200);
  second.carrier.end();
  await wait(TRUNK_IDLE_MS / 2);
  assert.equal(server.open, OWN_CONNECTIONS + 1);
  await until(() => server.open === OWN_CONNECTIONS);
});

test('a server that is silent everywhere is asked once over another connection, and not again and again', async (t) => {
  const { server, dial } = await setUp(t);
  server.answers = () => false;
  const silent = await dial({}, false);
  await wait(6 * ANSWER_TIMEOUT_MS);
  assert.equal(server.connections, OWN_CONNECTIONS + 2);
  assert.equal((silent.carrier as Channel).isClosed, false, 'it may only be busy');
});

test('a path that is gone is given up as soon as the server answers over another one', async (t) => {
  const { server, dial } = await setUp(t);
  server.answers = (connection) => connection !== OWN_CONNECTIONS + 1;
  const { carrier, closed } = await dial({}, false);
  const { code, reset, redial } = await closed;
  assert.deepEqual([code, reset, redial], ['ETIMEDOUT', false, true]);
  assert.ok(carrier instanceof Channel);
  const next = await dial();
  assert.ok(next.carrier instanceof Channel);
  assert.equal(server.connections, OWN_CONNECTIONS + 2);
});

test('a server that took its time, and answers, keeps its channels', async (t) => {
  const { server, dial } = await setUp(t);
  server.answers = () => false;
  const late = await dial({}, false);
  await wait(ANSWER_TIMEOUT_MS * 1.5);
  server.answers = () => true;
  late.carrier.write([Buffer.from('are you there?')]);
  await wait(200);
  assert.equal((late.carrier as Channel).isClosed, false);
});

test('the dial that asks the server is not cancelled with a session that joined it', async (t) => {
  const tcp = new TcpTransport();
  let dials = 0;
  // What asks takes its time to connect.
  const slow = new SharingTransport({
    listen: (target, handlers) => tcp.listen(target, handlers),
    dial: (address, options, done) => {
      dials += 1;
      if (dials <= OWN_CONNECTIONS + 1) return tcp.dial(address, options, done);
      let inner: { cancel(): void } | undefined;
      const timer = setTimeout(() => (inner = tcp.dial(address, options, done)), 300);
      return {
        cancel: () => {
          clearTimeout(timer);
          inner?.cancel();
        },
      };
    },
  });
  const { server, dial } = await setUp(t, slow);
  server.answers = (connection) => connection !== OWN_CONNECTIONS + 1;
  const hanging = await dial({}, false);
  await until(() => dials === OWN_CONNECTIONS + 2);
  slow.dial(server.address, { timeoutMs: 1_000 }, () => assert.fail('it was cancelled')).cancel();
  assert.equal((await hanging.closed).code, 'ETIMEDOUT');
});

test('a connection that this side ended without a word from the server says nothing of the server', async (t) => {
  const { server, dial } = await setUp(t);
  server.answers = () => false;
  const short = await dial({}, false);
  short.carrier.destroy();
  await until(() => server.open === OWN_CONNECTIONS);
  server.answers = () => true;
  assert.ok((await dial()).carrier instanceof Channel);
});

test('where a server refuses a channel, carriers have connections of their own for a while', async (t) => {
  const { server, dial } = await setUp(t);
  const before = await dial();
  server.takesChannels = false;
  const refused = await dial({}, false);
  const { code, reset, redial } = await refused.closed;
  assert.deepEqual([code, reset, redial], ['ECONNREFUSED', false, true]);
  server.takesChannels = true;
  assert.ok((await dial()).carrier instanceof SocketCarrier);
  await wait(REFUSED_PAUSE_MS + 50);
  assert.equal((await dial()).carrier.localPort, before.carrier.localPort);
});

test('an old connection that ends forgets nothing of the new one', async (t) => {
  const { server, dial, own } = await setUp(t);
  const old = await dial();
  server.answers = (connection) => connection !== OWN_CONNECTIONS + 1;
  const hanging = await dial({}, false);
  await hanging.closed;
  // It goes on with its last channel, while all else comes to an end, and begins anew.
  for (const { carrier } of own) carrier.destroy();
  await until(() => server.open === 1);
  for (let count = 0; count < OWN_CONNECTIONS; count += 1) await dial();
  const before = await dial();
  old.carrier.end();
  await until(() => server.open === OWN_CONNECTIONS + 1);
  const behind = await dial();
  assert.equal(behind.carrier.localPort, before.carrier.localPort);
});

test('who gives a dial up hears no more of it, and the others do', async (t) => {
  const { server, transport } = await setUp(t);
  const steps: string[] = [];
  const onStep =
    (name: string) =>
    ({ event }: DialStep): number =>
      steps.push(`${name} ${event}`);
  const first = transport.dial(server.address, { timeoutMs: 1_000, onStep: onStep('first') }, () =>
    steps.push('first is done'),
  );
  const done = Promise.withResolvers<Carrier | undefined>();
  transport.dial(server.address, { timeoutMs: 1_000, onStep: onStep('second') }, (_error, carrier) =>
    done.resolve(carrier),
  );
  first.cancel();
  const carrier = await done.promise;
  t.after(() => carrier?.destroy());
  assert.ok(carrier instanceof Channel);
  assert.ok(steps.includes('second connectionAttempt'), steps.join());
  assert.ok(!steps.some((step) => step.startsWith('first')), steps.join());
});

test('a shared connection keeps nothing of the asynchronous context of who dialled it first', async (t) => {
  const { server, transport } = await setUp(t);
  const context = new AsyncLocalStorage<string>();
  const seen = await Promise.all(
    ['one', 'two'].map((name) =>
      context.run(
        name,
        () =>
          new Promise((resolve) => {
            transport.dial(server.address, { timeoutMs: 1_000 }, (_error, carrier) => {
              t.after(() => carrier?.destroy());
              resolve(context.getStore());
            });
          }),
      ),
    ),
  );
  assert.deepEqual(seen, ['one', 'two']);
});

test('nobody who may not dial Unix sockets shares one, nor fails who may', async () => {
  const transport = new SharingTransport(new TcpTransport());
  const address = { host: 'unix:/no/such/socket', port: 0 };
  const codeOf = (unixSockets: boolean): Promise<string | undefined> =>
    new Promise((resolve) => {
      transport.dial(address, { timeoutMs: 1_000, unixSockets }, (error) => resolve(error?.code));
    });
  const codes = await Promise.all(
    Array.from({ length: 4 * OWN_CONNECTIONS }, (_, index) => codeOf(index % 2 === 0)),
  );
  assert.deepEqual(new Set(codes.filter((_, index) => index % 2 === 0)), new Set(['ENOENT']));
  assert.deepEqual(new Set(codes.filter((_, index) => index % 2 === 1)), new Set(['ERR_GODWIT_DENIED']));
});
