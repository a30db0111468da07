/** Keys change while sessions live. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { KeyRing, connect, type Refusal } from 'godwit';
import { startCluster } from './cluster.ts';

test('a session moves after a rotation although the key its first tickets were sealed with is gone', async () => {
  const keys = KeyRing.generate();
  await using cluster = await startCluster(
    2,
    (socket) => {
      let count = socket.importState((state) => Number(state)) ?? 0;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk) => {
        count += chunk.byteLength;
        socket.write(`${count};`);
      });
    },
    { keys },
  );
  const client = connect({ servers: [...cluster.addresses], standby: false });
  await once(client, 'connect');
  client.write('12345');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '5;');

  const [old] = keys.toJSON().keys;
  keys.rotate(KeyRing.generateKey());
  client.write('678');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '8;');
  assert.equal(keys.retire(old?.id as string), true);

  const from = client.currentServer?.name;
  await client.migrate();
  assert.notEqual(client.currentServer?.name, from);
  client.write('9');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '9;');
  client.destroy();
  await once(client, 'close');
});

test('a hand-over whose link ends in its midst, since its key is revoked, loses nothing', async () => {
  const keys = KeyRing.generate();
  let handingOver: (() => void) | undefined;
  await using cluster = await startCluster(
    2,
    (socket) => {
      let count = socket.importState((state) => Number(state)) ?? 0;
      socket.onExportState(() => {
        handingOver?.();
        return String(count);
      });
      socket.on('data', (chunk) => {
        count += chunk.byteLength;
        socket.write(`${count};`);
      });
    },
    { keys },
  );
  const refusals: Refusal[] = [];
  for (const server of cluster.servers) server.on('refused', (refusal) => refusals.push(refusal));
  const client = connect({ servers: [...cluster.addresses], standby: false });
  await once(client, 'connect');
  client.write('12345');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '5;');
  await client.migrate();

  const [old] = keys.toJSON().keys;
  keys.rotate(KeyRing.generateKey());
  // The link of the first move still serves: the old key opens.
  handingOver = () => {
    handingOver = undefined;
    assert.equal(keys.retire(old?.id as string), true);
  };
  const from = client.currentServer?.name;
  await client.migrate().catch(() => undefined);
  assert.equal(handingOver, undefined, 'it was revoked while the session was handed over');
  assert.ok(refusals.some(({ code }) => code === 'ERR_GODWIT_UNKNOWN_KEY'));
  client.write('678');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '8;');
  // Servers find together again, under the new key.
  if (client.currentServer?.name === from) await client.migrate();
  client.write('9');
  assert.equal(String(((await once(client, 'data')) as [Buffer])[0]), '9;');
  client.destroy();
  await once(client, 'close');
});
