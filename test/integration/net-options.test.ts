/** What net does with the options of `connect` and `createServer` that shape how bytes and connections come in. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import nodeNet from 'node:net';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { IMPLEMENTATIONS, closeAll, listen, pair } from './implementations.ts';

/** All of these events, with their arguments; errors by their codes. */
function record(socket: nodeNet.Socket, names: readonly string[]): unknown[][] {
  const seen: unknown[][] = [];
  for (const name of names)
    socket.on(name, (...args: unknown[]) => seen.push([name, ...args.map((arg) => codeOf(arg) ?? arg)]));
  return seen;
}

function codeOf(value: unknown): unknown {
  return value instanceof Error ? (value as NodeJS.ErrnoException).code : undefined;
}

const DIAL_EVENTS = [
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
  'connect',
  'ready',
  'error',
  'close',
];

/** Resolves every name to these addresses; later, as resolvers do. */
function resolveTo(...addresses: readonly string[]): nodeNet.LookupFunction {
  const found = addresses.map((address) => ({ address, family: nodeNet.isIP(address) }));
  return (_host, { all }, callback) => {
    setImmediate(() => {
      if (all === true) callback(null, found);
      else callback(null, found[0]?.address ?? '', found[0]?.family);
    });
  };
}

for (const { name, net } of IMPLEMENTATIONS) {
  describe(`${name}: onread`, () => {
    test('bytes come into the one buffer, and no data event', async () => {
      const server = net.createServer((socket) => socket.end('x'.repeat(100_000)));
      const port = await listen(server);
      const buffer = new Uint8Array(1000);
      let bytes = 0;
      const owners: unknown[] = [];
      const client = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer,
          callback(this: unknown, length, given) {
            owners.push(this);
            assert.equal(given, buffer);
            assert.ok(length > 0 && length <= buffer.byteLength);
            assert.ok(given.subarray(0, length).every((byte) => byte === 0x78));
            bytes += length;
            return true;
          },
        },
      });
      const seen = record(client, ['data', 'end', 'close']);
      await once(client, 'close');
      assert.equal(bytes, 100_000);
      assert.equal(client.bytesRead, 100_000);
      assert.ok(owners.every((owner) => owner === client));
      assert.deepEqual(seen, [['end'], ['close', false]]);
      await closeAll(server);
    });

    test('a function gives the first buffer, and another one behind each call', async () => {
      const server = net.createServer((socket) => socket.end('abcdefgh'));
      const port = await listen(server);
      const steps: string[] = [];
      let made = 0;
      const client = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer: () => {
            steps.push('buffer');
            made += 1;
            return new Uint8Array(made + 1);
          },
          callback: (length, buffer) => {
            steps.push(`${Buffer.from(buffer.subarray(0, length)).toString()} in ${buffer.byteLength}`);
            return true;
          },
        },
      });
      await once(client, 'close');
      assert.deepEqual(steps, ['buffer', 'ab in 2', 'buffer', 'cde in 3', 'buffer', 'fgh in 4', 'buffer']);
      await closeAll(server);
    });

    test('false pauses until resume, and nothing is lost', async () => {
      const server = net.createServer((socket) => socket.end('abcdef'));
      const port = await listen(server);
      let text = '';
      const client = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer: new Uint8Array(2),
          callback: (length, buffer) => {
            text += Buffer.from(buffer.subarray(0, length)).toString();
            client.emit('some');
            return false;
          },
        },
      });
      await once(client, 'some');
      for (const expected of ['ab', 'abcd', 'abcdef']) {
        // Whatever might come in by mistake has the time that a round trip takes.
        await roundTrip();
        assert.equal(text, expected);
        if (expected.length === 6) break;
        const more = once(client, 'some');
        client.resume();
        await more;
      }
      assert.equal(client.bytesRead, 6);
      const ended = once(client, 'end');
      client.resume();
      await ended;
      await closeAll(server, client);
    });

    test('pause and resume act on it too', async () => {
      const { server, client, accepted } = await pair(net, {
        client: {
          onread: {
            buffer: Buffer.alloc(100),
            callback: (length: number) => client.emit('some', length),
          },
        },
      });
      client.pause();
      accepted.write('abc');
      await roundTrip();
      assert.equal(client.bytesRead, 0);
      const some = once(client, 'some');
      client.resume();
      assert.deepEqual(await some, [3]);
      await closeAll(server, client, accepted);
    });

    test('without a buffer or a callback it is ignored', async () => {
      const onread = { buffer: Buffer.alloc(10) } as unknown as nodeNet.OnReadOpts;
      const { server, client, accepted } = await pair(net, { client: { onread } });
      accepted.write('abc');
      const [chunk] = (await once(client, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'abc');
      await closeAll(server, client, accepted);
    });

    test('a socket that connects again takes its buffer along', async () => {
      const server = net.createServer((socket) => socket.end('abc'));
      const port = await listen(server);
      const lengths: number[] = [];
      const client = new net.Socket({
        onread: { buffer: Buffer.alloc(10), callback: (length) => lengths.push(length) > 0 },
      });
      for (let round = 0; round < 2; round += 1) {
        client.connect(port, '127.0.0.1');
        await once(client, 'close');
      }
      assert.deepEqual(lengths, [3, 3]);
      await closeAll(server);
    });
  });

  describe(`${name}: the events of dialling`, () => {
    test('for an address', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const client = net.connect(port, '127.0.0.1');
      const seen = record(client, DIAL_EVENTS);
      await once(client, 'ready');
      assert.deepEqual(seen, [['connectionAttempt', '127.0.0.1', port, 4], ['connect'], ['ready']]);
      assert.equal(client.autoSelectFamilyAttemptedAddresses, undefined);
      await closeAll(server, client);
    });

    test('for a name', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const client = net.connect({ port, host: 'somewhere', lookup: resolveTo('127.0.0.1') });
      const seen = record(client, DIAL_EVENTS);
      await once(client, 'ready');
      assert.deepEqual(seen, [
        ['lookup', null, '127.0.0.1', 4, 'somewhere'],
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['connect'],
        ['ready'],
      ]);
      await closeAll(server, client);
    });

    test('for a name with several addresses, of which the second answers', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const lookup = resolveTo('::1', '127.0.0.1');
      const client = net.connect({ port, host: 'both', lookup, autoSelectFamily: true });
      const seen = record(client, DIAL_EVENTS);
      await once(client, 'ready');
      assert.deepEqual(seen, [
        ['lookup', null, '::1', 6, 'both'],
        ['lookup', null, '127.0.0.1', 4, 'both'],
        ['connectionAttempt', '::1', port, 6],
        ['connectionAttemptFailed', '::1', port, 6, seen[3]?.[4]],
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['connect'],
        ['ready'],
      ]);
      assert.deepEqual(client.autoSelectFamilyAttemptedAddresses, [`::1:${port}`, `127.0.0.1:${port}`]);
      await closeAll(server, client);
    });

    test('autoSelectFamily: false tries one address alone', async () => {
      const server = net.createServer();
      const port = await listen(server);
      await closeAll(server);
      const lookup = resolveTo('127.0.0.1', '::1');
      const client = net.connect({ port, host: 'both', lookup, autoSelectFamily: false });
      const seen = record(client, DIAL_EVENTS);
      await new Promise((resolve) => client.on('close', resolve));
      assert.deepEqual(seen, [
        ['lookup', null, '127.0.0.1', 4, 'both'],
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['connectionAttemptFailed', '127.0.0.1', port, 4, 'ECONNREFUSED'],
        ['error', 'ECONNREFUSED'],
        ['close', true],
      ]);
    });

    test('the error for several addresses has one for each', async () => {
      const server = net.createServer();
      const port = await listen(server);
      await closeAll(server);
      const lookup = resolveTo('127.0.0.1', '127.0.0.2');
      const client = net.connect({ port, host: 'two', lookup, autoSelectFamily: true });
      const [error] = (await once(client, 'error')) as [AggregateError & { code: string }];
      assert.equal(error.code, 'ECONNREFUSED');
      assert.deepEqual(
        error.errors.map(({ message }: Error) => message),
        [`connect ECONNREFUSED 127.0.0.1:${port}`, `connect ECONNREFUSED 127.0.0.2:${port}`],
      );
    });

    test('a name that is not there: lookup, then the error of the resolver', async () => {
      const lookup: nodeNet.LookupFunction = (host, _options, callback) => {
        const message = `getaddrinfo ENOTFOUND ${host}`;
        const fields = { code: 'ENOTFOUND', errno: -3008, syscall: 'getaddrinfo', hostname: host };
        setImmediate(() => callback(Object.assign(new Error(message), fields), ''));
      };
      const client = net.connect({ port: 1, host: 'nowhere.invalid', lookup });
      const seen = record(client, DIAL_EVENTS);
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException & { hostname: string }];
      const { code, errno, syscall, hostname, message } = error;
      assert.deepEqual(
        [code, errno, syscall, hostname],
        ['ENOTFOUND', -3008, 'getaddrinfo', 'nowhere.invalid'],
      );
      assert.equal(message, 'getaddrinfo ENOTFOUND nowhere.invalid');
      await once(client, 'close');
      assert.deepEqual(seen, [
        ['lookup', 'ENOTFOUND', undefined, undefined, 'nowhere.invalid'],
        ['error', 'ENOTFOUND'],
        ['close', true],
      ]);
    });

    test('an address that is silent: connectionAttemptTimeout, and the next one', async (t) => {
      if (process.platform !== 'linux') {
        t.skip('only Linux has a 127.0.0.2 and leaves a SYN unanswered when the backlog is full');
        return;
      }
      const server = net.createServer();
      const port = await listen(server);
      const silent = await startSilent(port);
      t.after(() => silent.end());
      const lookup = resolveTo('127.0.0.2', '127.0.0.1');
      const timeouts = { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 50 };
      const client = net.connect({ port, host: 'two', lookup, ...timeouts });
      const seen = record(client, DIAL_EVENTS);
      await once(client, 'ready');
      assert.deepEqual(seen.slice(2), [
        ['connectionAttempt', '127.0.0.2', port, 4],
        ['connectionAttemptTimeout', '127.0.0.2', port, 4],
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['connect'],
        ['ready'],
      ]);
      await closeAll(server, client);
    });

    test('localAddress, localPort and family are those of the connection', async () => {
      const probe = net.createServer();
      const localPort = await listen(probe);
      await closeAll(probe);
      const options = { localAddress: '127.0.0.1', localPort, family: 4 };
      const { server, client, accepted } = await pair(net, { client: options });
      assert.deepEqual(
        [client.localAddress, client.localPort, client.localFamily],
        ['127.0.0.1', localPort, 'IPv4'],
      );
      assert.deepEqual([accepted.remoteAddress, accepted.remotePort], ['127.0.0.1', localPort]);
      await closeAll(server, client, accepted);
    });

    test('hints and family go to the resolver', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const asked: unknown[] = [];
      const lookup: nodeNet.LookupFunction = (host, options, callback) => {
        asked.push([host, options.family, options.hints, options.all === true]);
        resolveTo('127.0.0.1')(host, options, callback);
      };
      for (const options of [{ family: 4, hints: 5 }, { family: 0 }]) {
        const client = net.connect({ port, host: 'somewhere', lookup, ...options });
        await once(client, 'connect');
        client.destroy();
      }
      assert.deepEqual(asked[0], ['somewhere', 4, 5, false]);
      assert.equal(asked.length, 2);
      await closeAll(server);
    });
  });

  describe(`${name}: blockList`, () => {
    test('a blocked address is never connected to', async () => {
      const server = net.createServer(() => assert.fail('connected'));
      const port = await listen(server);
      const blockList = new nodeNet.BlockList();
      blockList.addAddress('127.0.0.1');
      const client = net.connect({ port, host: '127.0.0.1', blockList });
      const seen = record(client, DIAL_EVENTS);
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.message, 'IP(127.0.0.1) is blocked by net.BlockList');
      await once(client, 'close');
      assert.deepEqual(seen, [
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['error', 'ERR_IP_BLOCKED'],
        ['close', true],
      ]);
      await closeAll(server);
    });

    test('of several addresses those that are not blocked are tried', async () => {
      const server = net.createServer();
      const port = await listen(server);
      const blockList = new nodeNet.BlockList();
      blockList.addSubnet('127.0.0.2', 32);
      const lookup = resolveTo('127.0.0.2', '127.0.0.1');
      const client = net.connect({ port, host: 'two', lookup, blockList, autoSelectFamily: true });
      const seen = record(client, DIAL_EVENTS);
      await once(client, 'ready');
      assert.deepEqual(seen.slice(2), [
        ['connectionAttemptFailed', '127.0.0.2', port, 4, 'ERR_IP_BLOCKED'],
        ['connectionAttempt', '127.0.0.1', port, 4],
        ['connect'],
        ['ready'],
      ]);
      await closeAll(server, client);
    });

    test('at the server: who is blocked gets no connection, and others do', async () => {
      const blockList = new nodeNet.BlockList();
      const server = net.createServer({ blockList }, (socket) => socket.end('hello'));
      const port = await listen(server);
      blockList.addAddress('127.0.0.1');
      let connections = 0;
      server.on('connection', () => (connections += 1));
      const blocked = net.connect(port, '127.0.0.1');
      blocked.on('error', () => undefined).resume();
      await new Promise((resolve) => blocked.on('close', resolve));
      assert.equal(connections, 0);
      const other = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
      const [chunk] = (await once(other, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'hello');
      assert.equal(connections, 1);
      await closeAll(server, other);
    });

    test('what is no BlockList is refused at once', () => {
      const blockList = { check: () => false } as unknown as nodeNet.BlockList;
      assert.throws(() => new net.Socket({ blockList }), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
      assert.throws(() => net.createServer({ blockList }), {
        name: 'TypeError',
        code: 'ERR_INVALID_ARG_TYPE',
      });
    });
  });
}

/** A connection elsewhere, there and back: what was on its way before has arrived. */
async function roundTrip(): Promise<void> {
  const { server, client, accepted } = await pair(nodeNet);
  accepted.pipe(accepted);
  client.write('x');
  await once(client, 'data');
  await closeAll(server, client, accepted);
}

/** A process that listens at 127.0.0.2 and takes nobody in: stopped, and its backlog full. */
async function startSilent(port: number): Promise<{ end(): void }> {
  const script = `require('node:net').createServer().listen({ port: ${port}, host: '127.0.0.2', backlog: 1 }, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface(child.stdout), 'line');
  child.kill('SIGSTOP');
  // Linux takes two more than the backlog says; the rest gets no answer.
  const fillers = Array.from({ length: 4 }, () => nodeNet.connect(port, '127.0.0.2'));
  for (const filler of fillers) filler.on('error', () => undefined);
  await Promise.all(fillers.slice(0, 2).map((filler) => once(filler, 'connect')));
  return {
    end: () => {
      child.kill('SIGKILL');
      for (const filler of fillers) filler.destroy();
    },
  };
}
