/** An OPEN that is repeated (docs/protocol.md §2.4, §5.5): each has an epoch of its own, and what an earlier one left behind never goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_OPEN_EPOCH, WireCode, encodeFrame } from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { MODES, Scenario, type ScenarioOptions } from '../world/scenario.ts';
import { transformApp, type ServerAppFactory } from '../world/server-apps.ts';
import type { World } from '../world/world.ts';

const ATTACH_TIMEOUT_MS = 300;

/** The client's first carriers lose what the servers send, and nobody is told. */
function silence(world: World, carriers: number): void {
  let left = carriers;
  world.onDial = (_, pipe) => {
    if (left === 0) return;
    left -= 1;
    pipe.blackhole[1] = true;
  };
}

/** Opens at `a`, whose answer is lost, and then at `b`: from then on `a` has a copy that no client knows of. */
function reopened(options: ScenarioOptions = {}): Scenario {
  const scenario = new Scenario({
    ...options,
    client: { servers: ['a', 'b'], timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS }, ...options.client },
  });
  silence(scenario.world, 1);
  scenario.untilReceived(1);
  assert.equal(scenario.client.session.serverName, 'b');
  return scenario;
}

/** Which servers were active and confirmed under which epoch, at any instant that this was called. */
class Epochs {
  readonly #servers = new Map<number, Set<string>>();

  observe(world: World): void {
    for (const [name, server] of world.servers) {
      for (const session of server.node.sessions) {
        if (session.state !== 'active' || !session.isConfirmed) continue;
        const servers = this.#servers.get(session.epoch) ?? new Set();
        this.#servers.set(session.epoch, servers.add(name));
      }
    }
  }

  get list(): [epoch: number, servers: string[]][] {
    return [...this.#servers].map(([epoch, servers]) => [epoch, [...servers]]);
  }
}

for (const { name: mode, delivery } of MODES) {
  test(`I5: two servers never share an epoch of one session, however often its OPEN is repeated (${mode})`, () => {
    for (const silent of [1, 2, 3]) {
      const scenario = new Scenario({
        delivery,
        client: { servers: ['a', 'b', 'c', 'a'], timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS } },
      });
      const { world, client } = scenario;
      const epochs = new Epochs();
      silence(world, silent);
      const finished = (): boolean => {
        epochs.observe(world);
        return client.receivedBytes === scenario.input.byteLength;
      };
      world.until(finished);
      assert.equal(client.session.epoch, silent + 1);
      for (const to of ['b', 'c', 'a', 'b']) {
        if (client.session.serverName === to) continue;
        const moves = client.migrations.length;
        scenario.trigger(to);
        world.until(() => {
          epochs.observe(world);
          return client.migrations.length > moves;
        });
        world.run(5);
        epochs.observe(world);
      }
      assert.ok(epochs.list.length > silent + 2, JSON.stringify(epochs.list));
      for (const [epoch, servers] of epochs.list)
        assert.equal(servers.length, 1, `${epoch}: ${String(servers)}`);
      scenario.finishExactly();
    }
  });

  for (const how of ['planned', 'crash'] as const) {
    test(`a session that comes to a server with a copy from a lost OPEN is not resumed from that copy (${how}, ${mode})`, () => {
      const scenario = reopened({ delivery });
      const { world, client } = scenario;
      const [rival] = world.server('a').node.sessions;
      assert.ok(rival);
      assert.deepEqual([rival.epoch, client.session.epoch], [1, 2]);
      scenario.untilReceived(20_000);
      if (how === 'planned') scenario.trigger('a');
      else {
        world.server('c').kill();
        scenario.origin.kill();
      }
      scenario.untilMigrated(1);
      assert.equal(client.migrations[0]?.to, 'a');
      assert.equal(client.migrations[0]?.source, how === 'planned' ? 'origin' : 'ticket');
      assert.equal(client.session.epoch >= 3, true);
      const closed = world.server('a').events.find((event) => event.type === 'closed');
      assert.equal(
        closed?.type === 'closed' && closed.session === rival && closed.failure?.code,
        'ERR_GODWIT_ABANDONED',
      );
      scenario.finishExactly();
    });
  }

  test(`a copy from a lost OPEN that nobody comes for ends by itself, and harms nobody (${mode})`, () => {
    const scenario = reopened({ delivery, server: { timers: { detachedTimeoutMs: 2000 } } });
    const { world } = scenario;
    assert.equal(world.server('a').node.sessionCount, 1);
    world.until(() => world.server('a').node.sessionCount === 0, 3000);
    assert.equal(world.server('a').node.tombstoneCount, 0);
    scenario.finishExactly();
  });

