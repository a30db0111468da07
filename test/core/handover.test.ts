/** The hand-over's own rules: who may take a session, when it stays, what goes on when parties can't reach each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import { Cause, Delivery, FrameDecoder, type PeerFrame } from '../../packages/godwit/src/wire/index.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformApp } from '../world/server-apps.ts';
import type { VirtualServer } from '../world/virtual-server.ts';

const address = (name: string): { name: string; host: string; port: number } => ({
  name,
  host: name,
  port: 1,
});
const failures = (scenario: Scenario): string[] =>
  scenario.client.events.flatMap((event) => (event.type === 'migrationFailed' ? [event.failure.code] : []));
const eventsAt = (server: VirtualServer, type: string): number =>
  server.events.filter((event) => event.type === type).length;
const times = (scenario: Scenario, frame: string): number => scenario.world.frames.get(frame) ?? 0;

for (const { name: mode, delivery } of MODES) {
  test(`a planned migration that every server refuses leaves the session at its origin, and data goes on (I6, ${mode})`, () => {
    const scenario = new Scenario({ delivery });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    for (const name of ['b', 'c']) world.server(name).node.setDraining(world.now, true);
    scenario.trigger(undefined);
    world.until(() => failures(scenario).length > 0);
    assert.deepEqual(failures(scenario), ['ERR_GODWIT_DRAINING']);
    scenario.finishExactly();
    assert.equal(client.session.serverName, 'a');
  });

  test(`a session that its origin froze for a destination that died is taken back in-band (I6, ${mode})`, () => {
    const scenario = new Scenario({ delivery, servers: ['a', 'b'] });
    const { world } = scenario;
    scenario.untilReceived(20_000);
    scenario.trigger('b');
    world.until(() => scenario.origin.node.session(scenario.client.session.id)?.state === 'frozen');
    world.server('b').kill();
    world.until(() => eventsAt(world.server('a'), 'thawed') === 1);
    scenario.finishExactly();
    assert.equal(failures(scenario).length, 1);
    assert.equal(scenario.client.session.serverName, 'a');
    assert.equal(scenario.client.session.epoch > 1, true, 'only a higher epoch thaws it');
  });

  test(`REFUSE makes the client go on to the next candidate (${mode})`, () => {
    const scenario = new Scenario({ delivery });
    const { world } = scenario;
    scenario.untilReceived(20_000);
    world.server('b').node.setDraining(world.now, true);
    scenario.trigger(undefined);
    scenario.untilMigrated(1);
    assert.equal(scenario.client.migrations[0]?.to, 'c');
    scenario.finishExactly();
  });

  test(`an origin that only the client reaches hands the session over through the client (${mode})`, () => {
    const scenario = new Scenario({ delivery });
    const { world } = scenario;
    scenario.untilReceived(20_000);
    world.partition('a', 'b');
    scenario.trigger('b');
    scenario.untilMigrated(1);
    assert.equal(times(scenario, 'detach'), 1);
    assert.equal(times(scenario, 'detached'), 1);
    assert.equal(scenario.client.migrations[0]?.source, 'ticket');
    scenario.finishExactly();
  });

  test(`an origin that is silent besides costs the last ticket's freshness, not a byte (${mode})`, () => {
    const scenario = new Scenario({ delivery });
    const { world } = scenario;
    scenario.untilReceived(20_000);
    world.partition('a', 'b');
    world.server('a').suspend();
    scenario.client.do((session, now) =>
      session.migrate(now, { to: address('b'), cause: Cause.Application }),
    );
    scenario.untilMigrated(1);
    assert.equal(times(scenario, 'detached'), 0);
    assert.equal(scenario.client.migrations[0]?.source, 'ticket');
    world.server('a').resume();
    scenario.finishExactly();
  });

  test(`a stopped origin is left by the stall detector, and wakes up to RELEASE and to nothing else (I5, ${mode})`, () => {
    const scenario = new Scenario({ delivery, client: { servers: ['a', 'b'] }, servers: ['a', 'b'] });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    const zombie = scenario.origin;
    zombie.suspend();
    scenario.untilMigrated(1);
    assert.equal(client.migrations[0]?.cause, 'stall');
    const silent = world.frames.get('data');
    zombie.resume();
    world.run(300); // RELEASE comes a moment after CONFIRM, not to be in the way of the data
    assert.equal(eventsAt(zombie, 'moved'), 1);
    assert.equal(zombie.node.sessionCount, 0);
    assert.ok(silent !== undefined);
    scenario.finishExactly();
  });

  test(`a carrier that swallows everything is replaced by a fresh one when the stall detector fires (${mode})`, () => {
    const scenario = new Scenario({ delivery, servers: ['a'], client: { servers: ['a'] } });
    scenario.untilReceived(20_000);
    for (const pipe of scenario.client.pipesTo('a')) pipe.blackhole[0] = pipe.blackhole[1] = true;
    scenario.untilMigrated(1);
    assert.equal(scenario.client.migrations[0]?.cause, 'stall');
    assert.equal(scenario.client.migrations[0]?.source, 'resume');
    scenario.finishExactly();
  });

  test(`all servers dead: the session ends within giveUpTimeoutMs with the carrier's own code (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      client: { servers: ['a', 'b', 'c'], timers: { giveUpTimeoutMs: 4000 } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    for (const server of world.servers.values()) server.kill();
    const at = world.now;
    world.until(() => client.closed !== undefined);
    assert.equal(client.closed?.failure?.code, 'ECONNRESET');
    assert.ok(world.now - at <= 4010, `after ${world.now - at} ms`);
  });

  test(`the only server dies and is back in time: nothing is lost (${mode})`, () => {
    const scenario = new Scenario({ delivery, servers: ['a'] });
    scenario.untilReceived(20_000);
    scenario.origin.kill();
    scenario.world.scheduler.after(800, () => scenario.world.start('a'));
    scenario.finishExactly();
    assert.equal(scenario.client.migrations[0]?.source, 'ticket');
  });

  test(`a session goes round all servers and home again, time after time (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      length: 400_000,
      client: { limits: { receiveWindowBytes: 65536 } },
    });
    scenario.untilReceived(1);
    const route = ['b', 'c', 'a', 'c', 'b', 'a', 'b', 'a', 'b'];
    route.forEach((to, index) => {
      scenario.trigger(to);
      scenario.untilMigrated(index + 1);
      scenario.world.until(
        () => scenario.world.server(to).node.session(scenario.client.session.id)?.state === 'active',
      );
    });
    assert.deepEqual(
      scenario.client.migrations.map(({ to }) => to),
      route,
    );
    assert.ok(scenario.client.migrations.every(({ source }) => source === 'origin'));
    scenario.finishExactly();
  });

  for (const stateBytes of [1, 1990, 2100, 5000, 16_000, 16_384, 70_000, 300_000]) {
    test(`a state of ${stateBytes} bytes is restored from the client's ticket after each kill (${mode})`, () => {
      const app = transformApp({ exports: delivery === Delivery.Commit ? 8192 : 'pulled', stateBytes });
      const scenario = new Scenario({
        delivery,
        app,
        length: 1_500_000,
        server: { limits: { receiveWindowBytes: 65_536, snapshotIntervalBytes: 16_384, snapshotShare: 0 } },
        client: { servers: ['a', 'b'], limits: { sendBufferBytes: 16_384 } },
        servers: ['a', 'b'],
      });
      for (const bytes of [400_000, 800_000, 1_200_000]) {
        scenario.untilReceived(bytes);
        const victim = scenario.origin;
        victim.kill();
        scenario.world.scheduler.after(100, () => scenario.world.start(victim.address.name));
      }
      scenario.finishExactly();
      assert.ok(scenario.client.migrations.every(({ source }) => source === 'ticket'));
      if (stateBytes > 2048) assert.ok(times(scenario, 'needBody') > 0);
    });
  }

  test(`a server dies while a large body is on its way to it: the next one asks for it anew (${mode})`, () => {
    const app = transformApp({
      exports: delivery === Delivery.Commit ? 8192 : 'pulled',
      stateBytes: 100_000,
    });
    for (let after = 0; after < 100_000; after += 7001) {
      const scenario = new Scenario({
        delivery,
        app,
        length: 100_000,
        server: { limits: { snapshotIntervalBytes: 8192, snapshotShare: 0 } },
        client: { servers: ['a', 'b', 'c'], limits: { sendBufferBytes: 16_384 } },
      });
      scenario.untilReceived(40_000);
      let armed = true;
      scenario.world.onDial = (_, pipe) => {
        if (armed) pipe.cutAfter[0] = after;
        armed = false;
      };
      scenario.origin.kill();
      scenario.finishExactly();
    }
  });
}

test('two triggers at once make one migration', () => {
  const scenario = new Scenario();
  scenario.untilReceived(20_000);
  scenario.trigger('b');
  scenario.trigger('c');
  scenario.client.do((session, now) => session.migrate(now, { to: address('c'), cause: Cause.Application }));
  scenario.untilMigrated(1);
  scenario.finishExactly();
  assert.equal(scenario.client.migrations.length, 1);
});

test('a trigger over a standby moves a session from another server to that one in one round trip', () => {
  const scenario = new Scenario();
  const { world, client } = scenario;
  scenario.untilReceived(20_000);
  client.standby('b');
  world.run(10);
  assert.equal(world.server('b').node.trigger(world.now, client.session.sessionId, address('b')), true);
  world.server('b').poke();
  scenario.untilMigrated(1);
  assert.equal(client.migrations[0]?.cause, 'other-server');
  assert.equal(client.migrations[0]?.to, 'b');
  assert.equal(client.migrations[0]?.phases.connect, 0);
  scenario.finishExactly();
});

test('a server without a standby of the session has nobody to trigger', () => {
  const scenario = new Scenario();
  scenario.untilReceived(20_000);
  const { world, client } = scenario;
  assert.equal(world.server('b').node.trigger(world.now, client.session.sessionId, address('b')), false);
  scenario.finishExactly();
});

test('a draining server refuses OPEN, and the client opens elsewhere', () => {
  const scenario = new Scenario({ length: 1000, client: { servers: ['a', 'b'] } });
  scenario.world.server('a').node.setDraining(0, true);
  scenario.finishExactly();
  assert.equal(scenario.client.session.serverName, 'b');
});

test('a server that dies before SUPPORT arrived: the client opens elsewhere with all of its input', () => {
  for (let at = 0; at < 8; at += 0.5) {
    const scenario = new Scenario({ client: { servers: ['a', 'b'] } });
    scenario.world.run(at);
    scenario.world.server('a').kill(at % 1 === 0);
    scenario.finishExactly();
    if (at < 6) assert.notEqual(scenario.client.session.serverName, 'a');
  }
});

test('a client of another service is refused', () => {
  const scenario = new Scenario({ client: { service: 'other' } });
  scenario.world.until(() => scenario.client.closed !== undefined);
  assert.equal(scenario.client.closed?.failure?.code, 'ERR_GODWIT_WRONG_SERVICE');
});

test('a server that cannot read the schema of a state refuses, and one that can takes it', () => {
  const scenario = new Scenario({ client: { servers: ['a', 'b', 'c'] } });
  const { world } = scenario;
  scenario.untilReceived(20_000);
  world.server('b').kill();
  world.server('c').kill();
  world.start('b', { schema: 2 });
  world.start('c', { schema: 2, canRestore: (schema) => schema === 1 });
  world.server('a').kill();
  scenario.untilMigrated(1);
  assert.equal(scenario.client.migrations[0]?.to, 'c');
  scenario.finishExactly();
});

test('a state that travelled on through a server of another version keeps its own schema', () => {
  const app = fileApp({ length: 600_000, seed: 3, exports: 'pulled' });
  const silent = fileApp({ length: 600_000, seed: 3, exports: 'never' });
  const scenario = new Scenario({
    app,
    length: 0,
    client: { servers: ['a', 'b', 'c'], limits: { receiveWindowBytes: 65536 } },
  });
  const { world } = scenario;
  world.server('b').kill();
  world.start('b', { schema: 2, canRestore: () => true, app: silent });
  scenario.untilReceived(100_000);
  scenario.trigger('b');
  scenario.untilMigrated(1);
  world.run(3);
  scenario.trigger('c'); // which reads schema 1 alone, and b has made no state of its own
  world.until(() => scenario.client.migrations.length > 1 || failures(scenario).length > 0);
  assert.deepEqual(failures(scenario), []);
  scenario.finish();
  scenario.assertExact(pattern(600_000, 3));
});

test('a ticket past its expiry restores nothing', () => {
  const scenario = new Scenario({ server: { timers: { ticketLifetimeMs: 1000 } } });
  scenario.untilReceived(20_000);
  const { world, client } = scenario;
  for (const server of world.servers.values()) server.kill();
  world.run(1500);
  for (const name of ['a', 'b', 'c']) world.start(name);
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_TICKET_EXPIRED');
});

test('an idle session gets fresh tickets before the old ones expire', () => {
  const scenario = new Scenario({ server: { timers: { ticketLifetimeMs: 1000 } } });
  scenario.untilReceived(20_000);
  scenario.world.run(20_000);
  scenario.origin.kill();
  scenario.finishExactly();
});

test('a ticket sealed with a key that a server does not have restores nothing there', () => {
  const scenario = new Scenario({ client: { timers: { giveUpTimeoutMs: 3000 } } });
  scenario.untilReceived(20_000);
  const { world, client } = scenario;
  const ring = KeyRing.generate();
  for (const server of world.servers.values()) server.kill();
  for (const name of ['a', 'b', 'c']) world.start(name, { ring });
  world.until(() => client.closed !== undefined);
  assert.match(client.closed?.failure?.message ?? '', /ERR_GODWIT_UNKNOWN_KEY/);
});

/** Notes every PULL that servers send each other. */
function capturePulls(scenario: Scenario): PeerFrame<'pull'>[] {
  const pulls: PeerFrame<'pull'>[] = [];
  for (const server of scenario.world.servers.values()) {
    const { node } = server;
    const handle = node.handlePeerFrame.bind(node);
    node.handlePeerFrame = (now, peer, frame) => {
      if (frame.frame === 'pull') pulls.push(frame);
      handle(now, peer, frame);
    };
  }
  return pulls;
}

