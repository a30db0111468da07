/** Every field of every frame is read by its receiver: what nobody reads has no place on the wire. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ClientSession, ServerNode } from '../../packages/godwit/src/session/index.ts';
import { Cause, Delivery, WireCode, frames, peerFrames } from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { Scenario, type ScenarioOptions } from '../world/scenario.ts';
import { transformApp } from '../world/server-apps.ts';

/** Fields that the core has no use for, and why they are there. */
const INFORMATIVE: Readonly<Record<string, string>> = {
  'open.features': 'none is defined so far',
  'trigger.reason': 'for reports',
  'trigger.sessionId': 'whoever keeps the standby finds the session by it',
  'protected.epoch': 'the ticket itself says so',
  'protected.k': 'the ticket itself says so',
};

/** Frames that nothing sends so far. */
const UNSENT: readonly string[] = ['peerPing', 'peerPong'];

/** Notes every field of a received frame that the core looks at. */
function watchReads(t: TestContext): { read: Set<string>; received: Set<string> } {
  const read = new Set<string>();
  const received = new Set<string>();
  const watched = <F extends { readonly frame: string }>(frame: F): F => {
    received.add(frame.frame);
    return new Proxy(frame, {
      get: (target, name) => {
        read.add(`${frame.frame}.${String(name)}`);
        return Reflect.get(target, name);
      },
    });
  };
  const { handleFrame, handleTrigger } = ClientSession.prototype;
  t.mock.method(ClientSession.prototype, 'handleFrame', function (this: ClientSession, ...[now, id, frame]) {
    handleFrame.call(this, now, id, watched(frame));
  } as typeof handleFrame);
  t.mock.method(ClientSession.prototype, 'handleTrigger', function (this: ClientSession, ...[now, frame]) {
    handleTrigger.call(this, now, watched(frame));
  } as typeof handleTrigger);
  const node = {
    handleFrame: ServerNode.prototype.handleFrame,
    handlePeerFrame: ServerNode.prototype.handlePeerFrame,
  };
  t.mock.method(ServerNode.prototype, 'handleFrame', function (this: ServerNode, ...[now, id, frame]) {
    node.handleFrame.call(this, now, id, watched(frame));
  } as typeof node.handleFrame);
  t.mock.method(ServerNode.prototype, 'handlePeerFrame', function (this: ServerNode, ...[now, peer, frame]) {
    node.handlePeerFrame.call(this, now, peer, watched(frame));
  } as typeof node.handlePeerFrame);
  return { read, received };
}

test('every field of every frame is read by whoever receives it', (t) => {
  const { read, received } = watchReads(t);
  scenarios();
  const all = Object.entries({ ...frames, ...peerFrames });
  const missing = all.map(([name]) => name).filter((name) => !received.has(name) && !UNSENT.includes(name));
  assert.deepEqual(missing, [], 'frames that no scenario brought');
  const unread = all
    .filter(([name]) => received.has(name))
    .flatMap(([name, { fields }]) => Object.keys(fields).map((field) => `${name}.${field}`))
    .filter((field) => !read.has(field));
  assert.deepEqual(unread.sort(), Object.keys(INFORMATIVE).sort());
});

function scenarios(): void {
  const at = (bytes: number, options: ScenarioOptions = {}): Scenario => {
    const scenario = new Scenario({ length: 60_000, ...options });
    scenario.untilReceived(bytes);
    return scenario;
  };
  // Planned moves: in-band, over a standby, by way of the client, slow, and one whose destination dies.
  for (const delivery of [Delivery.Replay, Delivery.Commit]) {
    const planned = at(10_000, { delivery });
    planned.client.standby('b');
    planned.world.run(10);
    const { client, world } = planned;
    world.server('b').node.trigger(world.now, client.session.sessionId, { name: 'b', host: 'b', port: 1 });
    world.server('b').poke();
    planned.untilMigrated(1);
    world.run(5);
    planned.trigger('c');
    planned.untilMigrated(2);
    planned.finishExactly();
  }
  const detached = at(10_000);
  detached.world.partition('a', 'b');
  detached.trigger('b');
  detached.untilMigrated(1);
  detached.finishExactly();
  const thawed = at(10_000);
  thawed.trigger('b');
  thawed.world.until(() => thawed.origin.node.session(thawed.client.session.id)?.isFrozen === true);
  for (const pipe of thawed.client.pipesTo('b')) pipe.cut();
  thawed.finishExactly();

  // Crashes: with a state that does not fit into MIGRATE, and of a server that is only stopped.
  const app = transformApp({ exports: 'pulled', stateBytes: 20_000 });
  const crashed = at(10_000, { app, server: { limits: { snapshotIntervalBytes: 4096, snapshotShare: 0 } } });
  crashed.origin.kill();
  crashed.finishExactly();
  const stopped = at(10_000, { servers: ['a', 'b'] });
  stopped.origin.suspend();
  stopped.untilMigrated(1);
  stopped.world.server('a').resume();
  stopped.finishExactly();

  // An origin that knows nothing of the session any more, and one that refuses.
  const gone = at(10_000);
  gone.world.run(3000);
  for (const pipe of gone.client.pipesTo('a')) pipe.blackhole[1] = true;
  gone.origin.kill(true);
  gone.world.start('a');
  gone.client.do((session, now) => session.migrate(now, { cause: Cause.Application }));
  gone.untilMigrated(1);
  gone.finishExactly();

  const stale = at(1);
  const peer = new RawClient(stale.world, 'a');
  peer.open({ epoch: 7 });
  const again = new RawClient(stale.world, 'b', peer.sessionId);
  again.secret = peer.secret;
  again.migrate({ head: peer.find('snapshot')?.bytes ?? new Uint8Array(), epoch: 7, newestEpoch: 7 });
  stale.world.run(10);
  assert.equal(again.find('refuse')?.code, WireCode.StaleEpoch);
  peer.hangUp();
  stale.finishExactly();

  const full = new Scenario({ servers: ['a', 'b'], length: 100, client: { servers: ['a', 'b'] } });
  full.world.server('a').node.setDraining(0, true);
  full.finishExactly();

  // Ends, and an application that exports nothing until late.
  const silent = transformApp({ exports: 'pulled', notNow: 12 });
  const unprotected = at(1, {
    app: silent,
    length: 6_000_000,
    server: { timers: { unprotectAfterMs: 10 } },
    client: { limits: { retainLimitBytes: 131_072, receiveWindowBytes: 65_536, sendBufferBytes: 65_536 } },
  });
  unprotected.finishExactly();
  const destroyed = at(10_000);
  destroyed.world.run(40_000);
  destroyed.client.do((session, now) => session.destroy(now));
  destroyed.world.run(1000);
  for (const end of ['client', 'server'] as const) {
    const reset = at(10_000);
    if (end === 'client') reset.client.do((session, now) => session.reset(now));
    else {
      reset.origin.node.session(reset.client.session.id)?.reset(reset.world.now);
      reset.origin.poke();
    }
    reset.world.until(() => reset.client.closed !== undefined);
    reset.world.run(10);
  }
}