  test(`a copy that its application ended does not end the session (${mode})`, () => {
    const inner = transformApp({ exports: 'pulled' });
    let first = true;
    const app: ServerAppFactory = (session, restart, context) => {
      if (first) session.reset(context.now());
      first = false;
      return inner(session, restart, context);
    };
    // What it was told of the copy is remembered, but only for the copy: by an OPEN, and by MIGRATE.
    for (const servers of [
      ['a', 'a'],
      ['a', 'b'],
    ]) {
      first = true;
      const scenario = new Scenario({
        delivery,
        app,
        server: { timers: { lingerMs: 100 } },
        client: { servers, timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS } },
      });
      const { world, client } = scenario;
      silence(world, 1);
      world.until(() => world.server('a').node.tombstoneCount === 1);
      scenario.untilReceived(20_000);
      assert.equal(client.session.epoch, 2);
      if (servers.includes('b')) {
        scenario.trigger('a');
        scenario.untilMigrated(1);
      }
      scenario.finishExactly();
    }
  });
}

test('a copy that its application ended is not taken for the session that came there later, and left', () => {
  const inner = transformApp({ exports: 'pulled' });
  let first = true;
  const app: ServerAppFactory = (session, restart, context) => {
    if (first) session.reset(context.now());
    first = false;
    return inner(session, restart, context);
  };
  const scenario = reopened({ app, server: { timers: { lingerMs: 100 } } });
  const { world, client } = scenario;
  assert.equal(world.server('a').node.tombstoneCount, 1);
  // At `a` the client took ACCEPT, but its CONFIRM is lost, and the offer is over before it reaches anybody again.
  scenario.trigger('a');
  scenario.untilMigrated(1);
  for (const pipe of client.pipesTo('a')) pipe.breakAt(0, false);
  for (const name of ['a', 'b', 'c']) world.partition('client', name);
  world.run(6000);
  for (const name of ['a', 'b']) world.server(name).node.setDraining(world.now, true);
  world.heal();
  scenario.untilMigrated(2);
  assert.equal(client.migrations[1]?.to, 'c');
  scenario.finishExactly();
});

test('an OPEN that is repeated to the same server replaces what nobody answered', () => {
  const scenario = new Scenario({
    servers: ['a'],
    client: { servers: ['a', 'a'], timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS } },
  });
  const { world, client } = scenario;
  silence(world, 1);
  scenario.finishExactly();
  assert.equal(client.session.epoch, 2);
  const closed = world.server('a').events.flatMap((event) => (event.type === 'closed' ? [event] : []));
  assert.deepEqual(
    closed.map(({ session, failure }) => [session.epoch, failure?.code]),
    [
      [1, 'ERR_GODWIT_ABANDONED'],
      [2, undefined],
    ],
  );
});

test('an OPEN that comes late, behind a newer one, is refused and touches nothing', () => {
  const scenario = new Scenario({ servers: ['a'], length: 1000 });
  const { world } = scenario;
  const newer = new RawClient(world, 'a');
  newer.open({ epoch: 2 });
  assert.equal(newer.find('support')?.epoch, 2);
  for (const epoch of [1, 2]) {
    const late = new RawClient(world, 'a', newer.sessionId);
    late.open({ epoch });
    assert.equal(late.find('refuse')?.code, WireCode.StaleEpoch);
    assert.equal(late.find('support'), undefined);
  }
  newer.data(Uint8Array.of(7));
  world.run(10);
  assert.ok(
    newer.frames.some(({ frame }) => frame === 'data'),
    'it is still served',
  );
  const next = new RawClient(world, 'a', newer.sessionId);
  next.open({ epoch: 3 });
  assert.equal(next.find('support')?.epoch, 3);
  assert.equal(newer.closed, true);
  next.frame('ack', { received: 0, credit: 65_536 });
  world.run(10);
  const stranger = new RawClient(world, 'a', newer.sessionId);
  stranger.open({ epoch: 4 });
  assert.equal(stranger.find('refuse')?.code, WireCode.Unauthenticated, 'its client has answered');
  next.hangUp();
  scenario.finishExactly();
});

test('a server that was stopped finds an OPEN of long ago, and no client', () => {
  const scenario = new Scenario({
    client: { servers: ['a', 'b'], timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS } },
  });
  const { world, client } = scenario;
  world.server('a').suspend();
  scenario.untilReceived(20_000);
  world.server('a').resume();
  world.run(10);
  assert.ok([...world.server('a').node.sessions].every(({ epoch }) => epoch === 1));
  scenario.trigger('a');
  scenario.untilMigrated(1);
  assert.equal(client.session.serverName, 'a');
  scenario.finishExactly();
});

test('a client sends OPEN under no epoch above the limit, and gives up there', () => {
  const scenario = new Scenario({
    servers: ['a'],
    length: 0,
    client: {
      servers: Array.from({ length: MAX_OPEN_EPOCH + 50 }, () => 'a'),
      limits: { maxServers: 10_000 },
    },
  });
  const { world, client } = scenario;
  world.server('a').node.setDraining(0, true);
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_DRAINING');
  assert.equal(world.frames.get('open'), MAX_OPEN_EPOCH);
  world.run(10);
  assert.equal(client.openCarriers, 0);
});

