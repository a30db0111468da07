/** The invariants of docs/protocol.md, one named check each; the sweeps and the soak hold them under every fault. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cause, Delivery, WireCode } from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformApp, transformed, type ServerAppFactory } from '../world/server-apps.ts';

const KIB = 1024;
const address = (name: string): { name: string; host: string; port: number } => ({
  name,
  host: name,
  port: 1,
});

for (const { name: mode, delivery } of MODES) {
  test(`I1: along the surviving history the application consumes each input byte once, whatever dies (${mode})`, () => {
    // The state is the whole input consumed so far; the last one must be the input itself, and nothing twice.
    let last = new Uint8Array(0);
    const app: ServerAppFactory = (session, restart, context) => {
      let consumed = Buffer.from(restart?.state ?? []);
      const take = (): void => {
        for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
          if (chunk === 'end') {
            session.finConsumed(context.now());
            session.end(context.now());
            last = new Uint8Array(consumed);
            continue;
          }
          session.consumed(context.now(), chunk.byteLength);
          session.write(context.now(), transformed(chunk, consumed.byteLength));
          consumed = Buffer.concat([consumed, chunk]);
        }
      };
      return {
        handle: (event) => {
          if (event.type === 'readable' || event.type === 'thawed') take();
          if (event.type !== 'exportDue') return;
          session.exportState(context.now(), {
            state: consumed,
            input: consumed.byteLength,
            output: session.produced,
          });
          if (event.reason === 'freeze') session.freezeReady(context.now());
        },
      };
    };
    const scenario = new Scenario({
      delivery,
      app,
      length: 150_000,
      server: { limits: { receiveWindowBytes: 64 * KIB, snapshotIntervalBytes: 16 * KIB, snapshotShare: 0 } },
      client: { limits: { sendBufferBytes: 16 * KIB } },
    });
    for (const bytes of [20_000, 60_000, 100_000]) {
      scenario.untilReceived(bytes);
      const victim = scenario.origin;
      victim.kill();
      scenario.world.scheduler.after(100, () => scenario.world.start(victim.address.name));
    }
    scenario.finishExactly();
    assert.deepEqual(last, scenario.input);
  });

  test(`I2: what a server of an older epoch still sends is not delivered (${mode})`, () => {
    const app = fileApp({
      length: 2_000_000,
      seed: 3,
      exports: 'pulled',
      ...(delivery === Delivery.Commit && { commitEvery: 16 * KIB }),
    });
    const scenario = new Scenario({
      delivery,
      app,
      length: 0,
      latencyMs: 20,
      client: { limits: { receiveWindowBytes: 64 * KIB } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(200_000);
    // Everything of `a` that is under way, or that it sends later, comes after the client has gone on at `b`.
    const old = client.pipesTo('a')[0];
    assert.ok(old);
    world.partition('a', 'b');
    world.server('a').suspend();
    client.do((session, now) => session.migrate(now, { to: address('b'), cause: Cause.Application }));
    scenario.untilMigrated(1);
    world.server('a').resume();
    // A driver that is late to hang up may still pass on what the old carrier brings; it was this client's first.
    const before = client.session.state;
    client.do((session, now) => session.handleFrame(now, 1, { frame: 'data', bytes: pattern(100, 99) }));
    assert.equal(client.session.state, before);
    scenario.finish();
    scenario.assertExact(pattern(2_000_000, 3));
  });

  test(`I3: at every instant the client holds all output up to its ticket's, and its input from there on (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      length: 400_000,
      server: { limits: { receiveWindowBytes: 64 * KIB, snapshotIntervalBytes: 16 * KIB } },
      client: { limits: { receiveWindowBytes: 256 * KIB, sendBufferBytes: 16 * KIB } },
    });
    const { world } = scenario;
    // A server that knows nothing but the ticket must be able to go on from it at any instant.
    scenario.untilReceived(20_000);
    for (let kills = 0; kills < 25; kills += 1) {
      for (const server of world.servers.values()) server.kill();
      for (const name of ['a', 'b', 'c']) world.start(name);
      scenario.untilMigrated(kills + 1);
      world.run(3.7);
    }
    scenario.finishExactly();
    assert.ok(scenario.client.migrations.every(({ source }) => source === 'ticket'));
  });

  test(`I4: no restart point is older than the newest the client holds (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      length: 400_000,
      server: { limits: { receiveWindowBytes: 64 * KIB, snapshotIntervalBytes: 16 * KIB } },
      client: { limits: { receiveWindowBytes: 256 * KIB, sendBufferBytes: 16 * KIB } },
    });
    let newest = [0, 0];
    const points: number[][] = [];
    for (let kills = 0; kills < 8; kills += 1) {
      scenario.untilReceived(40_000 * (kills + 1));
      const victim = scenario.origin;
      const covered = victim.node.session(scenario.client.session.id)?.snapshots.covered;
      if (covered) newest = [covered.epoch, covered.k];
      victim.kill();
      scenario.world.start(victim.address.name);
      scenario.untilMigrated(kills + 1);
      const events = [...scenario.world.servers.values()]
        .flatMap((server) => server.events)
        .filter((event) => event.type === 'session');
      const restart = events
        .map((event) => (event.type === 'session' ? event.restart : undefined))
        .filter((point) => point !== undefined);
      const point = restart.toSorted((a, b) => a.epoch - b.epoch || a.k - b.k).at(-1);
      assert.ok(point);
      points.push([point.epoch, point.k]);
      assert.ok(
        point.epoch > (newest[0] as number) ||
          (point.epoch === newest[0] && point.k >= (newest[1] as number)),
        `${String(points)} after ${String(newest)}`,
      );
    }
    scenario.finishExactly();
  });

  test(`I5: an origin that handed a session over emits nothing more for it, and its application's writes go nowhere (${mode})`, () => {
    let handedOver: Parameters<ServerAppFactory>[0] | undefined;
    const inner = transformApp({ exports: delivery === Delivery.Commit ? 4096 : 'pulled' });
    const app: ServerAppFactory = (session, restart, context) => {
      handedOver ??= session;
      return inner(session, restart, context);
    };
    const scenario = new Scenario({ delivery, app });
    const { world } = scenario;
    scenario.untilReceived(20_000);
    scenario.trigger('b');
    scenario.untilMigrated(1);
    world.run(10);
    assert.ok(handedOver);
    assert.equal(handedOver.state, 'ended');
    assert.deepEqual(world.server('a').events.filter((event) => event.type === 'moved').length, 1);
    handedOver.write(world.now, pattern(100, 1));
    handedOver.end(world.now);
    handedOver.destroy(world.now);
    handedOver.reset(world.now);
    world.server('a').poke();
    assert.equal(world.server('a').node.pollTransmit(world.now), undefined);
    const active = [...world.servers.values()]
      .flatMap((server) => [...server.node.sessions])
      .filter((session) => session.state === 'active');
    assert.equal(active.length, 1);
    scenario.finishExactly();
  });

  test(`I6: a session ends in error only when no server can restore it, and then both applications are told (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      server: { timers: { detachedTimeoutMs: 4000 } },
      client: { timers: { giveUpTimeoutMs: 2000 } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    for (const name of ['a', 'b', 'c']) world.partition('client', name);
    for (const pipe of client.pipesTo('a')) pipe.cut();
    world.until(() => client.closed !== undefined);
    assert.equal(client.closed?.failure?.code, 'ECONNRESET');
    world.until(() => world.server('a').node.sessionCount === 0);
    const [closed] = world.server('a').events.filter((event) => event.type === 'closed');
    assert.equal(closed?.type === 'closed' && closed.failure?.code, 'ETIMEDOUT');
  });

  test(`I7: no buffer grows beyond its limit while both applications do their worst (${mode})`, () => {
    const limits = { receiveWindowBytes: 64 * KIB, outputTailBytes: 64 * KIB, inputLogBytes: 32 * KIB };
    const scenario = new Scenario({
      delivery,
      length: 3_000_000,
      server: { limits },
      client: {
        autoRead: false,
        limits: { receiveWindowBytes: 64 * KIB, retainLimitBytes: 128 * KIB, sendBufferBytes: 32 * KIB },
      },
    });
    const { world, client } = scenario;
    let most = { retained: 0, tail: 0, held: 0 };
    for (let i = 0; i < 2000; i += 1) {
      world.run(0.5);
      if (i % 7 === 0) client.read();
      const session = world.server('a').node.session(client.session.id);
      if (!session) continue;
      const { send, receive } = session.streams;
      most = {
        retained: Math.max(most.retained, client.session.bytesRetained),
        tail: Math.max(most.tail, send.retainedBytes),
        held: Math.max(most.held, receive.heldBytes),
      };
    }
    const aWrite = 64 * KIB;
    assert.ok(most.retained <= 128 * KIB + aWrite, `${most.retained} retained`);
    assert.ok(most.tail <= 64 * KIB + aWrite, `${most.tail} in the tail`);
    assert.ok(most.held <= 64 * KIB, `${most.held} held`);
    client.autoRead = true;
    client.read();
    scenario.finishExactly();
  });
}

test('I8: bytes of a peer that proved nothing change no session, and cost no more than a carrier', () => {
  const scenario = new Scenario({ servers: ['a'], length: 1000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  world.run(5000); // until its last ticket is acknowledged, and nothing changes by itself
  const session = world.server('a').node.session(client.session.id);
  assert.ok(session);
  const before = { state: session.state, epoch: session.highestEpoch, ...world.server('a').node.population };
  for (let type = 0; type < 256; type += 1) {
    const peer = new RawClient(world, 'a');
    const header = Uint8Array.of(type, 0, 0, 200);
    const body = world.bytes(200);
    body.set(client.session.sessionId, 9);
    peer.bytes(Buffer.concat([header, body]));
    world.run(5);
    const refuse = peer.find('refuse');
    if (refuse) assert.notEqual(refuse.code, WireCode.Internal);
    peer.hangUp();
    world.run(5);
  }
  assert.deepEqual(
    { state: session.state, epoch: session.highestEpoch, ...world.server('a').node.population },
    before,
  );
  scenario.finishExactly();
});
