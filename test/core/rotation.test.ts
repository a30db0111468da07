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

test('idle sessions get fresh tickets as well, and a server with many of them renews some at a time', () => {
  const world = new World();
  const COUNT = 250;
  world.addServers(['a', 'b'], { delivery: Delivery.Replay, app: transformApp({ exports: 'pulled' }) });
  const clients = Array.from({ length: COUNT }, () => world.connect({ servers: ['a'] }));
  world.until(() => clients.every(({ session }) => session.state === 'attached'));
  world.run(100);

  const { node } = world.server('a');
  let sealed = 0;
  let most = 0;
  for (const session of node.sessions) {
    const refresh = session.refreshTicket.bind(session);
    session.refreshTicket = () => {
      sealed += 1;
      refresh();
    };
  }
  const old = world.ring.newest;
  world.ring.rotate(KeyRing.generateKey());
  node.handleKeyRotation(world.now);
  world.server('a').poke();
  const steps: number[] = [];
  while (sealed < COUNT) {
    most = Math.max(most, sealed - (steps.at(-1) ?? 0));
    steps.push(sealed);
    world.run(5);
  }
  assert.ok(most <= 100 && steps.length > 2, `sealed by the step: ${steps.join(', ')}`);
  world.run(100);

  assert.equal(world.ring.retire(Buffer.from(old.id).toString('hex')), true);
  world.server('a').kill();
  for (const client of clients) {
    client.write(pattern(100, 1));
    client.end();
  }
  world.until(() => clients.every(({ closed }) => closed !== undefined));
  for (const client of clients) {
    assert.equal(client.closed?.failure, undefined);
    assert.deepEqual(client.received, transformed(pattern(100, 1), 0));
  }
});
