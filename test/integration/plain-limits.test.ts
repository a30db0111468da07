/** Plain connections under the limits that hold for sessions: the server's memory, and clients that take nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import {
  connect,
  createServer,
  overloadPolicy,
  type GodwitError,
  type Refusal,
  type Server,
  type ServerOptions,
  type ServerSocket,
  type Socket,
} from 'godwit';
import { until } from './until.ts';

const MIB = 1024 * 1024;
/** What the buffers of two kernels hold together at the most, on a machine as it comes. */
const KERNEL_BYTES = 16 * MIB;
/** Longer than any test: who says nothing is not taken for plain before he speaks. */
const NEVER_MS = 60_000;

async function start(options: ServerOptions, listener?: (socket: ServerSocket) => void): Promise<Server> {
  const server = createServer({ plain: 'accept', plainAfterMs: NEVER_MS, ...options }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** A client that speaks no Godwit and says one thing. */
function plainClient(server: Server, says: string, localAddress = '127.0.0.1'): net.Socket {
  const client = net.connect({ port: portOf(server), host: '127.0.0.1', localAddress });
  client.on('error', () => undefined);
  client.write(says);
  return client;
}

/** Writes as many bytes as it is asked for, at once, and reads on. */
function writer(socket: ServerSocket): void {
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(Buffer.alloc(Number(chunk), 1)));
}

async function answers(client: net.Socket | Socket, bytes: number): Promise<void> {
  client.write(String(bytes));
  let received = 0;
  while (received < bytes) received += ((await once(client, 'data')) as [Buffer])[0].byteLength;
}

test('what waits for a plain client, or came from one and is not read, counts, and no longer than it is there', async () => {
  await using server = await start({ limits: { maxMemoryBytes: 0 } });
  const readers: ServerSocket[] = [];
  server.on('connection', (socket: ServerSocket) => {
    // Of a client that leaves with bytes unread.
    socket.on('error', () => undefined);
    readers.push(socket.pause());
  });
  const client = plainClient(server, 'x');
  await until(() => readers.length === 1);
  const idleBytes = server.stats.memoryBytes;
  assert.ok(idleBytes > 0 && idleBytes < 32 * 1024, `${idleBytes} bytes for an idle connection`);
  readers[0]?.write(Buffer.alloc(2 * KERNEL_BYTES));
  await until(() => server.stats.memoryBytes > KERNEL_BYTES);
  client.resume();
  await until(() => server.stats.memoryBytes === idleBytes);
  client.write(Buffer.alloc(100_000));
  await until(() => server.stats.memoryBytes > idleBytes + 50_000);
  readers[0]?.resume();
  await until(() => server.stats.memoryBytes < idleBytes + 2);
  client.destroy();
  await until(() => server.stats.memoryBytes === 0);
});

test('the last bytes of a plain connection count until its client has them, though its socket is gone', async () => {
  await using server = await start({ limits: { maxMemoryBytes: 0 } });
  const began = once(server, 'connection') as Promise<[ServerSocket]>;
  const client = plainClient(server, 'x');
  const [socket] = await began;
  socket.resume();
  // Until neither kernel takes more.
  await until(() => {
    if (socket.writableLength === 0) socket.write(Buffer.alloc(64 * 1024));
    return socket.writableLength > 0;
  });
  socket.destroy();
  await until(() => server.stats.plain === 0);
  assert.ok(server.stats.memoryBytes > 100_000, `${server.stats.memoryBytes} bytes`);
  client.resume();
  await once(client, 'end');
  client.destroy();
  await until(() => server.stats.memoryBytes === 0);
});

test('a server with more in memory than it may ends the plain connections that hold it, and no session that holds little', async () => {
  await using server = await start(
    { limits: { maxMemoryBytes: 2 * KERNEL_BYTES }, overload: overloadPolicy({ shedAt: 1, refuseAt: 1 }) },
    writer,
  );
  const session = connect(portOf(server), '127.0.0.1');
  await answers(session, 10);
  const codes: string[] = [];
  server.on('connection', (socket: ServerSocket) =>
    socket.on('error', ({ code }: GodwitError) => codes.push(code)),
  );
  const [modest, ...greedy] = [0, 1, 2, 3].map(() => plainClient(server, '10')) as [
    net.Socket,
    ...net.Socket[],
  ];
  await Promise.all([modest, ...greedy].map((client) => once(client, 'data')));
  for (const client of greedy) client.pause().write(String(2 * KERNEL_BYTES));
  await until(() => codes.length >= 2);
  await until(() => server.stats.memoryBytes < 2 * KERNEL_BYTES);
  assert.deepEqual(new Set(codes), new Set(['ERR_GODWIT_OVERLOADED']));
  await answers(session, 20);
  await answers(modest, 20);
  assert.equal(server.stats.plain, 1 + greedy.length - codes.length);
  for (const client of [session, modest, ...greedy]) client.destroy();
});

test('a plain client that takes nothing of what waits for it is reset; those that wait for nothing, or take it, are not', async () => {
  await using server = await start({ timers: { slowReaderTimeoutMs: 300 } }, writer);
  const idle = plainClient(server, '10');
  await once(idle, 'data');
  const eager = plainClient(server, '10');
  await once(eager, 'data');
  const began = once(server, 'connection') as Promise<[ServerSocket]>;
  const slow = plainClient(server, String(2 * KERNEL_BYTES)).pause();
  const [atServer] = await began;
  const failed = once(atServer, 'error') as Promise<[GodwitError]>;
  while (!atServer.destroyed) await answers(eager, KERNEL_BYTES);
  assert.equal((await failed)[0].code, 'ERR_GODWIT_TOO_SLOW');
  await answers(idle, 20);
  for (const client of [idle, eager, slow]) client.destroy();
});

test('a plain client about whom the application never decides is refused in time, and takes up no half-open place', async () => {
  await using server = createServer({
    plain: 'accept',
    authorize: () => new Promise(() => undefined),
    timers: { authenticateTimeoutMs: 200 },
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = net.connect({ host: '127.0.0.1', port });
  client.on('error', () => undefined).resume();
  client.write('x');
  const [refusal] = (await once(server, 'refused')) as [Refusal];
  assert.equal(refusal.code, 'ERR_GODWIT_TIMEOUT');
  await once(client, 'close');
  await until(() => server.stats.halfOpen === 0);
});
