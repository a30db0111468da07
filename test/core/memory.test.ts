/** What a node counts of its sessions' memory is what they hold, at every moment; and a node that is full takes no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODES, Scenario } from '../world/scenario.ts';
import type { VirtualServer } from '../world/virtual-server.ts';

/** The sum, from scratch. */
function sumAt(server: VirtualServer): number {
  let bytes = 0;
  for (const session of server.node.sessions) bytes += session.heldBytes;
  return bytes;
}

for (const { name, delivery } of MODES) {
  test(`what a node counts is what its sessions hold, at every moment of moves and crashes (${name})`, () => {
    const scenario = new Scenario({
      delivery,
      length: 1_000_000,
      latencyMs: 2,
      server: { limits: { receiveWindowBytes: 65_536 } },
    });
    const { world, client } = scenario;
    let most = 0;
    const check = (): void => {
      for (const server of world.servers.values()) {
        if (!server.isAlive) continue;
        assert.equal(server.node.heldBytes, sumAt(server), `at ${server.address.name}, ${world.now} ms`);
        most = Math.max(most, server.node.heldBytes);
      }
    };
    const runChecked = (ms: number): void => {
      for (let spent = 0; spent < ms; spent += 0.5) {
        world.run(0.5);
        check();
      }
    };
    scenario.untilReceived(1);
    for (const to of ['b', 'c', 'a']) {
      runChecked(4);
      scenario.trigger(to);
      runChecked(20);
    }
    scenario.origin.kill();
    runChecked(40);
    assert.ok(client.migrations.length >= 3);
    assert.ok(most > 10_000, `it held ${most} bytes at the most`);
    scenario.finishExactly();
    check();
  });
}

test('a full node refuses new sessions and those of others, and goes on with its own', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], length: 200_000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  const b = world.server('b');
  b.node.setFull(world.now, true);
  client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
  world.run(100);
  const codesAt = (server: VirtualServer): string[] =>
    server.events.flatMap((event) => (event.type === 'refused' ? [event.failure.code] : []));
  assert.deepEqual(codesAt(b), ['ERR_GODWIT_BUSY']);
  // Its own come back, though it is full.
  const a = world.server('a');
  a.node.setFull(world.now, true);
  for (const pipe of client.pipesTo('a')) pipe.cut();
  world.run(200);
  assert.equal(client.session.state, 'attached');
  const second = world.connect({ servers: ['a', 'b'] });
  world.run(100);
  assert.equal(codesAt(a).includes('ERR_GODWIT_BUSY'), true);
  assert.equal(second.closed?.failure?.code, 'ERR_GODWIT_BUSY');
  b.node.setFull(world.now, false);
  const third = world.connect({ servers: ['a', 'b'] });
  third.end();
  world.until(() => third.closed !== undefined, 10_000, 'the third to end');
  assert.equal(third.closed?.failure, undefined);
  scenario.finishExactly();
});
