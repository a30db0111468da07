/** The fence (protocol.md §10.10), on the real core under virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FenceConfig, ServerSession } from '../../packages/godwit/src/session/index.ts';
import {
  Delivery,
  Source,
  WireCode,
  comparePoints,
  concatBytes,
} from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { MODES, Scenario, type ScenarioOptions } from '../world/scenario.ts';
import { transformed } from '../world/server-apps.ts';
import { VirtualFence, type FenceConditions } from '../world/virtual-fence.ts';
import type { VirtualServer } from '../world/virtual-server.ts';

const FLAG: FenceConfig = { mode: 'flag', floor: 'acknowledged' };
const STRICT: FenceConfig = { mode: 'strict', floor: 'acknowledged' };
const CONFIGS = [FLAG, STRICT];

interface Fenced {
  readonly scenario: Scenario;
  readonly store: VirtualFence;
}

/** A transfer between servers that have one fence. */
function fenced(
  config: FenceConfig,
  { conditions, ...options }: ScenarioOptions & { readonly conditions?: FenceConditions } = {},
): Fenced {
  const store = new VirtualFence(conditions);
  return {
    store,
    scenario: new Scenario({ ...options, server: { fence: { config, store }, ...options.server } }),
  };
}

const events = (server: VirtualServer, type: string): unknown[] =>
  server.events.filter((event) => event.type === type);

for (const { name, delivery } of MODES) {
  for (const config of CONFIGS) {
    test(`${name}, ${config.mode}: moves and crashes are exact with a slow fence, which is ahead of every ticket`, () => {
      let tickets = 0;
      const store = new VirtualFence({ latencyMs: () => 4 });
      const scenario: Scenario = new Scenario({
        delivery,
        server: { fence: { config, store }, timers: { snapshotIntervalMs: 20 } },
        world: {
          observer: {
            // The fence takes longer than the carrier: a ticket that did not wait for it would be here first.
            frameArrives: (frame) => {
              if (frame.frame !== 'snapshot') return;
              tickets += 1;
              const record = store.recordOf(scenario.client.session.id);
              assert.ok(record && comparePoints(record.newest, frame) >= 0, 'the fence knows of it');
            },
          },
        },
      });
      const more = (): void => {
        scenario.client.write(new Uint8Array(20_000));
        scenario.world.run(100);
      };
      more();
      scenario.trigger('b');
      scenario.untilMigrated(1);
      more();
      scenario.origin.kill();
      scenario.untilMigrated(2);
      scenario.world.until(() => scenario.origin.node.session(scenario.client.session.id)?.isFenced === true);
      const record = store.recordOf(scenario.client.session.id);
      assert.deepEqual(
        [record?.server, record?.epoch, record?.ended],
        [scenario.origin.address.name, scenario.client.session.epoch, false],
      );
      scenario.finish();
      scenario.assertExact(transformed(concatBytes([scenario.input, new Uint8Array(40_000)]), 0));
      assert.ok(tickets > 3, `${tickets} tickets`);
      assert.equal(store.recordOf(scenario.client.session.id)?.ended, true);
      assert.ok(!store.answers.some(({ kind }) => kind !== 'granted'), 'nobody was refused');
    });
  }
}

for (const isFenced of [true, false]) {
  test(`an origin that was stopped and wakes up ${isFenced ? 'finds in the fence that it was left behind' : 'keeps its copy where there is no fence'}`, () => {
    const store = new VirtualFence();
    const scenario = new Scenario({
      server: isFenced ? { fence: { config: FLAG, store } } : {},
      client: { servers: ['a', 'b'] },
    });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    const zombie = scenario.origin;
    zombie.suspend();
    for (const other of ['a', 'b', 'c']) world.partition(zombie.address.name, other); // RELEASE does not arrive
    client.write(scenario.input);
    scenario.untilMigrated(1);
    zombie.resume();
    world.run(5000);
    const session = zombie.node.session(client.session.id);
    assert.equal(session === undefined, isFenced);
    assert.equal(events(zombie, 'moved').length, isFenced ? 1 : 0);
    if (!isFenced) return;
    const moved = zombie.events.find((event) => event.type === 'moved');
    assert.equal(moved?.type === 'moved' && moved.to, scenario.origin.address.name);
  });
}

test('an origin that was left behind releases no ticket, and hangs up, though somebody still talks to it', () => {
  const { scenario } = fenced(FLAG, { servers: ['a', 'b'] });
  const { world } = scenario;
  const [thief, forked] = [openedAt(scenario, 'a'), new RawClient(world, 'b')];
  const { head, secret, sessionId } = knowledgeOf(thief);
  forked.secret = secret;
  forked.migrate({ head, epoch: 2, originState: 1 });
  world.run(10);
  forked.confirm();
  world.run(10);
  assert.equal(world.server('b').node.session(sessionId)?.isConfirmed, true);
  assert.ok(world.server('a').node.session(sessionId), 'it knows nothing yet');
  thief.data(new Uint8Array(500_000).subarray(0, 65_000));
  world.run(1100);
  assert.equal(world.server('a').node.session(sessionId), undefined);
  assert.equal(thief.closed, true);
  assert.ok(!thief.frames.some((frame) => frame.frame === 'snapshot' && frame.k > 0));
});

