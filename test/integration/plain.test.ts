/** Clients that do not speak Godwit, at a server that serves such: real ones, and all they may say or not say. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import tls from 'node:tls';
import {
  GodwitError,
  MemoryNetwork,
  connect,
  createServer,
  type AuthorizationRequest,
  type OverloadPolicy,
  type Refusal,
  type Server,
  type ServerOptions,
  type ServerSocket,
} from 'godwit';
import { Role, encodePreface } from '../../packages/godwit/src/wire/index.ts';
import { startCluster } from './cluster.ts';

/** Longer than any test: whoever is taken for plain only after this time is not taken for plain in time. */
const NEVER_MS = 60_000;

const FIXTURES = path.join(import.meta.dirname, '..', '..', 'bench', 'fixtures');
const IDENTITY = {
  cert: readFileSync(path.join(FIXTURES, 'tls-certificate.pem')),
  key: readFileSync(path.join(FIXTURES, 'tls-key.pem')),
};

async function start(options: ServerOptions, listener?: (socket: ServerSocket) => void): Promise<Server> {
  const server = createServer({ plain: 'accept', ...options }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

function plainClient(server: Server, options: Partial<net.TcpNetConnectOpts> = {}): net.Socket {
  const client = net.connect({ port: portOf(server), host: '127.0.0.1', ...options });
  client.on('error', () => undefined);
  return client;
}

async function accepted(server: Server): Promise<ServerSocket> {
  const [socket] = (await once(server, 'connection')) as [ServerSocket];
  return socket;
}

/** What a program prints, however it ends; undefined where there is no such program here. */
async function run(program: string, ...args: string[]): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const child = execFile(program, args, { timeout: 20_000 }, (error, stdout) => {
    resolve(error?.code === 'ENOENT' ? undefined : stdout);
  });
  child.stdin?.end();
  return promise;
}

function skipWithout(t: TestContext, output: string | undefined, program: string): output is undefined {
  if (output === undefined) t.skip(`there is no ${program} on this machine`);
  return output === undefined;
}

function echo(socket: ServerSocket): void {
  socket.on('error', () => undefined);
  socket.pipe(socket);
}

describe('a server that serves plain clients', () => {
  test('has curl and clients of Godwit at one port and one http.Server', async (t) => {
    const web = http.createServer((incoming, response) => response.end(`you asked for ${incoming.url}`));
    await using server = await start({}, (socket) => web.emit('connection', socket));
    const kinds: boolean[] = [];
    server.on('connection', ({ migratory }) => kinds.push(migratory));
    const agent = new http.Agent();
    Object.assign(agent, { createConnection: () => connect(portOf(server), '127.0.0.1') });
    const [answer] = (await once(http.get({ agent, path: '/godwit' }), 'response')) as [http.IncomingMessage];
    assert.equal(await text(answer), 'you asked for /godwit');
    const output = await run('curl', '-s', `http://127.0.0.1:${portOf(server)}/curl`);
    if (skipWithout(t, output, 'curl')) return;
    assert.equal(output, 'you asked for /curl');
    assert.deepEqual(kinds, [true, false]);
  });

  test('gives the application every byte that was read to tell, however it was cut', async () => {
    await using server = await start({ plainAfterMs: NEVER_MS }, echo);
    for (const pieces of [
      ['GET /'],
      ['g', 'o', 'd', 'w', 'i', 't', '\r', '\r'],
      ['godwit\r', 'x'],
      ['godw', 'ork'],
    ]) {
      const client = plainClient(server, { noDelay: true });
      for (const piece of pieces) {
        client.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.end();
      assert.equal(await text(client), pieces.join(''));
    }
  });

  test('hands a silent client over after plainAfterMs, so that the server can speak first', async () => {
    await using server = await start({ plainAfterMs: 100 }, (socket) => socket.end('220 hello\r\n'));
    const began = performance.now();
    assert.equal(await text(plainClient(server)), '220 hello\r\n');
    assert.ok(performance.now() - began > 95, 'not before that time');
  });

  test('hands a client over at once that ends without a word', async () => {
    await using server = await start({ plainAfterMs: NEVER_MS }, (socket) => socket.end('Monday'));
    const client = plainClient(server);
    client.end();
    assert.equal(await text(client), 'Monday');
  });

  test('hands over what began as a preface and ended, or went no further', async () => {
    const limits = { prefaceTimeoutMs: 100 };
    await using server = await start({ plainAfterMs: 50, limits }, (socket) => {
      socket.once('data', (chunk) => socket.end(`${String(chunk)}!`));
    });
    const stopped = plainClient(server);
    stopped.write('god');
    assert.equal(await text(stopped), 'god!');
    const ended = plainClient(server);
    ended.end('go');
    assert.equal(await text(ended), 'go!');
  });

  test('gives whoever begins a preface the time for a whole one', async () => {
    await using server = await start({ plainAfterMs: 10 }, echo);
    let connections = 0;
    server.on('connection', () => (connections += 1));
    const client = plainClient(server, { noDelay: true });
    const preface = encodePreface(Role.Client);
    client.write(preface.subarray(0, 5));
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.write(preface.subarray(5));
    // CHALLENGE: the server took it for a client of Godwit.
    const [answer] = (await once(client, 'data')) as [Buffer];
    assert.equal(answer[0], 1);
    assert.equal(connections, 0);
    client.destroy();
  });

  test('gives the application one kind of object, on which nothing of Godwit fails', async () => {
    await using server = await start({ delivery: 'commit', plainAfterMs: NEVER_MS });
    const client = plainClient(server);
    client.write('0123456789');
    const socket = await accepted(server);
    assert.equal(socket.migratory, false);
    assert.equal(socket.restored, false);
    assert.equal(socket.isProtected, false);
    assert.equal(socket.sessionId, undefined);
    assert.equal(socket.epoch, 0);
    assert.equal(socket.migrations, 0);
    assert.equal(socket.snapshotNumber, 0);
    assert.equal(socket.currentServer?.name, server.advertised?.name);
    assert.equal(socket.importState(Number), undefined);
    socket.onExportState(() => assert.fail('nobody asks for a state'));
    socket.exportState('anything');
    using _guard = socket.hold();
    await once(socket, 'readable');
    assert.equal(String(socket.read(4)), '0123');
    assert.equal(socket.bytesConsumed, 4);
    const key = socket.idempotencyKey();
    assert.match(key, /^plain-[0-9a-f]{32}:4$/);
    assert.equal(socket.idempotencyKey(), key);
    await assert.rejects(socket.migrate(), (error: GodwitError) => {
      assert.equal(error.code, 'ERR_GODWIT_MIGRATION_FAILED');
      assert.equal((error.cause as GodwitError).code, 'ERR_GODWIT_NOT_MIGRATORY');
      return true;
    });
    await assert.rejects(server.migrate(socket), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
    socket.pipe(socket);
    assert.equal(socket.signal.aborted, false);
    socket.destroy();
    assert.equal(socket.signal.aborted, true);
    client.destroy();
  });

  test('lets an async iterator, an encoding and unshift read as of any socket', async () => {
    await using server = await start({ plainAfterMs: NEVER_MS });
    const client = plainClient(server);
    client.end('äöü');
    const socket = await accepted(server);
    socket.setEncoding('utf8');
    socket.unshift('first ');
    let received = '';
    for await (const chunk of socket) received += String(chunk);
    assert.equal(received, 'first äöü');
  });

  test('delivers what was written before the socket was destroyed', async () => {
    const bytes = 4 * 1024 * 1024;
    await using server = await start({ plainAfterMs: NEVER_MS }, (socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.end(Buffer.alloc(bytes, 7));
      socket.on('finish', () => socket.destroy());
    });
    const client = plainClient(server);
    client.write('x');
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      received += chunk.byteLength;
      // A reader that is slower than the writer all the time.
      client.pause();
      setTimeout(() => client.resume(), 1);
    });
    await once(client, 'end');
    assert.equal(received, bytes);
  });

  test('says that a client has reset its connection, and resets one', async () => {
    await using server = await start({ plainAfterMs: NEVER_MS });
    const first = plainClient(server);
    first.write('x');
    const socket = await accepted(server);
    const failed = once(socket, 'error') as Promise<[GodwitError]>;
    first.resetAndDestroy();
    const [error] = await failed;
    assert.ok(error instanceof GodwitError);
    assert.equal(error.code, 'ECONNRESET');
    const second = net.connect(portOf(server), '127.0.0.1');
    second.write('x');
    (await accepted(server)).resetAndDestroy();
    await assert.rejects(once(second, 'close'), { code: 'ECONNRESET' });
  });

  test('counts plain connections apart, and moves sessions away without them', async () => {
    await using cluster = await startCluster(2, echo, { plain: 'accept' });
    const server = cluster.servers[0] as Server;
    const [address] = cluster.addresses;
    const session = connect({ servers: [address as string] });
    await once(session, 'connect');
    const client = plainClient(server);
    client.write('one');
    await once(client, 'data');
    assert.deepEqual([server.stats.sessions, server.stats.plain], [1, 1]);
    assert.deepEqual(
      [...server.sessions].map(({ migratory }) => migratory),
      [true],
    );
    assert.equal(await server.drain(), 1);
    assert.deepEqual([server.stats.sessions, server.stats.plain], [0, 1]);
    client.write('two');
    assert.equal(String((await once(client, 'data'))[0]), 'two');
    const late = plainClient(server);
    late.write('three');
    const [refusal] = (await once(server, 'refused')) as [Refusal];
    assert.equal(refusal.code, 'ERR_GODWIT_DRAINING');
    client.destroy();
    session.destroy();
  });

  test('asks authorize about them, before the application sees them', async () => {
    const asked: Pick<AuthorizationRequest, 'kind' | 'sessionId'>[] = [];
    let answer = Promise.withResolvers<boolean>();
    await using server = await start(
      {
        plainAfterMs: NEVER_MS,
        authorize: ({ kind, sessionId }) => {
          asked.push({ kind, sessionId });
          return answer.promise;
        },
      },
      echo,
    );
    const client = plainClient(server);
    client.write('one ');
    while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    client.end('two');
    assert.equal(server.stats.plain, 0);
    answer.resolve(true);
    assert.equal(await text(client), 'one two');
    assert.deepEqual(asked, [{ kind: 'plain', sessionId: '' }]);
    answer = Promise.withResolvers();
    answer.resolve(false);
    const unwanted = plainClient(server);
    const refused = once(server, 'refused') as Promise<[Refusal]>;
    unwanted.write('x');
    assert.equal(await text(unwanted), '');
    assert.equal((await refused)[0].code, 'ERR_GODWIT_DENIED');
  });

  test('refuses them while it has too much to do', async () => {
    const policy: OverloadPolicy = { measuresEventLoop: false, judge: () => 'refuse' };
    await using server = await start({ plainAfterMs: NEVER_MS, overload: policy }, () =>
      assert.fail('a connection'),
    );
    const refused = once(server, 'refused') as Promise<[Refusal]>;
    const client = plainClient(server);
    client.write('x');
    assert.equal(await text(client), '');
    assert.equal((await refused)[0].code, 'ERR_GODWIT_BUSY');
  });

  test('is gone with them when it is killed, and turns them away when it has enough', async () => {
    await using server = await start({ plainAfterMs: NEVER_MS }, echo);
    server.maxConnections = 1;
    const client = plainClient(server);
    client.write('x');
    await once(client, 'data');
    const second = plainClient(server);
    const dropped = once(server, 'drop');
    second.write('y');
    await dropped;
    assert.equal(await text(second), '');
    server.kill();
    await once(client, 'close');
  });

  test('refuses them over a carrier of its own that cannot give its stream up', async () => {
    const network = new MemoryNetwork();
    const server = createServer({ plain: 'accept', plainAfterMs: 10, transport: network });
    server.listen(7000, 'a');
    await once(server, 'listening');
    const refused = once(server, 'refused') as Promise<[Refusal]>;
    network.dial({ host: 'a', port: 7000 }, { timeoutMs: 1000 }, (_error, carrier) => {
      carrier?.start({ onData: () => undefined, onDrain: () => undefined, onClose: () => undefined });
    });
    assert.equal((await refused)[0].code, 'ERR_GODWIT_UNSUPPORTED');
    server.kill();
  });
});

describe('over TLS, a server that serves plain clients', () => {
  const options = { plainAfterMs: NEVER_MS, tls: { ...IDENTITY, ALPNProtocols: ['http/1.1'] } };

  test('takes who names no godwit/1 for plain at once: openssl s_client', async (t) => {
    await using server = await start(options, (socket) => {
      // openssl says of node:tls too that it ends without a goodbye.
      socket.on('error', () => undefined);
      socket.end(`${String(socket.encrypted)} ${String(socket.migratory)} ${String(socket.getProtocol())}\n`);
    });
    const output = await run('openssl', 's_client', '-quiet', '-connect', `127.0.0.1:${portOf(server)}`);
    if (skipWithout(t, output, 'openssl')) return;
    assert.equal(output, 'true false TLSv1.3\n');
  });

  test('answers curl over https, and clients of Godwit beside it', async (t) => {
    const web = http.createServer((_incoming, response) => response.end('secret'));
    await using server = await start(options, (socket) => {
      if (socket.migratory) echo(socket);
      else web.emit('connection', socket);
    });
    const session = connect({ port: portOf(server), host: '127.0.0.1', tls: { rejectUnauthorized: false } });
    session.end('migratory');
    assert.equal(await text(session), 'migratory');
    const output = await run('curl', '-sk', '--http1.1', `https://127.0.0.1:${portOf(server)}/`);
    if (skipWithout(t, output, 'curl')) return;
    assert.equal(output, 'secret');
  });

  test('never takes who names godwit/1 for plain', async () => {
    await using server = await start({ ...options, limits: { prefaceTimeoutMs: 100 } }, () =>
      assert.fail('a connection'),
    );
    for (const word of ['GET / HTTP/1.1\r\n', '']) {
      const refused = once(server, 'refused') as Promise<[Refusal]>;
      const client = tls.connect({
        port: portOf(server),
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ALPNProtocols: ['godwit/1'],
      });
      client.on('error', () => undefined).resume();
      client.write(word);
      assert.equal((await refused)[0].code, word === '' ? 'ERR_GODWIT_TIMEOUT' : 'ERR_GODWIT_PROTOCOL');
      client.destroy();
    }
  });
});

describe('a server that serves none', () => {
  test('says so to its operator, and not a word to the client, over TCP and TLS', async () => {
    for (const secure of [false, true]) {
      await using server = await start({ plain: 'refuse', ...(secure && { tls: IDENTITY }) }, () =>
        assert.fail('a connection'),
      );
      const refused = once(server, 'refused') as Promise<[Refusal]>;
      const address = { port: portOf(server), host: '127.0.0.1' };
      const client = secure ? tls.connect({ ...address, rejectUnauthorized: false }) : net.connect(address);
      client.write('GET / HTTP/1.1\r\n\r\n');
      assert.equal(await text(client), '');
      const [refusal] = await refused;
      assert.equal(refusal.code, 'ERR_GODWIT_PROTOCOL');
      assert.match(refusal.message, /does not speak Godwit/);
      assert.equal(refusal.remoteAddress, '127.0.0.1');
    }
  });

  test('refuses settings that make no sense', () => {
    assert.throws(() => createServer({ plain: true as never }), { code: 'ERR_INVALID_ARG_VALUE' });
    assert.throws(() => createServer({ plainAfterMs: 1 }), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => createServer({ plainAfterMs: '1' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  });
});
