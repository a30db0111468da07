/** Client-side triggers: they see what is wrong, and only that (paper §3.3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pingDetector, stallDetector, throughputDetector } from '../../packages/godwit/src/session/index.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformed } from '../world/server-apps.ts';

for (const { name: mode, delivery } of MODES) {
  test(`an idle session stays where it is for an hour, and then still works (${mode})`, () => {
    const scenario = new Scenario({ delivery, length: 1000, client: { servers: ['a', 'b', 'c'] } });
    scenario.untilReceived(1000);
    scenario.world.run(3_600_000);
    assert.equal(scenario.client.migrations.length, 0);
    assert.equal(scenario.client.session.epoch, 1);
    const carriers = scenario.client.openCarriers;
    assert.equal(carriers, 1);
    scenario.client.write(pattern(1000, 8));
    scenario.finish();
    scenario.assertExact(transformed(Buffer.concat([scenario.input, pattern(1000, 8)]), 0));
  });

  test(`a client that does not read is no reason to migrate (${mode})`, () => {
    const app = fileApp({ length: 5_000_000, seed: 3, exports: 'pulled' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 0,
      client: {
        autoRead: false,
        detectors: [stallDetector(), throughputDetector({ minBytesPerSecond: 1000 })],
      },
    });
    scenario.world.run(120_000);
    assert.equal(scenario.client.migrations.length, 0);
    scenario.client.autoRead = true;
    scenario.client.read();
    scenario.finish();
    scenario.assertExact(pattern(5_000_000, 3));
  });
}

test('the stall detector wakes within its limits on an idle session too, once there is something to say', () => {
  const scenario = new Scenario({ length: 1000, client: { servers: ['a', 'b'] }, servers: ['a', 'b'] });
  scenario.untilReceived(1000);
  scenario.world.run(60_000);
  scenario.origin.suspend();
  const at = scenario.world.now;
  scenario.client.write(pattern(1000, 8));
  scenario.untilMigrated(1);
  assert.ok(scenario.world.now - at < 3500, `after ${scenario.world.now - at} ms`);
  assert.equal(scenario.client.migrations[0]?.cause, 'stall');
});

test('round trips above the limit of the ping detector move the session, as often as the budget allows and no more', () => {
  const scenario = new Scenario({
    length: 1000,
    latencyMs: 100,
    client: { servers: ['a', 'b'], detectors: [pingDetector({ maxMs: 50, intervalMs: 200 })] },
  });
  scenario.untilReceived(1000);
  scenario.world.run(29_000);
  assert.ok(scenario.client.migrations.length >= 1);
  assert.ok(
    scenario.client.migrations.length <= 4,
    `${scenario.client.migrations.length} migrations in 29 s`,
  );
  scenario.finishExactly();
});

/** A client that writes a little every 50 ms, for so long. */
function chat(scenario: Scenario, forMs: number): void {
  for (const end = scenario.world.now + forMs; scenario.world.now < end;) {
    scenario.client.write(pattern(100, 9));
    scenario.world.run(50);
  }
}

test('a path that was slow at first, and is fast by now, is measured again while bytes move', () => {
  let latencyMs = 400;
  const scenario = new Scenario({
    length: 1000,
    servers: ['a', 'b'],
    world: { latencyOf: () => latencyMs },
  });
  scenario.untilReceived(1000);
  chat(scenario, 3000);
  latencyMs = 5;
  chat(scenario, 20_000);
  assert.equal(scenario.client.migrations.length, 0);
  assert.ok(
    (scenario.client.session.roundTripMs ?? Infinity) < 60,
    `${scenario.client.session.roundTripMs} ms`,
  );
  scenario.origin.suspend();
  const at = scenario.world.now;
  scenario.client.write(pattern(100, 9));
  scenario.untilMigrated(1);
  assert.equal(scenario.client.migrations[0]?.cause, 'stall');
  // A second until it is a stall, another until the destination gives the origin up, and half for an answer to DETACH.
  assert.ok(scenario.world.now - at < 3000, `after ${scenario.world.now - at} ms`);
});

test('the round trip to a former server says nothing of the present one', () => {
  const scenario = new Scenario({
    length: 1000,
    servers: ['a', 'b'],
    world: { latencyOf: (from, to) => (from === 'a' || to === 'a' ? 300 : 5) },
  });
  scenario.untilReceived(1000);
  chat(scenario, 3000);
  scenario.trigger('b');
  scenario.untilMigrated(1);
  chat(scenario, 500);
  assert.ok(
    (scenario.client.session.roundTripMs ?? Infinity) < 60,
    `${scenario.client.session.roundTripMs} ms`,
  );
});
