/** Peers that settle nothing: how many a server bears, from one address and in all, and for how long. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, createServer, type Refusal, type Server, type ServerOptions, type Socket } from 'godwit';
import { Role, encodePreface } from '../../packages/godwit/src/wire/index.ts';
import { echoes } from './echo.ts';
import { freePorts } from './free-ports.ts';
import { until } from './until.ts';

const FIXTURES = path.join(import.meta.dirname, '..', '..', 'bench', 'fixtures');
const IDENTITY = {
  cert: readFileSync(path.join(FIXTURES, 'tls-certificate.pem')),
  key: readFileSync(path.join(FIXTURES, 'tls-key.pem')),
};

async function start(limits: ServerOptions['limits'], options: ServerOptions = {}): Promise<Server> {
  const server = createServer({ ...options, limits: limits ?? {} }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function unixPath(t: TestContext): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\godwit-${process.pid}`;
  const folder = mkdtempSync(path.join(tmpdir(), 'godwit-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return path.join(folder, 'socket');
}

/** A peer that says no more than `first`. */
function strangerOf(
  t: TestContext,
  server: Server,
  first?: Uint8Array,
  localAddress = '127.0.0.1',
): net.Socket {
  const { port } = server.address() as AddressInfo;
  const socket = net.connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined).resume();
  if (first !== undefined) socket.write(first);
  t.after(() => socket.destroy());
  return socket;
}

async function session(server: Server, options: object = {}): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', ...options });
  await once(socket, 'connect');
  return socket;
}

for (const [who, first] of [
  ['say nothing', undefined],
  ['say a preface and nothing more', encodePreface(Role.Client)],
] as const)
  test(`peers of one address that ${who} are only so many; those of others, and sessions, go on`, async (t) => {
    await using server = await start({ maxHalfOpenPerAddress: 3 });
    const before = await session(server);
    await echoes(before, 'before');
    await until(() => server.stats.halfOpen === 0);
    const strangers = [0, 1, 2].map(() => strangerOf(t, server, first));
    await until(() => server.stats.halfOpen === 3);
    const refused = once(server, 'refused') as Promise<[Refusal]>;
    await once(strangerOf(t, server, first), 'close');
    const [{ code, message }] = await refused;
    assert.equal(code, 'ERR_GODWIT_LIMIT_EXCEEDED');
    assert.match(message, /maxHalfOpenPerAddress/);
    await echoes(before, 'in the midst of it');
    if (process.platform === 'linux') {
      const elsewhere = await session(server, { localAddress: '127.0.0.2' });
      await echoes(elsewhere, 'from another address');
      elsewhere.destroy();
    }
    // Who leaves makes room.
    strangers[0]?.destroy();
    await until(() => server.stats.halfOpen < 3);
    const after = await session(server);
    await echoes(after, 'after');
    for (const socket of [before, after]) socket.destroy();
  });

test('peers of all addresses together are only so many', async (t) => {
  await using server = await start({ maxHalfOpen: 2 });
  const socket = await session(server);
  await until(() => server.stats.halfOpen === 0);
  for (let count = 0; count < 2; count += 1) strangerOf(t, server);
  await until(() => server.stats.halfOpen === 2);
  const refused = once(server, 'refused') as Promise<[Refusal]>;
  strangerOf(t, server);
  assert.match((await refused)[0].message, /\(maxHalfOpen\)/);
  await echoes(socket, 'still here');
  socket.destroy();
});

test('who was refused counts until he is gone, and no longer', async (t) => {
  await using server = await start({ maxHalfOpenPerAddress: 2 });
  const { port } = server.address() as AddressInfo;
  const stubborn = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => stubborn.destroy());
  stubborn.write('GET / HTTP/1.1\r\n');
  await once(server, 'refused');
  await once(stubborn.resume(), 'end');
  assert.equal(server.stats.halfOpen, 1);
  stubborn.end();
  await until(() => server.stats.halfOpen === 0);
});

test('TLS handshakes that come to nothing count, and are given up in time', async (t) => {
  const limits = { maxHalfOpenPerAddress: 2, prefaceTimeoutMs: 300 };
  await using server = await start(limits, { tls: IDENTITY });
  const tls = { rejectUnauthorized: false };
  const socket = await session(server, { tls });
  await until(() => server.stats.halfOpen === 0);
  const codes: string[] = [];
  server.on('refused', ({ code }: Refusal) => codes.push(code));
  const strangers = [0, 1].map(() => strangerOf(t, server));
  await until(() => server.stats.halfOpen === 2);
  await once(strangerOf(t, server), 'close');
  assert.deepEqual(codes, ['ERR_GODWIT_LIMIT_EXCEEDED']);
  await echoes(socket, 'still here');
  for (const stranger of strangers) if (!stranger.destroyed) await once(stranger, 'close');
  await until(() => server.stats.halfOpen === 0);
  assert.deepEqual(codes.slice(1), ['ERR_TLS_HANDSHAKE_TIMEOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT']);
  const after = await session(server, { tls });
  await echoes(after, 'and others come in again');
  for (const each of [socket, after]) each.destroy();
});