test('a client that forks itself makes only one server believe that it has the epoch', () => {
  for (const isFenced of [true, false]) {
    const { scenario } = isFenced ? fenced(FLAG) : { scenario: new Scenario() };
    const { world } = scenario;
    const { head, secret, sessionId } = knowledgeOf(openedAt(scenario, 'a'));
    const forks = ['b', 'c'].map((name) => {
      const fork = new RawClient(world, name);
      fork.secret = secret;
      fork.migrate({ head, epoch: 2, originState: 1 });
      return fork;
    });
    world.run(10);
    for (const fork of forks) assert.ok(fork.find('accept'), 'nobody is live yet');
    for (const fork of forks) fork.confirm();
    world.run(10);
    const live = ['b', 'c'].filter((name) => world.server(name).node.session(sessionId)?.isConfirmed);
    assert.equal(live.length, isFenced ? 1 : 2);
    if (isFenced) assert.equal(forks.filter(({ closed }) => closed).length, 1);
  }
});

test('a ticket older than the one before the newest is refused, as is one of an ended session', () => {
  for (const [floor, age] of [
    ['acknowledged', 3],
    ['released', 2],
  ] as const) {
    const { scenario } = fenced({ mode: 'flag', floor }, { delivery: Delivery.Commit, length: 0 });
    const { world } = scenario;
    const raw = openedAt(scenario, 'a');
    for (let piece = 0; piece < 3; piece += 1) {
      raw.data(new Uint8Array(4096));
      world.run(50);
    }
    const { tickets } = raw;
    const newest = tickets.at(-1);
    const stale = tickets.at(-age);
    assert.ok(newest && stale && stale !== newest);
    const rolled = new RawClient(world, 'b');
    rolled.secret = raw.secret;
    rolled.migrate({ ...positionAt(stale), originState: 1 });
    world.run(10);
    assert.equal(rolled.find('refuse')?.code, WireCode.StalePoint, floor);

    raw.maced('close', { epoch: 1, final: 3 * 4096 }, 'close-client');
    world.run(10);
    const back = new RawClient(world, 'c');
    back.secret = raw.secret;
    back.migrate({ ...positionAt(newest), originState: 1 });
    world.run(10);
    assert.equal(back.find('refuse')?.code, WireCode.SessionEnded);
  }
});

test('a copy that goes on before its client confirms it goes live with the point it began from, and no newer one', () => {
  for (const isLate of [true, false]) {
    const { scenario } = fenced(
      { mode: 'strict', floor: 'released' },
      { delivery: Delivery.Commit, length: 0 },
    );
    const { world } = scenario;
    const raw = openedAt(scenario, 'a');
    raw.data(new Uint8Array(4096));
    world.run(50);
    const began = raw.tickets.at(-1);
    assert.ok(began);
    const forked = new RawClient(world, 'b');
    forked.secret = raw.secret;
    forked.migrate({ ...positionAt(began), originState: 1 });
    world.run(10);
    assert.ok(forked.find('accept'));
    forked.data(new Uint8Array(4096));
    world.run(10);
    const copy = world.server('b').node.session(knowledgeOf(raw).sessionId);
    assert.ok(copy && copy.snapshotNumber > began.k, 'its application made a point of its own');
    for (let piece = 0; isLate && piece < 3; piece += 1) {
      raw.data(new Uint8Array(4096));
      world.run(50);
    }
    forked.confirm();
    world.run(10);
    assert.equal(copy.isConfirmed, !isLate);
    assert.equal(forked.closed, isLate);
  }
});

interface Offer {
  readonly scenario: Scenario;
  /** The point that it was made from. */
  readonly began: RawClient['tickets'][number];
  /** A client that was sent ACCEPT, and has not confirmed; its copy has made points of its own. */
  readonly forked: RawClient;
  /** Another carrier of it. */
  connect(server: string): RawClient;
  copy(): ServerSession | undefined;
}