test('a PULL that is replayed, or that another member sends with a request made for somebody else, freezes nothing', () => {
  const scenario = new Scenario({ servers: ['a', 'b', 'c'], length: 1000 });
  const { world, client } = scenario;
  const pulls = capturePulls(scenario);
  scenario.untilReceived(1000);
  world.run(2000);
  scenario.trigger('b');
  world.until(() => pulls.length === 1);
  const [pull] = pulls;
  assert.ok(pull);
  world.server('b').kill();
  world.until(() => eventsAt(world.server('a'), 'thawed') === 1);
  world.run(100);
  const origin = world.server('a');
  const refusals = (): number => times(scenario, 'pullRefused');
  for (const thief of ['b', 'c']) {
    if (thief === 'b') world.start('b');
    const before = refusals();
    origin.handlePeerFrame(address(thief), pull);
    world.run(10);
    assert.equal(refusals(), before + 1);
    assert.equal(origin.node.session(client.session.id)?.state, 'active');
  }
  scenario.finishExactly();
});

test('a PULL by another member for a request still good is refused by the origin itself', () => {
  const scenario = new Scenario({ servers: ['a', 'b', 'c'], length: 1000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  world.run(2000);
  world.partition('a', 'b'); // b's PULL does not come through: the request stays good
  const sent: Uint8Array[] = [];
  const sendPeer = world.sendPeer.bind(world);
  world.sendPeer = (from, to, bytes) => {
    sent.push(bytes.slice());
    sendPeer(from, to, bytes);
  };
  scenario.trigger('b');
  world.until(() => sent.length > 0);
  const decoder = FrameDecoder.forPeerLink();
  decoder.push(sent[0] as Uint8Array);
  const pull = decoder.next();
  assert.ok(pull);
  world.server('a').handlePeerFrame(address('c'), pull);
  world.run(1);
  assert.equal(world.server('a').node.session(client.session.id)?.state, 'active');
  scenario.finishExactly();
});

test('a TRIGGER that is replayed after its migration failed is void', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], length: 1000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  const handleFrame = client.session.handleFrame.bind(client.session);
  let replay: (() => void) | undefined;
  client.session.handleFrame = (now, carrierId, frame) => {
    if (frame.frame === 'trigger') replay = () => handleFrame(world.now, carrierId, frame);
    handleFrame(now, carrierId, frame);
  };
  world.server('b').kill();
  scenario.trigger('b');
  world.until(() => failures(scenario).length === 1);
  assert.ok(replay);
  client.do(replay);
  world.run(1000);
  assert.equal(client.events.filter((event) => event.type === 'migrating').length, 1);
  scenario.trigger('b'); // a new one is not
  world.run(1000);
  assert.equal(client.events.filter((event) => event.type === 'migrating').length, 2);
  scenario.finishExactly();
});