test('what a server that did not prove itself sent as a ticket is void', () => {
  const scenario = new Scenario({
    client: { servers: ['a', 'b'], timers: { attachTimeoutMs: ATTACH_TIMEOUT_MS } },
  });
  const { world, client } = scenario;
  // Someone at a's address, with a ticket newer than any that will ever be made.
  world.server('a').accept = (pipe) => {
    const forged = {
      epoch: 2 ** 48 - 1,
      k: 9,
      input: 0,
      output: 0,
      headBytes: 200,
      totalBytes: 200,
      offset: 0,
    };
    world.scheduler.after(0, () => {
      pipe.send(1, encodeFrame('snapshot', { ...forged, bytes: new Uint8Array(200) }));
    });
  };
  scenario.untilReceived(20_000);
  assert.equal(client.session.serverName, 'b');
  scenario.origin.kill();
  scenario.untilMigrated(1);
  assert.equal(client.migrations[0]?.to, 'c');
  scenario.finishExactly();
});

test('whoever opens a session of the same id elsewhere takes nothing from the one whose client has answered', () => {
  const scenario = new Scenario({ servers: ['a', 'b', 'c'] });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  const thief = new RawClient(world, 'b', client.session.sessionId);
  thief.open({ epoch: 5 });
  assert.ok(thief.find('support'));
  thief.frame('ack', { received: 0, credit: 65_536 });
  // With a true ticket of a later epoch, but of another secret.
  const attempt = new RawClient(world, 'a', client.session.sessionId);
  attempt.secret = thief.secret;
  const head = thief.find('snapshot')?.bytes ?? new Uint8Array();
  attempt.migrate({ head, epoch: 9, newestEpoch: 5, origin: 'b', originState: 1 });
  world.run(10);
  assert.equal(attempt.find('refuse')?.code, WireCode.Unauthenticated);
  assert.equal(world.server('a').node.session(client.session.id)?.highestEpoch, 1);
  // Nor can the session go where the other one lives; any other server will do.
  world.server('a').kill();
  scenario.untilMigrated(1);
  assert.equal(client.migrations[0]?.to, 'c');
  thief.hangUp();
  scenario.finishExactly();
});

test('a session whose client verified SUPPORT is established, though its application says nothing (I8)', () => {
  const silent: ServerAppFactory = () => ({ handle: () => undefined });
  const scenario = new Scenario({ servers: ['a'], app: silent, length: 0 });
  const { world, client } = scenario;
  world.until(() => client.session.state === 'attached');
  world.run(2);
  assert.equal(world.server('a').node.session(client.session.id)?.isEstablished, true);
  const stranger = new RawClient(world, 'a', client.session.sessionId);
  stranger.open({ epoch: 2 });
  assert.equal(stranger.find('refuse')?.code, WireCode.Unauthenticated);
  assert.equal(client.session.state, 'attached');
});

test('a forged MIGRATE between ACCEPT and CONFIRM does not keep the origin from being told (I8)', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], latencyMs: 20 });
  const { world, client } = scenario;
  scenario.untilReceived(20_000);
  scenario.trigger('b');
  world.until(() => world.server('b').node.session(client.session.id)?.state === 'offered');
  const forger = new RawClient(world, 'b');
  const head = new Uint8Array(200).fill(1);
  head.set(client.session.sessionId, 9);
  forger.migrate({ head, epoch: 99 }, { forged: true });
  world.run(5);
  assert.ok(forger.find('refuse'));
  assert.equal(world.server('b').node.session(client.session.id)?.state, 'offered');
  scenario.untilMigrated(1);
  world.run(100);
  assert.equal(world.frames.get('confirmed'), 1);
  assert.equal(world.server('a').node.session(client.session.id), undefined);
  scenario.finishExactly();
});

test('a stranger who opens a session of the same id at its origin, started again, does not keep it from going elsewhere', () => {
  // Found by the simulator, seed 2073: the false one refused every PULL, so no server took the true one.
  const scenario = new Scenario({ servers: ['a', 'b'], client: { servers: ['a', 'b'] } });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  world.server('a').kill(true); // without a word, so that the client does not know it for dead
  world.start('a');
  const stranger = new RawClient(world, 'a', client.session.sessionId);
  stranger.open({ epoch: 5 });
  stranger.frame('ack', { received: 0, credit: 65_536 });
  world.run(10);
  assert.equal(world.server('a').node.session(client.session.id)?.isEstablished, true);
  scenario.untilMigrated(1);
  assert.equal(client.migrations[0]?.to, 'b');
  assert.equal(world.frames.get('pull'), 1, 'the origin was asked');
  stranger.hangUp();
  scenario.finishExactly();
});
