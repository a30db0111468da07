/** Standbys are dialled as their session's other carriers are: past no block list, and from its address. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { KeyRing, connect, createServer } from 'godwit';

test('a standby keeps to the block list and the local address of its session, and is shared only by those alike', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('only Linux has 127.0.0.2 and 127.0.0.3 without further ado');
    return;
  }
  // It answers nothing: that somebody dials it is all that matters.
  const other = net.createServer((socket) => socket.on('error', () => undefined));
  other.listen(0, '127.0.0.2');
  await once(other, 'listening');
  const dialledFrom: (string | undefined)[] = [];
  other.on('connection', ({ remoteAddress }) => dialledFrom.push(remoteAddress));

  const members = [`127.0.0.2:${(other.address() as AddressInfo).port}`];
  const server = createServer({ keys: KeyRing.generateKey(), members }, (socket) => socket.resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const blockList = new net.BlockList();
  blockList.addAddress('127.0.0.2');
  const clients = [];
  for (const options of [{ blockList }, { localAddress: '127.0.0.3' }, { localAddress: '127.0.0.3' }, {}]) {
    const dialled = 'blockList' in options ? undefined : once(other, 'connection');
    const client = connect({ port, host: '127.0.0.1', ...options });
    clients.push(client);
    await once(client, 'connect');
    // The third shares the standby of the second.
    if (clients.length !== 3) await dialled;
  }
  assert.deepEqual(dialledFrom, ['127.0.0.3', '127.0.0.1']);

  for (const client of clients) client.destroy();
  server.close();
  await once(server, 'close');
  other.close();
});
