/** Unix sockets (on Windows, named pipes): what net does with a path, and sessions that move between paths. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import nodeNet from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { KeyRing, connect, createServer, type Server } from 'godwit';
import { count, startCounters } from './counters.ts';
import { IMPLEMENTATIONS, closeAll, readAll, type Net } from './implementations.ts';

const folder = mkdtempSync(join(tmpdir(), 'godwit-paths-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let taken = 0;

/** A path that nobody has. */
function freePath(): string {
  taken += 1;
  return process.platform === 'win32'
    ? `\\\\.\\pipe\\godwit-${process.pid}-${taken}`
    : join(folder, `${taken}.sock`);
}

async function listenAt(net: Net, path: string): Promise<nodeNet.Server> {
  const server = net.createServer((socket) => socket.pipe(socket));
  server.listen(path);
  await once(server, 'listening');
  return server;
}

for (const { name, net } of IMPLEMENTATIONS) {
  describe(`${name}: paths`, () => {
    const overloads: readonly (readonly [
      what: string,
      connect: (path: string, listener: () => void) => nodeNet.Socket,
    ])[] = [
      ['path', (path, listener) => net.connect(path, listener)],
      ['{ path }', (path, listener) => net.connect({ path }, listener)],
      ['createConnection', (path, listener) => net.createConnection(path, listener)],
      ['new Socket().connect(path)', (path, listener) => new net.Socket().connect(path, listener)],
      [
        '{ path } rather than { port }',
        (path, listener) => net.connect({ path, port: 1, host: 'x' }, listener),
      ],
    ];
    for (const [what, connectBy] of overloads) {
      test(`connect by ${what}`, async () => {
        const path = freePath();
        const server = await listenAt(net, path);
        let connected = 0;
        const client = connectBy(path, () => (connected += 1));
        await once(client, 'connect');
        const { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily } = client;
        const addresses = [localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily];
        assert.deepEqual(addresses, [undefined, undefined, undefined, undefined, undefined, undefined]);
        assert.deepEqual([client.address(), client.readyState, connected], [{}, 'open', 1]);
        client.setNoDelay().setKeepAlive(true).unref().ref();
        client.end('hello');
        assert.equal((await readAll(client)).toString(), 'hello');
        await closeAll(server, client);
      });
    }

    test('listen by path and by options; address is the path', async () => {
      const server = net.createServer();
      for (const listen of [
        (path: string) => server.listen(path, 5),
        (path: string) => server.listen({ path, readableAll: true, writableAll: true }),
      ]) {
        const path = freePath();
        listen(path);
        await once(server, 'listening');
        assert.equal(server.address(), path);
        assert.equal(server.listening, true);
        await closeAll(server);
      }
    });

    test('a path where nobody listens is ENOENT', async () => {
      const path = freePath();
      const client = new net.Socket();
      const attempts: unknown[] = [];
      client.on('connectionAttempt', (...args) => attempts.push(args));
      client.connect(path);
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException & { address: string }];
      assert.deepEqual([error.code, error.syscall, error.address], ['ENOENT', 'connect', path]);
      assert.equal(error.message, `connect ENOENT ${path}`);
      assert.equal('port' in error, false);
      assert.deepEqual(attempts, [[path, undefined, undefined]]);
    });

    test('a path that is taken is EADDRINUSE, and what is no path a TypeError', async () => {
      const path = freePath();
      const server = await listenAt(net, path);
      const second = net.createServer().listen(path);
      const [error] = (await once(second, 'error')) as [NodeJS.ErrnoException];
      assert.deepEqual([error.code, error.syscall], ['EADDRINUSE', 'listen']);
      await closeAll(server);
      const wrong = { path: 5 } as unknown as nodeNet.IpcNetConnectOpts;
      assert.throws(() => net.connect(wrong), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
    });

    test('drop has nothing to tell of who came by a path', async () => {
      const path = freePath();
      const server = await listenAt(net, path);
      server.maxConnections = 0;
      const dropped = once(server, 'drop');
      const client = net.connect(path);
      client.on('error', () => undefined).resume();
      assert.deepEqual(await dropped, []);
      await new Promise((resolve) => client.on('close', resolve));
      await closeAll(server);
    });

    test('node:http reaches a server by its socketPath', async () => {
      const socketPath = freePath();
      const web = http.createServer((incoming, response) => response.end(incoming.url));
      const server = net.createServer((socket) => web.emit('connection', socket)).listen(socketPath);
      await once(server, 'listening');
      const agent = new http.Agent();
      const createConnection = (options: nodeNet.NetConnectOpts): nodeNet.Socket =>
        net.createConnection(options);
      Object.assign(agent, { createConnection });
      const sent = http.request({ agent, socketPath, path: '/page' }).end();
      const [response] = (await once(sent, 'response')) as [http.IncomingMessage];
      assert.equal(await text(response), '/page');
      agent.destroy();
      await closeAll(server);
    });
  });
}

