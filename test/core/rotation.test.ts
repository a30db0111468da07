import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { pattern, transformApp, transformed } from '../world/server-apps.ts';
import { World } from '../world/world.ts';

test('after a key rotation live sessions move with tickets and triggers of the new key alone', () => {
  const world = new World();
  world.addServers(['a', 'b', 'c'], { delivery: Delivery.Replay, app: transformApp({ exports: 'pulled' }) });
  const client = world.connect({ servers: ['a', 'b', 'c'] });
  const input = pattern(900_000, 5);
  client.write(input.subarray(0, 300_000));
  world.until(() => client.receivedBytes === 300_000);

  const old = world.ring.newest;
  world.ring.rotate(KeyRing.generateKey());
  for (const server of world.servers.values()) {
    server.node.handleKeyRotation(world.now);
    server.poke();
  }
  world.run(100);
  assert.equal(world.ring.retire(Buffer.from(old.id).toString('hex')), true);

  const origin = world.serving(client);
  const session = origin.node.session(client.session.id);
  assert.ok(session);
  const to = ['a', 'b', 'c'].find((name) => name !== origin.address.name) as string;
  origin.node.migrate(world.now, session, { name: to, host: to, port: 1 });
  origin.poke();
  world.until(() => client.migrations.length === 1, 5000, 'the planned migration');
  client.write(input.subarray(300_000, 600_000));
  world.until(() => client.receivedBytes === 600_000);

  world.serving(client).kill();
  client.write(input.subarray(600_000));
  client.end();
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure, undefined);
  assert.equal(client.migrations.at(-1)?.source, 'ticket');
  assert.deepEqual(client.received, transformed(input, 0));
});
