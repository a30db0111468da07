/** Clients that take or give hardly a byte while data waits: they end, with a code at both ends, and others do not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import {
  TcpTransport,
  connect,
  createServer,
  type Carrier,
  type DialDone,
  type GodwitError,
  type Server,
  type ServerOptions,
  type ServerSocket,
} from 'godwit';

async function start(options: ServerOptions, listener: (socket: ServerSocket) => void): Promise<Server> {
  const server = createServer(options, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function accepted(server: Server): Promise<ServerSocket> {
  const [socket] = (await once(server, 'connection')) as [ServerSocket];
  return socket;
}

async function codeOf(socket: NodeJS.EventEmitter): Promise<string> {
  const [error] = (await once(socket, 'error')) as [GodwitError];
  return error.code;
}

const BULK_BYTES = 8 * 1024 * 1024;

test('a client that reads nothing of what waits for it is reset at both ends; one that waits for nothing is not', async () => {
  await using server = await start({ timers: { slowReaderTimeoutMs: 200 } }, () => undefined);
  const idle = connect(portOf(server), '127.0.0.1');
  const idleAtServer = await accepted(server);
  idleAtServer.pipe(idleAtServer);
  const slow = connect(portOf(server), '127.0.0.1');
  const atServer = await accepted(server);
  slow.pause();
  atServer.write(Buffer.alloc(BULK_BYTES));
  const codes = [codeOf(atServer), codeOf(slow)];
  assert.deepEqual(await Promise.all(codes), ['ERR_GODWIT_TOO_SLOW', 'ERR_GODWIT_TOO_SLOW']);
  idle.write('still here');
  assert.equal(String((await once(idle, 'data'))[0]), 'still here');
  idle.destroy();
});

test('a reader may be slow, as long as it is not slower than minBytesPerSecond', async () => {
  for (const [minBytesPerSecond, expected] of [
    [10, 'end'],
    [100_000_000, 'ERR_GODWIT_TOO_SLOW'],
  ] as const) {
    const options = { timers: { slowReaderTimeoutMs: 500 }, limits: { minBytesPerSecond } };
    await using server = await start(options, (socket) => {
      socket.on('error', () => undefined);
      // What its window does not hold, it takes as fast as it reads.
      socket.end(Buffer.alloc(BULK_BYTES / 2));
    });
    const client = connect(portOf(server), '127.0.0.1');
    client.on('data', () => {
      client.pause();
      setTimeout(() => client.resume(), 30);
    });
    const { promise, resolve } = Promise.withResolvers<string>();
    client.on('error', (error: GodwitError) => resolve(error.code));
    client.on('end', () => resolve('end'));
    assert.equal(await promise, expected);
  }
});

/** Of every write from then on only the first bytes leave, and the rest in drops. */
class DrippingTransport extends TcpTransport {
  drips = false;
  readonly #timers = new Set<NodeJS.Timeout>();

  override dial(
    ...[address, options, done]: Parameters<TcpTransport['dial']>
  ): ReturnType<TcpTransport['dial']> {
    const wrapped: DialDone = (error, carrier) => {
      if (carrier !== undefined) this.#slowDown(carrier);
      done(error, carrier);
    };
    return super.dial(address, options, wrapped);
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #slowDown(carrier: Carrier): void {
    const write = carrier.write.bind(carrier);
    let waiting = Buffer.alloc(0);
    carrier.write = (parts) => {
      if (!this.drips) return write(parts);
      waiting = Buffer.concat([waiting, ...parts]);
      return true;
    };
    const drop = setInterval(() => {
      if (waiting.byteLength > 0) write([waiting.subarray(0, 1)]);
      waiting = waiting.subarray(1);
    }, 20);
    this.#timers.add(drop);
  }
}

test('a client that sends a frame byte by byte is reset at both ends; one between two frames is not', async () => {
  await using server = await start({ timers: { slowWriterTimeoutMs: 200 } }, (socket) => socket.pipe(socket));
  const idle = connect(portOf(server), '127.0.0.1');
  await once(idle, 'connect');
  const transport = new DrippingTransport();
  const slow = connect({ port: portOf(server), host: '127.0.0.1', transport });
  const atServer = await accepted(server);
  slow.write('whole');
  await once(slow, 'data');
  transport.drips = true;
  slow.write(Buffer.alloc(100_000));
  const codes = [codeOf(atServer), codeOf(slow)];
  assert.deepEqual(await Promise.all(codes), ['ERR_GODWIT_TOO_SLOW', 'ERR_GODWIT_TOO_SLOW']);
  transport.stop();
  idle.write('still here');
  assert.equal(String((await once(idle, 'data'))[0]), 'still here');
  idle.destroy();
});

test('timeouts that make no sense are refused, and 0 is none', () => {
  const make = (timers: ServerOptions['timers']) => () => createServer({ timers: timers ?? {} });
  assert.throws(make({ slowReaderTimeoutMs: 99 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(make({ slowWriterTimeoutMs: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.doesNotThrow(make({ slowReaderTimeoutMs: 0, slowWriterTimeoutMs: 0 }));
});