for (const { name: mode, delivery } of MODES) {
  test(`a session that its origin resets while a destination waits for it ends, and is handed over nowhere (${mode})`, () => {
    const scenario = new Scenario({ delivery, app: transformApp({ exports: 'never' }) });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    const { origin } = scenario;
    const session = origin.node.session(client.session.id);
    assert.ok(session);
    // As an application does whose last snapshot fails: it is asked for one, and resets the session instead.
    const app = origin.apps.get(session);
    assert.ok(app);
    const handle = app.handle.bind(app);
    app.handle = (event) => {
      if (event.type === 'exportDue' && event.reason === 'freeze') session.reset(world.now);
      handle(event);
    };
    scenario.trigger('b');
    world.until(() => client.closed !== undefined, 5000, 'the end of the session');
    assert.ok(['ECONNRESET', 'ERR_GODWIT_SESSION_ENDED'].includes(String(client.closed?.failure?.code)));
    world.run(10);
    assert.equal(times(scenario, 'gone'), 1);
    assert.equal(times(scenario, 'state'), 0);
  });
}

for (const { name: mode, delivery } of MODES) {
  test(`an origin whose offer died before CONFIRM came knows nothing of the session, wherever it went before (${mode})`, () => {
    const scenario = new Scenario({ delivery });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    scenario.trigger('b');
    scenario.untilMigrated(1);
    world.run(10);
    assert.equal(world.server('a').node.tombstoneCount, 1);
    // Back to `a`; its CONFIRM is lost, and the client reaches nobody until the offer there is over.
    scenario.trigger('a');
    scenario.untilMigrated(2);
    for (const pipe of client.pipesTo('a')) pipe.breakAt(0, false);
    for (const name of ['a', 'b', 'c']) world.partition('client', name);
    world.run(6000);
    assert.equal(world.server('a').node.sessionCount, 0);
    for (const name of ['a', 'b']) world.server(name).node.setDraining(world.now, true);
    world.heal();
    scenario.untilMigrated(3);
    const third = client.migrations[2];
    assert.deepEqual([third?.to, third?.source, third?.attempts], ['c', 'ticket', 1]);
    scenario.finishExactly();
  });
}

for (const { name: mode, delivery } of MODES) {
  test(`a fresh carrier to the same server takes over, though the old one is faster (${mode})`, () => {
    for (let at = 0; at < 6; at += 1) {
      const scenario = new Scenario({
        delivery,
        length: 2_000_000,
        client: { limits: { receiveWindowBytes: 65_536 } },
      });
      const { world, client } = scenario;
      scenario.untilReceived(20_000);
      world.run(at / 4);
      world.onDial = (_, pipe) => {
        const { sendParts } = pipe;
        pipe.sendParts = (end, parts) => {
          const copies = parts.map((part) => part.slice());
          world.scheduler.after(7, () => sendParts.call(pipe, end, copies));
        };
      };
      client.do((session, now) => session.migrate(now, { to: address('a'), cause: Cause.AddressChanged }));
      scenario.untilMigrated(1);
      assert.equal(client.migrations[0]?.source, 'resume');
      scenario.finishExactly();
    }
  });
}
