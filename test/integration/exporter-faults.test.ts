/** Exporters that can't be right: the session ends with a code at both ends, or says that it is unprotected; it never hangs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import net, { connect, createServer, type ServerSocket } from 'godwit';
import { startCluster } from './cluster.ts';

async function startServer(
  serve: (socket: ServerSocket) => void,
): Promise<{ server: net.Server; port: number }> {
  const server = createServer({ limits: { maxStateBytes: 4096 } }, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

interface End {
  readonly errors: string[];
  readonly closed: Promise<unknown>;
}

function watch(socket: net.Socket): End {
  const errors: string[] = [];
  socket.on('error', (error: NodeJS.ErrnoException) => errors.push(String(error.code)));
  return { errors, closed: new Promise((resolve) => socket.on('close', resolve)) };
}

for (const [what, exporter, code] of [
  ['does not say what a piped application consumed', () => 'x', 'ERR_GODWIT_CONSUMED_UNKNOWN'],
  ['answers a promise', () => Promise.resolve('x') as never, 'ERR_GODWIT_EXPORT_INVALID'],
  [
    'throws',
    () => {
      throw Object.assign(new Error('no state today'), { code: 'ERR_MINE' });
    },
    'ERR_MINE',
  ],
] as const) {
  test(`an exporter that ${what} ends that session alone, with an error at both ends`, async () => {
    let serverEnd: End | undefined;
    const { server, port } = await startServer((socket) => {
      serverEnd = watch(socket);
      socket.onExportState(exporter);
      socket.pipe(socket);
    });
    const client = connect(port, '127.0.0.1');
    const clientEnd = watch(client);
    client.resume();
    client.write(Buffer.alloc(8_000_000));
    await clientEnd.closed;
    await serverEnd?.closed;
    assert.deepEqual(serverEnd?.errors, [code]);
    assert.deepEqual(clientEnd.errors, ['ERR_GODWIT_INTERNAL']);
    server.close();
    await once(server, 'close');
  });
}

test('a state over the limit leaves the session unprotected for that reason, and the transfer goes on', async () => {
  const reasons: string[] = [];
  const { server, port } = await startServer((socket) => {
    socket.onExportState(() => Buffer.alloc(5000));
    socket.on('unprotected', (reason) => reasons.push(reason));
    let count = 0;
    socket.on('data', (chunk) => (count += chunk.byteLength));
    socket.on('end', () => socket.end(String(count)));
  });
  const client = connect(port, '127.0.0.1');
  client.end(Buffer.alloc(9_000_000));
  let text = '';
  for await (const chunk of client) text += String(chunk);
  assert.equal(text, '9000000');
  assert.equal(reasons.length, 1);
  assert.match(String(reasons[0]), /too large/);
  server.close();
  await once(server, 'close');
});

test('two calls of migrate to the same server get the outcome of one move', async () => {
  await using cluster = await startCluster(2, (socket) => {
    socket.onExportState(() => '');
    socket.on('data', (chunk) => socket.write(chunk));
  });
  const client = connect({ servers: [...cluster.addresses] });
  await once(client, 'connect');
  client.write('a');
  await once(client, 'data');
  const to = cluster.addresses.find(
    (address) => !address.endsWith(`:${client.currentServer?.port}`),
  ) as string;
  const [first, second] = await Promise.all([client.migrate({ to }), client.migrate({ to })]);
  assert.equal(first, second);
  assert.equal(client.migrations, 1);
  client.destroy();
  await once(client, 'close');
});

test('the default export has the types of net as well as its values', () => {
  const socket: net.Socket = new net.Socket();
  const address: net.AddressInfo | Record<string, never> = { address: '', family: '', port: 0 };
  assert.equal(socket instanceof net.Socket, true);
  assert.equal(address.port, 0);
  assert.equal(net.connect, connect);
});