/** An offer at `b`. `isLate`: the session goes on at `a`, so that what the offer began from is too old by now. */
function offered(isLate: boolean, options: Parameters<typeof fenced>[1] = {}): Offer {
  const { scenario } = fenced(STRICT, { delivery: Delivery.Commit, length: 0, ...options });
  const { world } = scenario;
  const raw = openedAt(scenario, 'a');
  const connect = (server: string): RawClient => {
    const client = new RawClient(world, server);
    client.secret = raw.secret;
    return client;
  };
  const pay = (): void => {
    raw.data(new Uint8Array(4096));
    world.run(50);
  };
  pay();
  const began = raw.tickets.at(-1);
  assert.ok(began);
  const forked = connect('b');
  forked.acknowledgesTickets = true;
  forked.migrate({ ...positionAt(began), originState: 1 });
  world.run(50);
  assert.ok(forked.find('accept'));
  forked.data(new Uint8Array(4096));
  world.run(10);
  for (let piece = 0; isLate && piece < 3; piece += 1) pay();
  const { sessionId } = knowledgeOf(raw);
  return { scenario, began, forked, connect, copy: () => world.server('b').node.session(sessionId) };
}

for (const isLate of [true, false]) {
  const what = isLate ? 'from which its session went on elsewhere is not' : 'that the fence lets in is';

  test(`an offer ${what} handed over, though its client says that it left it`, () => {
    const { scenario, began, connect, copy } = offered(isLate);
    const mover = connect('c');
    mover.migrate({ ...positionAt(began), epoch: 3, origin: 'b', originEpoch: 2 });
    scenario.world.run(200);
    if (isLate) {
      assert.equal(mover.find('refuse')?.code, WireCode.StalePoint);
      assert.equal(copy(), undefined, 'it was left behind');
      return;
    }
    assert.equal(mover.find('accept')?.source, Source.Origin);
    mover.confirm();
    scenario.world.run(50);
    assert.ok(mover.find('support'));
    assert.equal(copy(), undefined, 'it moved on');
  });

  test(`an offer ${what} detached`, () => {
    const { scenario, forked, copy } = offered(isLate);
    forked.maced('detach', { epoch: 3 }, 'detach');
    scenario.world.run(200);
    assert.equal(forked.find('detached') === undefined, isLate);
    assert.equal(forked.tickets.length > 0, !isLate);
    assert.equal(copy() === undefined, isLate);
  });

  test(`an offer ${what} resumed, and confirmed`, () => {
    const { scenario, began, connect, copy } = offered(isLate);
    const back = connect('b');
    back.migrate({ ...positionAt(began), epoch: 3, origin: 'b', originEpoch: 2 });
    scenario.world.run(50);
    if (isLate) {
      assert.equal(back.find('refuse')?.code, WireCode.StalePoint);
      assert.equal(copy(), undefined, 'it was left behind');
      return;
    }
    back.confirm();
    scenario.world.run(50);
    assert.equal(copy()?.isConfirmed, true);
    assert.ok(back.find('support'));
  });
}

test('of two attaches that cross, the one that is left was let in by the fence before the other is taken', () => {
  const { scenario, store } = fenced(STRICT, { conditions: { latencyMs: () => 50 } });
  const { world } = scenario;
  const raw = openedAt(scenario, 'a');
  world.run(200);
  const { head, secret, sessionId } = knowledgeOf(raw);
  const carriers = [3, 4].map((epoch) => {
    const client = new RawClient(world, 'a');
    client.secret = secret;
    return { client, epoch };
  });
  for (const { client, epoch } of carriers) client.migrate({ head, epoch });
  world.run(400);
  assert.ok(carriers[1]?.client.find('accept'));
  assert.equal(carriers[0]?.client.closed, true);
  assert.equal(store.recordOf(sessionId)?.epoch, 3);
});

test('strict: an offer is not handed over, nor resumed, while the fence is away, and goes on waiting for CONFIRM', () => {
  let isAway = false;
  const { scenario, began, forked, connect, copy } = offered(false, { conditions: { isAway: () => isAway } });
  isAway = true;
  const [mover, back] = [connect('c'), connect('b')];
  back.migrate({ ...positionAt(began), epoch: 3, origin: 'b', originEpoch: 2 });
  mover.migrate({ ...positionAt(began), epoch: 4, origin: 'b', originEpoch: 2 });
  scenario.world.run(1200);
  assert.equal(back.find('refuse')?.code, WireCode.FenceUnavailable);
  assert.ok(mover.find('refuse'));
  assert.equal(copy()?.state, 'offered');
  isAway = false;
  forked.confirm();
  scenario.world.run(10);
  assert.equal(copy()?.isConfirmed, true);
});

test('an offer whose PULL was given up while the fence was asked is confirmed, but not frozen', () => {
  let latencyMs = 0;
  const { scenario, began, forked, connect, copy } = offered(false, {
    conditions: { latencyMs: () => latencyMs },
  });
  const { world } = scenario;
  const mover = connect('c');
  latencyMs = 200;
  mover.migrate({ ...positionAt(began), epoch: 3, origin: 'b', originEpoch: 2 });
  world.run(50);
  mover.hangUp();
  world.run(500);
  assert.deepEqual([copy()?.state, copy()?.isConfirmed], ['active', true]);
  assert.ok(forked.find('support'));
  assert.equal(world.server('b').node.population.handovers, 0);
});

