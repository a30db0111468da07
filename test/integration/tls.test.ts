/** Sessions over TLS: whom both ends believe, what a move costs, and what happens to clients who are no longer welcome. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import tls from 'node:tls';
import { test, before } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  KeyRing,
  connect,
  createServer,
  type Refusal,
  type ServerOptions,
  type ServerSocket,
  type ServerStats,
  type Socket,
} from 'godwit';
import { Authority, type Identity } from './certificates.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { freePorts } from './free-ports.ts';

/** OpenSSL's SSL_OP_NO_EXTENDED_MASTER_SECRET, for which node has no name. */
const NO_EXTENDED_MASTER_SECRET = 1;

let authority: Authority;
let serverIdentity: Identity;
let clientIdentity: Identity;

before(async () => {
  authority = await Authority.create('Test Authority');
  serverIdentity = await authority.issue('godwit.test');
  clientIdentity = await authority.issue('client.test');
});

/** Answers each byte with itself; its state is how many there were. */
function echo(socket: ServerSocket): void {
  let count = Number(socket.importState() ?? 0);
  socket.onExportState(() => String(count));
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    count += chunk.byteLength;
    socket.write(chunk);
  });
}

function start(options: Partial<ServerOptions> = {}, tlsOptions: tls.TlsOptions = {}): Promise<Cluster> {
  return startCluster(3, echo, { ...options, tls: { ...serverIdentity, ca: authority.ca, ...tlsOptions } });
}

function dial(cluster: Cluster, options: tls.ConnectionOptions = {}): Socket {
  const socket = connect({ servers: cluster.addresses, tls: { ca: authority.ca, ...options } });
  return socket;
}

async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(socket, 'data'))[0]);
  assert.equal(received, text);
}

/** The socket of the only session at a server; where it came from there may still be one on its way out. */
function socketAt(cluster: Cluster, name: string): ServerSocket {
  const [socket] = cluster.servers[Number(name.slice(1))]?.sessions ?? [];
  assert.ok(socket !== undefined, `no session at ${name}`);
  return socket;
}

function hostAndPort(cluster: Cluster): { host: string; port: number } {
  const [host, port] = (cluster.addresses[0] as string).split(':') as [string, string];
  return { host, port: Number(port) };
}

async function failureOf(socket: Socket): Promise<string | undefined> {
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  return error.code;
}

test('a session over TLS moves, resumes the TLS session at its destination, and looks like a TLS socket', async () => {
  await using cluster = await start();
  const socket = dial(cluster, { servername: 'godwit.test' });
  await once(socket, 'connect');
  assert.equal(socket.encrypted, true);
  assert.equal(socket.authorized, true);
  assert.equal(socket.alpnProtocol, 'godwit/1');
  assert.equal(socket.getPeerCertificate()?.subject.CN, 'godwit.test');
  assert.equal(socket.isSessionReused(), false);
  await exchange(socket, 'before');
  const at = cluster.socketOf(socket.sessionId);
  assert.equal(at.encrypted, true);
  assert.equal(at.servername, 'godwit.test');
  for (const to of ['s1', 's2', 's0']) {
    await socket.migrate({ to });
    assert.equal(socket.currentServer?.name, to);
    await exchange(socket, `after the move to ${to}`);
    assert.equal(socket.isSessionReused(), true, `the handshake with ${to} was a full one`);
    assert.equal(socketAt(cluster, to).isSessionReused(), true);
  }
  socket.destroy();
});

/** Two servers on two hosts, as far as a machine by itself has any, and a client that knows their addresses. */
async function onTwoHosts(options: tls.ConnectionOptions): Promise<boolean[]> {
  const keys = KeyRing.generateKey();
  const port = Number((await freePorts(1))[0]);
  const members = ['127.0.0.1', '127.0.0.2'].map((host) => ({ name: host, host, port }));
  const servers = members.map(({ name, host }) =>
    createServer({ keys, members, name, tls: { ...serverIdentity, ca: authority.ca } }, echo).listen(
      port,
      host,
    ),
  );
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const socket = connect({ servers: members, standby: false, tls: { ca: authority.ca, ...options } });
  await once(socket, 'connect');
  await exchange(socket, 'before');
  const reused: boolean[] = [];
  for (const to of ['127.0.0.2', '127.0.0.1', '127.0.0.2']) {
    await socket.migrate({ to });
    await exchange(socket, `at ${to}`);
    reused.push(socket.isSessionReused() === true);
  }
  socket.destroy();
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  return reused;
}