for (const where of ['the server', 'its tls'] as const)
  test(`a blocked address gets no TLS handshake, and no half-open place: blockList among the options of ${where}`, async (t) => {
    const blockList = new net.BlockList();
    const options =
      where === 'the server' ? { blockList, tls: IDENTITY } : { tls: { ...IDENTITY, blockList } };
    await using server = await start({ maxHalfOpen: 1 }, options);
    blockList.addAddress('127.0.0.2');
    server.maxConnections = 0;
    server.on('drop', () => assert.fail('net drops what is over maxConnections, not who is blocked'));
    // It says nothing: a server that began a handshake would wait for it.
    const refused = once(server, 'refused') as Promise<[Refusal]>;
    const blocked = strangerOf(t, server, undefined, '127.0.0.2');
    const [{ code, message, remoteAddress, remotePort }] = await refused;
    assert.equal(server.stats.halfOpen, 0);
    assert.deepEqual([code, remoteAddress], ['ERR_IP_BLOCKED', '127.0.0.2']);
    assert.match(message, /^IP\(127\.0\.0\.2\) is blocked/);
    assert.equal(typeof remotePort, 'number');
    if (!blocked.closed) await once(blocked, 'close');
    assert.equal(blocked.bytesRead, 0);
    // Where the only place is taken, it is still for being blocked that he is refused.
    strangerOf(t, server);
    await until(() => server.stats.halfOpen === 1);
    const refusedAgain = once(server, 'refused') as Promise<[Refusal]>;
    strangerOf(t, server, undefined, '127.0.0.2');
    assert.equal((await refusedAgain)[0].code, 'ERR_IP_BLOCKED');
    assert.equal(server.stats.refused, 2);
  });

test('who ends in the midst of a TLS handshake counts no longer', async (t) => {
  await using server = await start({ prefaceTimeoutMs: 60_000 }, { tls: IDENTITY });
  const stranger = strangerOf(t, server);
  await until(() => server.stats.halfOpen === 1);
  const refused = once(server, 'refused') as Promise<[Refusal]>;
  stranger.end();
  assert.equal((await refused)[0].code, 'ECONNRESET');
  await until(() => server.stats.halfOpen === 0);
});

/** Connects from a port, and when told to resets that, and opens a session from the same port. */
const FROM_ONE_PORT = `
  import net from 'node:net';
  import { connect } from 'godwit';
  const [port, localPort] = process.argv.slice(1).map(Number);
  const first = net.connect({ port, host: '127.0.0.1', localPort });
  first.on('error', () => undefined);
  process.stdin.once('data', () => {
    first.on('close', () => {
      const tls = { rejectUnauthorized: false };
      connect({ port, host: '127.0.0.1', localPort, standby: false, tls }).on('error', (error) => console.error(error));
    });
    first.resetAndDestroy();
  });`;

test('a client that comes again from a port that it has just reset takes up no half-open place for good', async (t) => {
  const server = await start({}, { tls: IDENTITY });
  const { port } = server.address() as AddressInfo;
  const args = ['--conditions=godwit-source', '--input-type=module', '--eval', FROM_ONE_PORT, String(port)];
  const client = spawn(process.execPath, [...args, ...(await freePorts(1))], {
    cwd: import.meta.dirname,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  t.after(async () => {
    client.kill();
    server.closeAllConnections();
    await server[Symbol.asyncDispose]();
  });
  await until(() => server.stats.halfOpen === 1);
  client.stdin.write('go');
  // Both come while this process is busy, and the new connection is seen before the end of the old one.
  for (const end = performance.now() + 500; performance.now() < end;);
  await until(() => server.stats.sessions === 1);
  await until(() => server.stats.halfOpen === 0);
});

test('a server that closes waits for no TLS handshake, and its sessions go on', async (t) => {
  const server = await start({}, { tls: IDENTITY });
  const socket = await session(server, { tls: { ca: IDENTITY.cert, checkServerIdentity: () => undefined } });
  t.after(() => socket.destroy());
  const silent = strangerOf(t, server);
  await until(() => server.stats.halfOpen === 1);
  const closed = once(silent, 'close', { signal: AbortSignal.timeout(3_000) });
  server.close();
  await closed;
  await echoes(socket, 'still here');
  socket.destroy();
  await once(server, 'close');
});

test('TLS over a Unix socket: each handshake counts until it is done, whichever is done first, and for no address', async (t) => {
  const limits = { maxHalfOpen: 12, maxHalfOpenPerAddress: 1, prefaceTimeoutMs: 60_000 };
  const server = createServer({ limits, tls: IDENTITY }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  const where = unixPath(t);
  server.listen(where);
  await once(server, 'listening');
  await using _server = server;
  const silent = [0, 1].map(() => {
    const socket = net.connect(where);
    socket.on('error', () => undefined).resume();
    t.after(() => socket.destroy());
    return socket;
  });
  await until(() => server.stats.halfOpen === 2);
  const tls = { rejectUnauthorized: false };
  const sessions = [0, 1].map(() => connect({ path: where, tls, standby: false }));
  await Promise.all(sessions.map((socket) => once(socket, 'connect')));
  for (const socket of sessions) await echoes(socket, 'here');
  await until(() => server.stats.halfOpen === 2);
  // Those that came first and are no further leave one after the other.
  for (const [index, socket] of silent.entries()) {
    socket.destroy();
    await until(() => server.stats.halfOpen === 1 - index);
  }
  for (const socket of sessions) await echoes(socket, 'still here');
  // All in all they are only so many.
  const codes: string[] = [];
  server.on('refused', ({ code }: Refusal) => codes.push(code));
  for (let count = 0; count < 13; count += 1) {
    const socket = net.connect(where);
    socket.on('error', () => undefined).resume();
    t.after(() => socket.destroy());
  }
  await until(() => codes.length > 0);
  assert.deepEqual(codes, ['ERR_GODWIT_LIMIT_EXCEEDED']);
  assert.equal(server.stats.halfOpen, 12);
  for (const socket of sessions) socket.destroy();
});