describe('sessions on Unix sockets', () => {
  test('move to a server at another path, and back', async () => {
    const keys = KeyRing.generateKey();
    const paths = [freePath(), freePath()];
    const members = paths.map((path) => `unix:${path}`);
    const servers = paths.map((path) =>
      createServer({ keys, members }, (socket) => {
        let total = Number(socket.importState() ?? 0);
        socket.onExportState(() => String(total));
        socket.on('data', (chunk) => socket.write(`${(total += chunk.byteLength)};`));
      }).listen(path),
    );
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const client = connect({ path: paths[0] });
    client.setEncoding('utf8');
    await once(client, 'connect');
    const seen: unknown[] = [];
    for (let round = 0; round < 3; round += 1) {
      client.write('abc');
      const [answer] = (await once(client, 'data')) as [string];
      seen.push([client.currentServer?.host, answer]);
      await client.migrate();
    }
    assert.deepEqual(seen, [
      [members[0], '3;'],
      [members[1], '6;'],
      [members[0], '9;'],
    ]);
    client.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  });

  test('a server that has no name and a long path is called by a hash of it', async () => {
    const path = join(folder, `${'long-'.repeat(10)}.sock`);
    const server = createServer().listen(path);
    await once(server, 'listening');
    assert.match(server.advertised?.name ?? '', /^unix:[0-9a-f]{32}$/);
    assert.deepEqual([server.advertised?.host, server.advertised?.port], [`unix:${path}`, 0]);
    server.close();
  });

  test('survive kill -9 of their servers', async (t) => {
    const counters = await startCounters(
      t,
      [freePath(), freePath(), freePath()].map((path) => `unix:${path}`),
    );
    const client = connect({ servers: counters.addresses });
    await count(client, counters, { to: 2_000, killEvery: 1_000 });
    assert.equal(client.migrations, 1);
    client.destroy();
  });

  test('a client that named none is led to none, by no list and no trigger', async () => {
    const path = freePath();
    const trap = nodeNet.createServer(() => assert.fail('dialled')).listen(path);
    await once(trap, 'listening');
    const server = createServer({ keys: KeyRing.generateKey(), members: [`unix:${path}`] }, (socket) =>
      socket.resume(),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect(portOf(server), '127.0.0.1');
    await once(client, 'connect');
    await assert.rejects(client.migrate({ to: `unix:${path}` }), (error: Error) => {
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ERR_GODWIT_DENIED');
      return true;
    });
    const [session] = server.sessions;
    await assert.rejects(server.migrate(session ?? '', { to: `unix:${path}` }), {
      code: 'ERR_GODWIT_MIGRATION_FAILED',
    });
    client.destroy();
    server.close();
    await closeAll(trap);
  });
});

function portOf(server: Server): number {
  return (server.address() as nodeNet.AddressInfo).port;
}
