/** Standbys at a server: one whose client lives stays for good, one whose client is gone does not (docs/protocol.md §5.4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_SERVER_TIMERS } from '../../packages/godwit/src/session/index.ts';
import { WireCode } from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { Scenario } from '../world/scenario.ts';
import { transformApp } from '../world/server-apps.ts';
import type { Pipe } from '../world/pipe.ts';

const { standbyIdleTimeoutMs, authenticateTimeoutMs } = DEFAULT_SERVER_TIMERS;

function withStandby(): { scenario: Scenario; pipe: Pipe } {
  const scenario = new Scenario({ length: 1000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  client.standby('b');
  world.until(() => world.server('b').node.watched.size === 1);
  const pipe = world.pipes.at(-1);
  assert.ok(pipe);
  return { scenario, pipe };
}

test('a standby of a client that lives stays, however little happens on it', () => {
  const { scenario, pipe } = withStandby();
  const { world, client } = scenario;
  world.run(20 * standbyIdleTimeoutMs);
  assert.equal(pipe.isClosed, false);
  const { node } = world.server('b');
  assert.equal(node.trigger(world.now, client.session.sessionId, { name: 'b', host: 'b', port: 1 }), true);
  world.server('b').poke();
  scenario.untilMigrated(1);
  assert.equal(client.migrations[0]?.phases.connect, 0, 'over the very standby');
  scenario.finishExactly();
});

test('a standby whose client is gone without a word is closed in time, and watches nothing', () => {
  const { scenario, pipe } = withStandby();
  const { world } = scenario;
  world.run(1000);
  pipe.abandon(0, true);
  const { node } = world.server('b');
  world.run(standbyIdleTimeoutMs - 2000);
  assert.equal(node.carrierCount, 1, 'it was heard of so long ago');
  world.run(2001);
  assert.equal(node.carrierCount, 0);
  assert.equal(node.watched.size, 0);
  scenario.finishExactly();
});

test('a MIGRATE over a standby that comes to nothing is forgotten as one on a carrier of its own is', () => {
  const scenario = new Scenario({
    servers: ['a', 'b'],
    length: 1000,
    app: transformApp({ exports: 10, stateBytes: 20_000 }),
    server: { limits: { snapshotIntervalBytes: 10, snapshotShare: 0 } },
  });
  const { world } = scenario;
  scenario.untilReceived(1000);
  const before = world.server('b').node.population;
  const peer = new RawClient(world, 'a');
  peer.open({ maxBodyBytes: 65_536 });
  peer.data(new Uint8Array(20));
  world.run(10);
  const ticket = peer.frames.find((frame) => frame.frame === 'snapshot' && frame.k > 0);
  assert.ok(ticket?.frame === 'snapshot');
  const head = ticket.bytes.slice(0, ticket.headBytes);
  const standby = new RawClient(world, 'b', peer.sessionId);
  standby.secret = peer.secret;
  standby.standby(head);
  world.run(5);
  assert.equal(standby.closed, false);
  // It names a ticket whose body it never sends.
  standby.migrate({ head, originState: 1, newestK: ticket.k, received: 20, delivered: 20 });
  world.run(10);
  assert.ok(standby.find('needBody'));
  world.run(authenticateTimeoutMs);
  assert.equal(standby.closed, true);
  peer.hangUp();
  world.run(10);
  assert.deepEqual(world.server('b').node.population, before);
  scenario.finishExactly();
});

test('there are only so many standbys, and who is refused may come when another has gone', () => {
  const scenario = new Scenario({
    servers: ['a', 'b'],
    length: 1000,
    server: { limits: { maxStandbys: 1 } },
  });
  const { world } = scenario;
  scenario.untilReceived(1000);
  const before = world.server('b').node.population;
  const peer = new RawClient(world, 'a');
  peer.open({ maxBodyBytes: 65_536 });
  const ticket = peer.find('snapshot');
  assert.ok(ticket);
  const standby = (): RawClient => {
    const client = new RawClient(world, 'b', peer.sessionId);
    client.secret = peer.secret;
    client.standby(ticket.bytes.slice(0, ticket.headBytes));
    world.run(5);
    return client;
  };
  const first = standby();
  assert.equal(first.closed, false);
  const second = standby();
  assert.equal(second.find('refuse')?.code, WireCode.Busy);
  assert.equal(second.closed, true);
  first.hangUp();
  world.run(5);
  const third = standby();
  assert.equal(third.closed, false);
  for (const client of [third, peer]) client.hangUp();
  world.run(10);
  assert.deepEqual(world.server('b').node.population, before);
  scenario.finishExactly();
});
