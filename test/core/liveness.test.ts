/** How long a session may be without a server that serves it, when another one would: seconds are too long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cause } from '../../packages/godwit/src/wire/index.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { pattern } from '../world/server-apps.ts';

/** From a stall's beginning to the decision: the detector's minimum, its interval, and the PING that it waits for. */
const STALL_MS = 1000 + 100 + 250;

/** Runs until the client has all the output, and answers how long that took. */
function goesOn(scenario: Scenario, write = 1000): number {
  const { world, client } = scenario;
  const at = world.now;
  const wanted = client.receivedBytes + write;
  client.write(pattern(write, 8));
  world.until(() => client.receivedBytes >= wanted, 60_000, 'the answer');
  return world.now - at;
}

/** A session at `a` with standbys, some of whose answers have come. */
function settled(options: ConstructorParameters<typeof Scenario>[0], standbys: readonly string[]): Scenario {
  const scenario = new Scenario({ length: 1000, ...options });
  scenario.untilReceived(1000);
  for (const server of standbys) scenario.client.standby(server);
  scenario.world.run(2000);
  return scenario;
}

for (const { name: mode, delivery } of MODES) {
  test(`a client with a new address goes on at once, though its standbys are as dead as its carrier (${mode})`, () => {
    const scenario = settled({ delivery }, ['b', 'c']);
    const { world, client } = scenario;
    for (const pipe of world.pipes) pipe.blackhole.fill(true);
    const tookMs = goesOn(scenario);
    assert.ok(tookMs < STALL_MS + 300, `after ${tookMs} ms`);
    assert.equal(client.migrations[0]?.source, 'resume');
    scenario.finish();
  });

  test(`a server that died is not waited for at a standby that is dead as well (${mode})`, () => {
    const scenario = settled({ delivery }, ['b', 'c']);
    const { world, client } = scenario;
    for (const name of ['b', 'c']) world.server(name).suspend();
    scenario.origin.kill();
    world.start('a');
    const tookMs = goesOn(scenario);
    assert.ok(tookMs < 2 * 1000 + 300, `after ${tookMs} ms`);
    assert.equal(client.migrations[0]?.to, 'a');
    scenario.finish();
  });

  test(`a server that stands still, and that its heir can't reach, is not asked to DETACH (${mode})`, () => {
    const scenario = settled({ delivery }, []);
    const { world, origin } = scenario;
    origin.suspend();
    const tookMs = goesOn(scenario);
    // Another second for the PULL.
    assert.ok(tookMs < STALL_MS + 1000 + 100, `after ${tookMs} ms`);
    assert.equal(world.frames.get('detach'), undefined);
    scenario.finish();
  });

  test(`a session that was driven from server to server leaves one that stands still all the same (${mode})`, () => {
    const scenario = settled({ delivery }, []);
    const { world } = scenario;
    for (let kills = 1; kills <= 5; kills += 1) {
      const name = scenario.client.session.serverName;
      scenario.origin.kill();
      scenario.untilMigrated(kills);
      goesOn(scenario);
      world.start(name);
    }
    scenario.origin.suspend();
    const tookMs = goesOn(scenario);
    assert.ok(tookMs < 6000, `after ${tookMs} ms`);
    scenario.finish();
  });

  test(`a session that was to move to one server goes to any when its own one dies meanwhile (${mode})`, () => {
    const scenario = settled({ delivery }, []);
    const { world, client } = scenario;
    world.server('b').suspend();
    client.do((session, now) =>
      session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: Cause.Application }),
    );
    world.run(500);
    scenario.origin.kill();
    const tookMs = goesOn(scenario);
    assert.ok(tookMs < 500, `after ${tookMs} ms`);
    assert.equal(client.migrations[0]?.to, 'c');
    scenario.finish();
  });
}