test('between hosts a TLS session is resumed under a common name, and without one where it was made', async () => {
  assert.deepEqual(await onTwoHosts({ servername: 'godwit.test' }), [true, true, true]);
  assert.deepEqual(await onTwoHosts({ checkServerIdentity: () => undefined }), [false, true, true]);
});

test('a client believes no server of another authority, nor one of another name', async () => {
  await using cluster = await start();
  const stranger = await Authority.create('Another Authority');
  assert.equal(await failureOf(dial(cluster, { ca: stranger.ca })), 'SELF_SIGNED_CERT_IN_CHAIN');
  assert.equal(await failureOf(dial(cluster, { servername: 'other.test' })), 'ERR_TLS_CERT_ALTNAME_INVALID');
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
  test(`over ${maxVersion} the session secret is bound to the connection: who relays OPEN gets no session`, async () => {
    await using cluster = await start({}, { maxVersion });
    const [host, port] = (cluster.addresses[0] as string).split(':') as [string, string];
    // A relay with a certificate that the client was talked into believing.
    const relay = tls.createServer(
      { ...serverIdentity, ALPNProtocols: ['godwit/1'], maxVersion },
      (inner) => {
        const outer = tls.connect({
          host,
          port: Number(port),
          ca: authority.ca,
          ALPNProtocols: ['godwit/1'],
        });
        inner.pipe(outer).pipe(inner);
        for (const each of [inner, outer]) each.on('error', () => undefined);
      },
    );
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const { port: relayPort } = relay.address() as { port: number };
    const socket = connect({ port: relayPort, host: '127.0.0.1', tls: { ca: authority.ca } });
    assert.equal(await failureOf(socket), 'ERR_GODWIT_UNAUTHENTICATED');
    relay.close();
  });

test('a session lives and moves over TLS 1.2, where the connection cannot be made anew under it', async () => {
  await using cluster = await start({}, { maxVersion: 'TLSv1.2' });
  const socket = dial(cluster, { servername: 'godwit.test' });
  await once(socket, 'connect');
  assert.equal(socket.getProtocol(), 'TLSv1.2');
  await exchange(socket, 'before');
  await socket.migrate({ to: 's1' });
  await exchange(socket, 'after');
  assert.equal(socket.isSessionReused(), true);
  socket.destroy();
  const { host, port } = hostAndPort(cluster);
  const stranger = tls.connect({ host, port, ca: authority.ca, ALPNProtocols: ['godwit/1'] });
  await once(stranger, 'secureConnect');
  stranger.on('error', () => undefined);
  const closed = new Promise((resolve) => stranger.once('close', resolve));
  stranger.resume().renegotiate({}, () => undefined);
  await closed;
});

test('a TLS 1.2 connection without extended master secret carries no session', async () => {
  await using cluster = await start();
  const refused = once(cluster.servers[0] as NodeJS.EventEmitter, 'refused') as Promise<[Refusal]>;
  const unbound = { maxVersion: 'TLSv1.2', secureOptions: NO_EXTENDED_MASTER_SECRET } as const;
  const { host, port } = hostAndPort(cluster);
  const peer = tls.connect({ host, port, ca: authority.ca, ALPNProtocols: ['godwit/1'], ...unbound });
  peer.on('error', () => undefined);
  const closed = new Promise((resolve) => peer.once('close', resolve));
  const [{ code, message, remoteAddress }] = await refused;
  assert.equal(code, 'ERR_GODWIT_PROTOCOL');
  assert.match(message, /extended master secret/);
  assert.equal(remoteAddress, '127.0.0.1');
  await closed;
});

test('a plain client, and one of another protocol, are refused by name; sessions go on', async () => {
  await using cluster = await start();
  const socket = dial(cluster);
  await once(socket, 'connect');
  const [server] = cluster.servers;
  const refusals: Refusal[] = [];
  server?.on('refused', (refusal: Refusal) => refusals.push(refusal));
  const [host, port] = (cluster.addresses[0] as string).split(':') as [string, string];
  const failed = async (start: () => NodeJS.EventEmitter): Promise<void> => {
    const before = refusals.length;
    const peer = start();
    peer.on('error', () => undefined);
    await new Promise((resolve) => peer.on('close', resolve));
    while (refusals.length === before) await once(server as NodeJS.EventEmitter, 'refused');
  };
  await failed(() => tls.connect({ host, port: Number(port), ca: authority.ca, ALPNProtocols: ['h2'] }));
  await failed(() => connect({ host, port: Number(port) }));
  assert.equal(refusals.length >= 2, true);
  assert.ok(
    refusals.every(({ code, remoteAddress }) => code.startsWith('ERR_') && remoteAddress !== undefined),
    JSON.stringify(refusals),
  );
  await exchange(socket, 'still here');
  socket.destroy();
});

test('a server refuses ALPN-less TLS to a Godwit client in words', async () => {
  const plain = tls.createServer({ ...serverIdentity });
  plain.on('secureConnection', (peer) => peer.on('error', () => undefined));
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const { port } = plain.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', tls: { ca: authority.ca } });
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ERR_GODWIT_PROTOCOL');
  assert.match(error.message, /ALPN/);
  plain.close();
});

test("with mutual TLS the application has the client's certificate, after a move as well", async () => {
  await using cluster = await start({}, { requestCert: true });
  const socket = dial(cluster, clientIdentity);
  await once(socket, 'connect');
  await exchange(socket, 'hello');
  assert.equal(cluster.socketOf(socket.sessionId).getPeerCertificate()?.subject.CN, 'client.test');
  await socket.migrate({ to: 's1' });
  await exchange(socket, 'again');
  const moved = socketAt(cluster, 's1');
  assert.equal(moved.getPeerCertificate()?.subject.CN, 'client.test');
  assert.equal(moved.authorized, true);
  socket.destroy();
});

test('options of net count among those of tls, as in tls.createServer, and less than those beside it', async () => {
  for (const [beside, isPaused] of [
    [{}, true],
    [{ pauseOnConnect: false }, false],
  ] as const) {
    await using cluster = await start({ ...beside }, { pauseOnConnect: true });
    const connection = once(cluster.servers[0] as NodeJS.EventEmitter, 'connection') as Promise<
      [ServerSocket]
    >;
    const socket = dial(cluster);
    socket.write('hello');
    const [peer] = await connection;
    assert.equal(peer.isPaused(), isPaused);
    peer.resume();
    await once(socket, 'data');
    socket.destroy();
  }
});

test('over TLS, too, what is over maxConnections is dropped with its addresses', async () => {
  await using cluster = await start();
  const [server] = cluster.servers;
  assert.ok(server !== undefined);
  server.maxConnections = 0;
  const dropped = once(server, 'drop') as Promise<[{ remoteAddress: string; localPort: number }]>;
  const socket = dial(cluster);
  socket.on('error', () => undefined);
  const [{ remoteAddress, localPort }] = await dropped;
  assert.deepEqual([remoteAddress, localPort], ['127.0.0.1', hostAndPort(cluster).port]);
  await new Promise((resolve) => socket.once('close', resolve));
});

for (const { what, spoil, reason } of [
  {
    what: 'revoked',
    spoil: async () => ({ ca: authority.ca, crl: await authority.revoke([clientIdentity]) }),
    reason: /revoked/,
  },
  {
    what: 'of an authority that is no longer trusted',
    spoil: async () => ({ ca: (await Authority.create('Successor')).ca }),
    reason: /no authority/,
  },
  {
    what: 'on a list of revocations that is out of date',
    spoil: async () => ({ ca: authority.ca, crl: await authority.revoke([], new Date(Date.now() - 1000)) }),
    reason: /out of date/,
  },
]) {
  test(`a client whose certificate is ${what} by now comes in nowhere, though its TLS session could be resumed`, async () => {
    await using cluster = await start({}, { requestCert: true });
    const socket = dial(cluster, clientIdentity);
    await once(socket, 'connect');
    await exchange(socket, 'welcome');
    const context = await spoil();
    const refusals: Refusal[] = [];
    for (const server of cluster.servers) {
      server.setSecureContext(context);
      // A new certificate of its own changes nothing of whom it trusts.
      server.setSecureContext(serverIdentity);
      server.on('refused', (refusal: Refusal) => refusals.push(refusal));
    }
    await assert.rejects(socket.migrate({ to: 's1' }), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
    assert.ok(
      // At the handshake, or, over a standby that made its handshake in better days, at MIGRATE.
      refusals.some(
        ({ code, message }) =>
          ['ERR_GODWIT_CERTIFICATE_REJECTED', 'ERR_GODWIT_DENIED'].includes(code) && reason.test(message),
      ),
      JSON.stringify(refusals),
    );
    // It lives on where it is: nobody took it away.
    await exchange(socket, 'still there');
    assert.equal(socket.currentServer?.name, 's0');
    socket.destroy();
  });
}

test('a client that is revoked is refused over a standby of better days, and takes its session back where it lives', async () => {
  await using cluster = await start({}, { requestCert: true });
  const socket = dial(cluster, clientIdentity);
  await once(socket, 'connect');
  await exchange(socket, 'welcome');
  const isReady = ({ carriers, halfOpen }: ServerStats): boolean => carriers > 0 && halfOpen === 0;
  while (!isReady(cluster.servers[1]?.stats as ServerStats)) await setTimeout(5);
  const context = { ca: authority.ca, crl: await authority.revoke([clientIdentity]) };
  const refusals: Refusal[] = [];
  for (const server of cluster.servers) {
    server.setSecureContext(context);
    server.on('refused', (refusal: Refusal) => refusals.push(refusal));
  }
  const here = socketAt(cluster, 's0');
  await assert.rejects(socket.migrate({ to: 's1' }), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
  assert.deepEqual(
    refusals.map(({ code }) => code),
    ['ERR_GODWIT_DENIED'],
  );
  await exchange(socket, 'still there');
  assert.equal(socketAt(cluster, 's0'), here);
  socket.destroy();
});

test('node:http serves and asks over TLS, and sees that it is encrypted', async () => {
  const web = http.createServer((request, response) => {
    const { encrypted } = request.socket as unknown as Socket;
    response.end(`${request.url} ${String(encrypted)}`);
  });
  await using cluster = await startCluster(1, (socket) => void web.emit('connection', socket), {
    tls: { ...serverIdentity },
  });
  const agent = new http.Agent();
  agent.createConnection = () => dial(cluster);
  const request = http.get({ agent, path: '/secure', host: 'localhost' });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  assert.equal(body, '/secure true');
  agent.destroy();
});

test('new certificates keep the ticket keys, new keys of the cluster do not: then the next handshake is a full one', async () => {
  const ring = new KeyRing(KeyRing.generateKey());
  await using cluster = await start({ keys: ring });
  // A standby would have made its handshake before the keys changed.
  const socket = connect({
    servers: cluster.addresses,
    standby: false,
    tls: { ca: authority.ca, servername: 'godwit.test' },
  });
  await once(socket, 'connect');
  // By then the ticket of the TLS session has come, too.
  await exchange(socket, 'zero');
  await socket.migrate({ to: 's1' });
  await exchange(socket, 'one');
  assert.equal(socket.isSessionReused(), true);
  for (const server of cluster.servers) server.setSecureContext({ ...serverIdentity });
  await socket.migrate({ to: 's2' });
  await exchange(socket, 'two');
  assert.equal(socket.isSessionReused(), true);
  ring.rotate(KeyRing.generateKey());
  await socket.migrate({ to: 's0' });
  await exchange(socket, 'three');
  assert.equal(socket.isSessionReused(), false);
  await socket.migrate({ to: 's1' });
  await exchange(socket, 'four');
  assert.equal(socket.isSessionReused(), true);
  socket.destroy();
});