test('an offer that is confirmed by a PULL which comes to nothing, and has no carrier, does not wait for ever', () => {
  let latencyMs = 0;
  const { scenario, began, forked, connect, copy } = offered(false, {
    conditions: { latencyMs: () => latencyMs },
  });
  const { world } = scenario;
  const mover = connect('c');
  latencyMs = 200;
  mover.migrate({ ...positionAt(began), epoch: 3, origin: 'b', originEpoch: 2 });
  world.run(50);
  mover.hangUp();
  forked.hangUp();
  world.run(500);
  assert.deepEqual([copy()?.state, copy()?.isConfirmed], ['detached', true]);
  world.until(() => copy() === undefined);
});

test('strict: where the fence is away, OPEN and MIGRATE are refused, with "try elsewhere", and others serve', () => {
  const { scenario } = fenced(STRICT, {
    conditions: { isAway: (server) => server === 'a' },
    client: { servers: ['a', 'b'] },
  });
  scenario.finishExactly();
  const refusals = events(scenario.world.server('a'), 'refused') as { failure: { code: string } }[];
  assert.ok(refusals.length > 0);
  for (const { failure } of refusals) assert.equal(failure.code, 'ERR_GODWIT_FENCE_UNAVAILABLE');
});

for (const { name, delivery } of MODES) {
  test(`${name}, strict: tickets are held back while the fence is away, and follow when it is back`, () => {
    let isAway = false;
    const { scenario } = fenced(STRICT, {
      delivery,
      conditions: { isAway: () => isAway },
      server: { timers: { snapshotIntervalMs: 20 } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    isAway = true;
    world.run(2000);
    const before = world.frames.get('snapshot');
    client.write(new Uint8Array(50_000));
    world.run(5000);
    assert.equal(world.frames.get('snapshot'), before);
    isAway = false;
    world.until(() => (world.frames.get('snapshot') ?? 0) > (before ?? 0));
    client.end();
    world.until(() => client.closed !== undefined);
    assert.deepEqual(client.closed, { failure: undefined });
  });

  test(`${name}, flag: a session goes on without the fence, says so, and is fenced again when it is back`, () => {
    let isAway = true;
    const { scenario } = fenced(FLAG, {
      delivery,
      conditions: { isAway: () => isAway },
      server: { timers: { snapshotIntervalMs: 20 } },
    });
    scenario.untilReceived(10_000);
    const { origin, world, client } = scenario;
    const session = origin.node.session(client.session.id) as ServerSession;
    assert.equal(session.isFenced, false);
    assert.equal(events(origin, 'unfenced').length, 1);
    scenario.trigger('b');
    scenario.untilMigrated(1);
    world.run(2000);
    assert.equal(events(scenario.origin, 'unfenced').length, 1);
    isAway = false;
    client.write(new Uint8Array(1000));
    world.until(() => scenario.origin.node.session(client.session.id)?.isFenced === true);
    assert.equal(events(scenario.origin, 'fenced').length, 1);
    client.end();
    world.until(() => client.closed !== undefined);
    assert.deepEqual(client.closed, { failure: undefined });
  });
}

for (const config of CONFIGS) {
  test(`${config.mode}: answers that are lost though the fence did as it was told harm no session`, () => {
    let count = 0;
    const { scenario } = fenced(config, {
      conditions: { losesAnswer: () => (count += 1) % 3 === 0 },
      server: { timers: { snapshotIntervalMs: 50 } },
      client: { servers: ['a', 'b', 'c'] },
    });
    scenario.untilReceived(20_000);
    scenario.trigger('b');
    scenario.world.run(8000);
    scenario.finishExactly();
  });
}

// --- a client by hand ------------------------------------------------------------------------------------------------

/** Its session is open, and it has answered. */
function openedAt({ world }: Scenario, server: string): RawClient {
  const peer = new RawClient(world, server);
  peer.acknowledgesTickets = true;
  peer.open();
  world.run(10);
  peer.frame('ack', { received: 0, credit: 1_000_000 });
  world.run(10);
  return peer;
}

function knowledgeOf(peer: RawClient): { head: Uint8Array; secret: Uint8Array; sessionId: string } {
  const head = peer.find('snapshot')?.bytes;
  assert.ok(head);
  return { head, secret: peer.secret, sessionId: Buffer.from(peer.sessionId).toString('hex') };
}

function positionAt(ticket: RawClient['tickets'][number]): Parameters<RawClient['migrate']>[0] {
  const { epoch, k, input, output, head, body } = ticket;
  return {
    head,
    body,
    received: output,
    delivered: output,
    retainedFrom: input,
    newestEpoch: epoch,
    newestK: k,
    digestFrom: output,
  };
}
