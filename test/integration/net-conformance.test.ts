/** One list of what net does, run against node:net and against Godwit. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type nodeNet from 'node:net';
import { finished, pipeline } from 'node:stream/promises';
import { Readable, Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { IMPLEMENTATIONS, PLAIN, closeAll, listen, pair, portOf, readAll } from './implementations.ts';

/** Names of events, in the order in which they came. */
function record(emitter: NodeJS.EventEmitter, names: readonly string[]): string[] {
  const seen: string[] = [];
  for (const name of names) emitter.on(name, () => seen.push(name));
  return seen;
}

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
}

for (const { name, net } of [...IMPLEMENTATIONS, PLAIN]) {
  describe(`${name}: connecting`, () => {
    const overloads: readonly (readonly [
      what: string,
      connect: (port: number, listener: () => void) => nodeNet.Socket,
    ])[] = [
      ['port, host, listener', (port, listener) => net.connect(port, '127.0.0.1', listener)],
      ['new Socket().connect(port, listener)', (port, listener) => new net.Socket().connect(port, listener)],
      ['options, listener', (port, listener) => net.connect({ port, host: '127.0.0.1' }, listener)],
      ['createConnection', (port, listener) => net.createConnection({ port, host: 'localhost' }, listener)],
      [
        'new Socket().connect(port, host, listener)',
        (port, listener) => new net.Socket().connect(port, '127.0.0.1', listener),
      ],
      [
        'new Socket().connect(options, listener)',
        (port, listener) => new net.Socket().connect({ port, host: '127.0.0.1' }, listener),
      ],
      [
        'port as text',
        (port, listener) =>
          net.connect({ port: String(port) as unknown as number, host: '127.0.0.1' }, listener),
      ],
    ];
    for (const [what, connect] of overloads) {
      test(`works by ${what}`, async () => {
        const server = net.createServer((socket) => socket.end('hello'));
        server.listen(0);
        await once(server, 'listening');
        let connected = 0;
        const client = connect(portOf(server), () => (connected += 1));
        assert.equal((await readAll(client)).toString(), 'hello');
        assert.equal(connected, 1);
        await closeAll(server, client);
      });
    }

    test('throws at once on what can be no address', () => {
      assert.equal(
        codeOf(() => net.connect(70_000)),
        'ERR_SOCKET_BAD_PORT',
      );
      assert.equal(
        codeOf(() => net.connect({ port: -1 })),
        'ERR_SOCKET_BAD_PORT',
      );
      assert.equal(
        codeOf(() => net.connect({ port: true as unknown as number })),
        'ERR_INVALID_ARG_TYPE',
      );
      assert.equal(
        codeOf(() => net.connect({} as nodeNet.TcpNetConnectOpts)),
        'ERR_MISSING_ARGS',
      );
      assert.equal(
        codeOf(() => new net.Socket({ objectMode: true } as never)),
        'ERR_INVALID_ARG_VALUE',
      );
    });

    test('sockets and servers may be made without new', () => {
      const { Socket, Server } = net as unknown as Record<'Socket' | 'Server', () => object>;
      assert.ok(Socket() instanceof net.Socket);
      assert.ok(Server() instanceof net.Server);
    });

    test('refused: the error names the code, the call and the address, then the socket closes', async () => {
      const server = net.createServer();
      const port = await listen(server);
      await closeAll(server);
      const client = net.connect(port, '127.0.0.1');
      const seen = record(client, ['connect', 'ready', 'error', 'end', 'close']);
      const [error] = (await once(client, 'error')) as [
        NodeJS.ErrnoException & { address: string; port: number },
      ];
      assert.equal(error.code, 'ECONNREFUSED');
      assert.equal(error.syscall, 'connect');
      assert.equal(error.address, '127.0.0.1');
      assert.equal(error.port, port);
      assert.equal(error.message, `connect ECONNREFUSED 127.0.0.1:${port}`);
      assert.equal(typeof error.errno, 'number');
      const [hadError] = (await once(client, 'close')) as [boolean];
      assert.equal(hadError, true);
      assert.deepEqual(seen, ['error', 'close']);
    });

    test('a name that does not resolve is ENOTFOUND', async () => {
      const client = net.connect({
        port: 1,
        host: 'nowhere.invalid',
        lookup: (host, _options, callback) => {
          callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }), '', 0);
        },
      });
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ENOTFOUND');
    });

    test('properties before, while and after', async () => {
      const server = net.createServer((socket) => socket.resume());
      const port = await listen(server);
      const client = new net.Socket();
      assert.deepEqual([client.connecting, client.pending, client.readyState], [false, true, 'open']);
      assert.deepEqual(client.address(), {});
      client.connect(port, '127.0.0.1');
      assert.deepEqual([client.connecting, client.pending, client.readyState], [true, true, 'opening']);
      await once(client, 'connect');
      assert.deepEqual([client.connecting, client.pending, client.readyState], [false, false, 'open']);
      assert.deepEqual(
        [client.remoteAddress, client.remotePort, client.remoteFamily],
        ['127.0.0.1', port, 'IPv4'],
      );
      assert.equal(client.localAddress, '127.0.0.1');
      assert.deepEqual(client.address(), { address: '127.0.0.1', family: 'IPv4', port: client.localPort });
      client.end();
      assert.equal(client.readyState, 'readOnly');
      await once(client, 'close');
      assert.deepEqual([client.destroyed, client.readyState, client.pending], [true, 'closed', true]);
      await closeAll(server);
    });

    test('a socket connects again after it has closed', async () => {
      const server = net.createServer((socket) => socket.end('once'));
      const port = await listen(server);
      const client = new net.Socket();
      for (let round = 0; round < 2; round += 1) {
        client.connect(port, '127.0.0.1');
        await once(client, 'connect');
        assert.equal((await readAll(client)).toString(), 'once');
        await once(client, 'close');
        client.removeAllListeners('data');
      }
      await closeAll(server);
    });

    test('what is written while connecting arrives, and its callback follows connect', async () => {
      const server = net.createServer((socket) => socket.pipe(socket));
      const port = await listen(server);
      const client = net.connect(port, '127.0.0.1');
      const order: string[] = [];
      client.on('connect', () => order.push('connect'));
      client.write('a', () => order.push('written'));
      client.end('b');
      assert.equal(client.bytesWritten, 2);
      assert.equal((await readAll(client)).toString(), 'ab');
      assert.deepEqual(order, ['connect', 'written']);
      await closeAll(server, client);
    });

    test('an abort signal destroys a connecting socket', async () => {
      const controller = new AbortController();
      const server = net.createServer();
      const port = await listen(server);
      const client = net.connect({ port, host: '127.0.0.1', signal: controller.signal });
      controller.abort();
      const [error] = (await once(client, 'error')) as [Error];
      assert.equal(error.name, 'AbortError');
      await once(client, 'close');
      await closeAll(server);
    });

    test('destroy while connecting: close without connect', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const client = net.connect(port, '127.0.0.1');
      const seen = record(client, ['connect', 'error', 'close']);
      client.destroy();
      await once(client, 'close');
      await turn();
      assert.deepEqual(seen, ['close']);
      await closeAll(server);
    });

    test('write before connect is ERR_SOCKET_CLOSED', async () => {
      const client = new net.Socket();
      client.write('x');
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ERR_SOCKET_CLOSED');
    });
  });

  describe(`${name}: ending`, () => {
    test('the events of an orderly close, at both ends', async () => {
      const { server, client, accepted } = await pair(net);
      const names = ['data', 'end', 'finish', 'error', 'close'];
      const atClient = record(client, names);
      const atServer = record(accepted, names);
      client.end('bye');
      await Promise.all([once(client, 'close'), once(accepted, 'close')]);
      assert.deepEqual(atClient, ['finish', 'end', 'close']);
      assert.deepEqual(atServer, ['data', 'end', 'finish', 'close']);
      await closeAll(server);
    });

    test('allowHalfOpen lets one side go on writing', async () => {
      const { server, client, accepted } = await pair(net, { server: { allowHalfOpen: true } });
      client.end('question');
      assert.equal((await readAll(accepted)).toString(), 'question');
      assert.equal(accepted.writable, true);
      assert.equal(accepted.readyState, 'writeOnly');
      accepted.write('ans');
      accepted.end('wer');
      assert.equal((await readAll(client)).toString(), 'answer');
      await closeAll(server);
    });

    test('without allowHalfOpen, a write after the end of the peer is EPIPE', async () => {
      const { server, client, accepted } = await pair(net);
      client.end();
      accepted.resume();
      await once(accepted, 'end');
      accepted.write('late');
      const [error] = (await once(accepted, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'EPIPE');
      await closeAll(server, client);
    });

    test('a write after end is ERR_STREAM_WRITE_AFTER_END', async () => {
      const { server, client } = await pair(net);
      client.end();
      client.write('late');
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ERR_STREAM_WRITE_AFTER_END');
      await closeAll(server);
    });

    test('destroy: the peer reads what was written, then the end', async () => {
      const { server, client, accepted } = await pair(net);
      await new Promise((resolve) => client.write('last words', resolve));
      client.destroy();
      const [hadError] = (await once(client, 'close')) as [boolean];
      assert.equal(hadError, false);
      assert.equal((await readAll(accepted)).toString(), 'last words');
      await closeAll(server, accepted);
    });

    test('destroy with an error: error, then close with hadError', async () => {
      const { server, client } = await pair(net);
      const seen = record(client, ['error', 'close']);
      client.destroy(new Error('mine'));
      const [error] = (await once(client, 'error')) as [Error];
      assert.equal(error.message, 'mine');
      const [hadError] = (await once(client, 'close')) as [boolean];
      assert.equal(hadError, true);
      assert.deepEqual(seen, ['error', 'close']);
      await closeAll(server);
    });

    test('destroySoon writes everything first', async () => {
      const { server, client, accepted } = await pair(net);
      client.write(Buffer.alloc(300_000, 'x'));
      client.destroySoon();
      assert.equal((await readAll(accepted)).byteLength, 300_000);
      assert.equal(client.destroyed, true);
      await closeAll(server);
    });

    test('resetAndDestroy: the peer gets ECONNRESET', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.resume();
      client.resetAndDestroy();
      const [error] = (await once(accepted, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNRESET');
      assert.equal(error.syscall, 'read');
      assert.equal(error.message, 'read ECONNRESET');
      await once(accepted, 'close');
      await closeAll(server);
    });

    test('resetAndDestroy at the server: the client gets ECONNRESET', async () => {
      const { server, client, accepted } = await pair(net);
      client.resume();
      accepted.resetAndDestroy();
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNRESET');
      await closeAll(server);
    });

    test('resetAndDestroy of a socket that never connected is an error of its own', async () => {
      const client = new net.Socket();
      client.resetAndDestroy();
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ERR_SOCKET_CLOSED');
    });

    test('Symbol.asyncDispose closes', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.on('error', () => undefined).resume();
      client.on('error', () => undefined);
      await client[Symbol.asyncDispose]();
      assert.equal(client.destroyed, true);
      await once(accepted, 'close');
      await server[Symbol.asyncDispose]();
      assert.equal(server.listening, false);
    });
  });

  describe(`${name}: streaming`, () => {
    test('write answers false at the high-water mark, and drain follows when the peer reads', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.pause();
      const chunk = Buffer.alloc(64 * 1024);
      let written = 0;
      while (client.write(chunk)) {
        written += chunk.byteLength;
        assert.ok(written < 256 * 1024 * 1024, 'backpressure never came');
        await turn();
      }
      assert.ok(client.writableNeedDrain);
      const drained = once(client, 'drain');
      accepted.resume();
      await drained;
      assert.equal(client.writableLength, 0);
      await closeAll(server, client, accepted);
    });

    test('a paused peer stops the flow, and resume brings every byte', async () => {
      const { server, client, accepted } = await pair(net);
      const total = 24 * 1024 * 1024;
      accepted.pause();
      client.end(Buffer.alloc(total, 7));
      await turn();
      assert.ok(accepted.bytesRead < total);
      assert.equal((await readAll(accepted.resume())).byteLength, total);
      assert.equal(accepted.bytesRead, total);
      assert.equal(client.bytesWritten, total);
      await closeAll(server, client);
    });

    test('bytesWritten counts what still waits, strings by their bytes', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.resume();
      client.cork();
      client.write('é');
      client.write('abc');
      assert.equal(client.bytesWritten, 5);
      client.uncork();
      client.write(Buffer.alloc(10));
      assert.equal(client.bytesWritten, 15);
      await closeAll(server, client, accepted);
    });

    test('whoever awaits the data can await the end behind it', async () => {
      const { server, client, accepted } = await pair(net);
      client.end('last');
      const [chunk] = (await once(accepted, 'data')) as [Buffer];
      await once(accepted, 'end');
      assert.equal(chunk.toString(), 'last');
      await closeAll(server, client);
    });

    test('for await reads to the end', async () => {
      const { server, client, accepted } = await pair(net);
      client.write('one ');
      client.end('two');
      let text = '';
      for await (const chunk of accepted) text += String(chunk);
      assert.equal(text, 'one two');
      await closeAll(server, client);
    });

    test('setEncoding joins characters that were cut', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.setEncoding('utf8');
      let text = '';
      accepted.on('data', (part: string) => (text += part));
      const euro = Buffer.from('€');
      client.write(euro.subarray(0, 1));
      await turn();
      client.end(euro.subarray(1));
      await once(accepted, 'end');
      assert.equal(text, '€');
      await closeAll(server, client);
    });

    test('readable and read(n)', async () => {
      const { server, client, accepted } = await pair(net);
      client.end('abcdef');
      const parts: string[] = [];
      accepted.on('readable', () => {
        for (
          let part = accepted.read(4) as Buffer | null;
          part !== null;
          part = accepted.read(4) as Buffer | null
        )
          parts.push(part.toString());
        const rest = accepted.read() as Buffer | null;
        if (rest !== null) parts.push(rest.toString());
      });
      await once(accepted, 'end');
      assert.equal(parts.join(''), 'abcdef');
      await closeAll(server, client);
    });

    test('pipeline carries 8 MiB through an echo', async () => {
      const server = net.createServer((socket) => {
        pipeline(socket, socket).catch(() => undefined);
      });
      const port = await listen(server);
      const client = net.connect(port, '127.0.0.1');
      const chunk = Buffer.alloc(64 * 1024, 'z');
      let received = 0;
      const sink = new Writable({
        write(part: Buffer, _encoding, callback) {
          received += part.byteLength;
          callback();
        },
      });
      await Promise.all([
        pipeline(Readable.from(Array.from({ length: 128 }, () => chunk)), client),
        pipeline(client, sink),
      ]);
      assert.equal(received, 128 * chunk.byteLength);
      await closeAll(server, client);
    });

    test('finished tells of both sides', async () => {
      const { server, client, accepted } = await pair(net);
      accepted.resume();
      client.resume();
      client.end();
      await Promise.all([finished(client), finished(accepted)]);
      await closeAll(server);
    });

    test('corked writes arrive in order', async () => {
      const { server, client, accepted } = await pair(net);
      client.cork();
      for (let number = 0; number < 100; number += 1) client.write(`${number},`);
      process.nextTick(() => client.uncork());
      const expected = Array.from({ length: 100 }, (_, number) => `${number},`).join('');
      let text = '';
      for await (const chunk of accepted) {
        text += String(chunk);
        if (text.length === expected.length) break;
      }
      assert.equal(text, expected);
      await closeAll(server, client);
    });
  });

  describe(`${name}: options of the connection`, () => {
    test('setTimeout emits timeout when idle and leaves the socket alone', async () => {
      const { server, client, accepted } = await pair(net);
      assert.equal(client.timeout, undefined);
      const fired = once(client, 'timeout');
      client.setTimeout(30);
      assert.equal(client.timeout, 30);
      // Timers of sockets keep no process alive: something else must.
      const keepAlive = setInterval(() => undefined, 1000);
      await fired;
      clearInterval(keepAlive);
      assert.equal(client.destroyed, false);
      client.setTimeout(0);
      assert.equal(
        codeOf(() => client.setTimeout('1' as unknown as number)),
        'ERR_INVALID_ARG_TYPE',
      );
      assert.equal(
        codeOf(() => client.setTimeout(-1)),
        'ERR_OUT_OF_RANGE',
      );
      await closeAll(server, client, accepted);
    });

    test('the timeout option of connect does the same', async () => {
      const { server, client, accepted } = await pair(net, { client: { timeout: 30 } });
      assert.equal(client.timeout, 30);
      const keepAlive = setInterval(() => undefined, 1000);
      await once(client, 'timeout');
      clearInterval(keepAlive);
      await closeAll(server, client, accepted);
    });

    test('setNoDelay, setKeepAlive, ref and unref answer the socket', async () => {
      const { server, client, accepted } = await pair(net);
      assert.equal(client.setNoDelay(), client);
      assert.equal(client.setNoDelay(false), client);
      assert.equal(client.setKeepAlive(true, 1000), client);
      assert.equal(client.unref(), client);
      assert.equal(client.ref(), client);
      await closeAll(server, client, accepted);
    });
  });

  describe(`${name}: servers`, () => {
    test('listen by port, host and listener; address says where', async () => {
      const server = net.createServer();
      assert.equal(server.listening, false);
      assert.equal(server.address(), null);
      await new Promise<void>((resolve) => {
        assert.equal(server.listen(0, '127.0.0.1', 10, resolve), server);
      });
      assert.equal(server.listening, true);
      const address = server.address() as nodeNet.AddressInfo;
      assert.deepEqual([address.address, address.family], ['127.0.0.1', 'IPv4']);
      await closeAll(server);
      assert.equal(server.listening, false);
      assert.equal(server.address(), null);
    });

    test('listen by options, and again after close', async () => {
      const server = net.createServer();
      for (let round = 0; round < 2; round += 1) {
        server.listen({ port: 0, host: '127.0.0.1', exclusive: true });
        await once(server, 'listening');
        await closeAll(server);
      }
    });

    test('listening twice throws, a taken port is an event', async () => {
      const first = net.createServer();
      const port = await listen(first);
      assert.equal(
        codeOf(() => first.listen(0)),
        'ERR_SERVER_ALREADY_LISTEN',
      );
      assert.equal(
        codeOf(() => net.createServer().listen(70_000)),
        'ERR_SOCKET_BAD_PORT',
      );
      const second = net.createServer();
      second.listen(port, '127.0.0.1');
      const [error] = (await once(second, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'EADDRINUSE');
      assert.equal(error.syscall, 'listen');
      second.listen(0, '127.0.0.1');
      await once(second, 'listening');
      await closeAll(second);
      await closeAll(first);
    });

    test('a signal closes the server', async () => {
      const controller = new AbortController();
      const server = net.createServer();
      server.listen({ port: 0, host: '127.0.0.1', signal: controller.signal });
      await once(server, 'listening');
      controller.abort();
      await once(server, 'close');
    });

    test('close waits for the connections, and refuses new ones', async () => {
      const { server, client, accepted, port } = await pair(net);
      accepted.resume();
      let closed = false;
      server.close(() => (closed = true));
      assert.equal(server.listening, false);
      const late = net.connect(port, '127.0.0.1');
      const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNREFUSED');
      assert.equal(closed, false);
      const end = once(server, 'close');
      client.end();
      await end;
      assert.equal(closed, true);
    });

    test('close of a server that does not listen tells its callback so', async () => {
      const server = net.createServer();
      const error = await new Promise<Error | undefined>((resolve) => server.close(resolve));
      assert.equal((error as NodeJS.ErrnoException).code, 'ERR_SERVER_NOT_RUNNING');
    });

    test('getConnections counts', async () => {
      const { server, client, accepted } = await pair(net);
      const count = (): Promise<number> =>
        new Promise((resolve, reject) => {
          server.getConnections((error, connections) => (error ? reject(error) : resolve(connections)));
        });
      assert.equal(await count(), 1);
      accepted.resume();
      client.end();
      await once(accepted, 'close');
      assert.equal(await count(), 0);
      await closeAll(server);
    });

    test('maxConnections drops the one too many', async () => {
      const { server, client, accepted, port } = await pair(net);
      server.maxConnections = 1;
      const dropped = once(server, 'drop');
      const late = net.connect(port, '127.0.0.1');
      late.on('error', () => undefined).resume();
      const gone = once(late, 'close');
      const [argument] = (await dropped) as [nodeNet.DropArgument];
      assert.equal(argument.localPort, port);
      assert.equal(argument.remoteAddress, '127.0.0.1');
      await gone;
      await closeAll(server, client, accepted);
    });

    test('pauseOnConnect hands over a paused socket', async () => {
      const { server, client, accepted } = await pair(net, { server: { pauseOnConnect: true } });
      assert.equal(accepted.isPaused(), true);
      client.end('kept');
      assert.equal((await readAll(accepted.resume())).toString(), 'kept');
      await closeAll(server, client);
    });

    test('a hundred connections at once', async () => {
      const server = net.createServer((socket) => socket.pipe(socket));
      const port = await listen(server);
      const texts = await Promise.all(
        Array.from({ length: 100 }, async (_, number) => {
          const client = net.connect(port, '127.0.0.1');
          client.end(`number ${number}`);
          return (await readAll(client)).toString();
        }),
      );
      assert.deepEqual(
        texts,
        Array.from({ length: 100 }, (_, number) => `number ${number}`),
      );
      await closeAll(server);
    });
  });
}
