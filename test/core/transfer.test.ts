import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { fileApp, pattern, transformApp, transformed } from '../world/server-apps.ts';
import { World } from '../world/world.ts';

test('an echo session carries both streams whole and closes in order', () => {
  const world = new World();
  world.addServers(['a'], { delivery: Delivery.Replay, app: transformApp({ exports: 'pulled' }) });
  const client = world.connect({ servers: ['a'] });
  const input = pattern(3_000_000, 7);
  client.write(input);
  client.end();
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure, undefined);
  assert.deepEqual(client.received, transformed(input, 0));
  assert.equal(client.ended, true);
  world.run(60_000);
  assert.equal(world.server('a').node.sessionCount, 0);
});

for (const delivery of [Delivery.Replay, Delivery.Commit]) {
  test(`a file download survives the death of its server (delivery ${delivery})`, () => {
    const world = new World();
    const app = fileApp({
      length: 8_000_000,
      seed: 3,
      exports: 'pulled',
      ...(delivery === Delivery.Commit && { commitEvery: 65536 }),
    });
    world.addServers(['a', 'b', 'c'], { delivery, app });
    const client = world.connect({ servers: ['a', 'b', 'c'] });
    let kills = 0;
    for (const at of [500_000, 2_500_000, 4_500_000]) {
      world.until(() => client.receivedBytes >= at);
      const victim = world.serving(client);
      victim.kill();
      world.scheduler.after(200, () => world.start(victim.address.name));
      kills += 1;
    }
    client.end();
    world.until(() => client.closed !== undefined);
    assert.equal(client.closed?.failure, undefined);
    assert.equal(client.migrations.length, kills);
    assert.deepEqual(client.received, pattern(8_000_000, 3));
  });

  test(`a planned migration takes the last snapshot from the origin (delivery ${delivery})`, () => {
    const world = new World();
    world.addServers(['a', 'b', 'c'], {
      delivery,
      app: transformApp({ exports: delivery === Delivery.Commit ? 4096 : 'pulled' }),
    });
    const client = world.connect({ servers: ['a', 'b', 'c'] });
    const input = pattern(2_000_000, 9);
    client.write(input);
    world.until(() => client.receivedBytes >= 300_000);
    for (const to of ['b', 'c', 'a', 'b']) {
      const origin = world.serving(client);
      origin.node.migrate(world.now, origin.node.session(client.session.id)!, {
        name: to,
        host: to,
        port: 1,
      });
      origin.poke();
      const count = client.migrations.length;
      world.until(
        () =>
          client.migrations.length > count &&
          world.server(to).node.session(client.session.id)?.state === 'active',
      );
      assert.equal(client.migrations.at(-1)?.source, 'origin');
      assert.equal(client.migrations.at(-1)?.to, to);
    }
    client.end();
    world.until(() => client.closed !== undefined);
    assert.equal(client.closed?.failure, undefined);
    assert.deepEqual(client.received, transformed(input, 0));
    assert.equal(client.migrations.length, 4);
  });
}
