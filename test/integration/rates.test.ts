/** Who asks too often is refused for a while, and no session suffers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, createServer, type GodwitError, type ServerSocket, type Socket } from 'godwit';
import { startCluster } from './cluster.ts';

function echo(socket: ServerSocket): void {
  socket.onExportState(() => 'nothing');
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => socket.write(chunk));
}

async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(socket, 'data'))[0]);
  assert.equal(received, text);
}

function isBusy(error: GodwitError): boolean {
  assert.equal(error.code, 'ERR_GODWIT_MIGRATION_FAILED');
  assert.equal((error.cause as GodwitError).code, 'ERR_GODWIT_BUSY');
  return true;
}

test('more MIGRATEs than an address may send are refused; their session stays, goes on, and may move later', async () => {
  await using cluster = await startCluster(2, echo, { limits: { maxMigratesPerSecond: 1 } });
  const socket = connect({ servers: cluster.addresses });
  await once(socket, 'connect');
  const [first, second] = socket.currentServer?.name === 's0' ? ['s0', 's1'] : ['s1', 's0'];
  // Four at once to either server, the last of them to where it began.
  for (const to of [second, first, second, first, second, first, second, first]) {
    await socket.migrate({ to });
    await exchange(socket, `at ${to}`);
  }
  await assert.rejects(socket.migrate({ to: second }), isBusy);
  assert.equal(socket.currentServer?.name, first);
  await exchange(socket, 'it goes on where it was');
  for (;;) {
    const moved = await socket.migrate({ to: second }).then(
      () => true,
      (error: GodwitError) => !isBusy(error),
    );
    if (moved) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await exchange(socket, 'and elsewhere, later');
  socket.destroy();
});

test('more PULLs than a server may send are refused; the sessions stay and go on', async () => {
  await using cluster = await startCluster(2, echo, { limits: { maxPullsPerSecond: 1 } });
  const sockets = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const socket = connect({ servers: [cluster.addresses[0] as string] });
      await once(socket, 'connect');
      await exchange(socket, 'hello');
      return socket;
    }),
  );
  const outcomes = await Promise.allSettled(sockets.map((socket) => socket.migrate({ to: 's1' })));
  const stayed = outcomes.filter(({ status }) => status === 'rejected');
  assert.equal(stayed.length, 2);
  for (const outcome of stayed) if (outcome.status === 'rejected') isBusy(outcome.reason as GodwitError);
  for (const socket of sockets) await exchange(socket, `at ${String(socket.currentServer?.name)}`);
  for (const socket of sockets) socket.destroy();
});

test('rates out of their range are refused', () => {
  assert.throws(() => createServer({ limits: { maxMigratesPerSecond: -1 } }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => createServer({ limits: { maxPullsPerSecond: 1e9 } }), { code: 'ERR_OUT_OF_RANGE' });
});
