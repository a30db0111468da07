/**
 * Every (state, event) pair of both state machines, legal or not, against the committed table; and scenarios that between
 * them take every legal transition. `GODWIT_WRITE=1` writes the table.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  AssertionFailure,
  CLIENT_TRANSITIONS,
  SERVER_TRANSITIONS,
  nextState,
  type TransitionTable,
} from '../../packages/godwit/src/session/index.ts';
import { Cause } from '../../packages/godwit/src/wire/index.ts';
import { RawClient } from '../world/raw-peers.ts';
import { Scenario } from '../world/scenario.ts';

const TABLE = join(import.meta.dirname, '../vectors/transitions.txt');

type AnyTable = TransitionTable<string, string>;
const MACHINES: readonly (readonly [name: string, table: AnyTable, events: readonly string[]])[] = [
  ['client', CLIENT_TRANSITIONS, ['support', 'migrate', 'accept', 'giveBack', 'carrierLost', 'close']],
  ['server', SERVER_TRANSITIONS, ['carrierLost', 'resume', 'confirm', 'freeze', 'release', 'end']],
];

function outcome(table: AnyTable, state: string, event: string): string {
  try {
    return nextState(table, state, event);
  } catch (error) {
    assert.ok(error instanceof AssertionFailure);
    return 'illegal';
  }
}

test('the state machines are the committed table', () => {
  const lines = MACHINES.flatMap(([name, table, events]) =>
    Object.keys(table).flatMap((state) =>
      events.map(
        (event) =>
          `${name.padEnd(7)} ${state.padEnd(11)} ${event.padEnd(12)} ${outcome(table, state, event)}`,
      ),
    ),
  );
  const printed = `${lines.join('\n')}\n`;
  if (process.env.GODWIT_WRITE) writeFileSync(TABLE, printed);
  assert.equal(printed, readFileSync(TABLE, 'utf8'));
  for (const [, table, events] of MACHINES) {
    for (const row of Object.values(table))
      for (const event of Object.keys(row))
        assert.ok(events.includes(event), `${event} is in the table, and not in this test`);
  }
});

/** Makes every entry of the tables note that it was looked up: that is what taking a transition is. */
function watch(): Set<string> {
  const taken = new Set<string>();
  for (const [name, table] of MACHINES) {
    for (const [state, row] of Object.entries(table)) {
      for (const [event, next] of Object.entries(row)) {
        Object.defineProperty(row, event, {
          get: () => {
            taken.add(`${name} ${state} ${event}`);
            return next;
          },
          enumerable: true,
          configurable: true,
        });
      }
    }
  }
  return taken;
}

const legal = MACHINES.flatMap(([name, table]) =>
  Object.entries(table).flatMap(([state, row]) =>
    Object.keys(row).map((event) => `${name} ${state} ${event}`),
  ),
);

test('every legal transition is taken by some scenario', () => {
  const taken = watch();
  const at = (bytes: number, options = {}): Scenario => {
    const scenario = new Scenario({ servers: ['a', 'b'], length: 60_000, ...options });
    scenario.untilReceived(bytes);
    return scenario;
  };
  const session = (scenario: Scenario, server = 'a'): ReturnType<Scenario['origin']['node']['session']> =>
    scenario.world.server(server).node.session(scenario.client.session.id);
  const cut = (scenario: Scenario, server: string): void =>
    scenario.client.pipesTo(server).forEach((pipe) => pipe.cut());

  // A plain session; one that is closed while it opens; one that is reset while it migrates; one that nobody takes back.
  at(10_000).finishExactly();
  const early = new Scenario({ servers: ['a'] });
  early.client.do((client, now) => client.destroy(now));
  const midway = at(10_000);
  midway.trigger('b');
  midway.world.until(() => midway.client.session.isMigrating);
  midway.client.do((client, now) => client.reset(now));
  midway.world.run(20_000);
  const lost = at(10_000);
  for (const server of lost.world.servers.values()) server.kill();
  lost.world.until(() => lost.client.closed !== undefined);

  // Planned: it succeeds; it fails and is given back; its carrier is lost meanwhile.
  const planned = at(10_000);
  planned.trigger('b');
  planned.untilMigrated(1);
  planned.finishExactly();
  const refused = at(10_000);
  refused.world.server('b').node.setDraining(0, true);
  refused.trigger('b');
  refused.world.until(() => refused.client.events.some((event) => event.type === 'migrationFailed'));
  refused.finishExactly();
  const broken = at(10_000);
  broken.trigger('b');
  broken.world.until(() => broken.client.session.isMigrating);
  cut(broken, 'a');
  broken.finishExactly();

  // The server's side: detached and resumed, detached and pulled, detached and released, detached for too long.
  const resumed = at(10_000, { servers: ['a'] });
  cut(resumed, 'a');
  resumed.world.until(() => session(resumed)?.state === 'detached');
  resumed.finishExactly();
  const pulled = at(10_000);
  pulled.client.do((client, now) =>
    client.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: Cause.Application }),
  );
  pulled.world.until(() => pulled.client.pipesTo('b').length > 0);
  cut(pulled, 'a');
  pulled.finishExactly();
  const released = at(10_000);
  for (const pipe of released.client.pipesTo('a')) pipe.cut();
  released.world.partition('client', 'a');
  released.finishExactly();
  const forgotten = at(10_000);
  forgotten.world.partition('a', 'b');
  cut(forgotten, 'a');
  forgotten.world.partition('client', 'a');
  forgotten.finishExactly();

  // A frozen session: thawed, asked for twice, its carrier lost, released, ended, out of time.
  const thawed = at(10_000);
  thawed.trigger('b');
  thawed.world.until(() => session(thawed)?.isFrozen === true);
  thawed.world.server('b').kill();
  thawed.finishExactly();
  const twice = at(10_000, { servers: ['a', 'b', 'c'] });
  twice.trigger(undefined);
  twice.world.until(() => session(twice)?.isFrozen === true);
  for (const name of ['b', 'c']) cut(twice, name);
  twice.finishExactly();
  const dropped = at(10_000);
  dropped.trigger('b');
  dropped.world.until(() => session(dropped)?.isFrozen === true);
  cut(dropped, 'a');
  dropped.finishExactly();
  const ended = at(10_000);
  ended.trigger('b');
  ended.world.until(() => session(ended)?.isFrozen === true);
  ended.client.do((client, now) => client.reset(now));
  ended.world.run(60_000);

  // A server that was left without its knowledge hears of it while it is active, detached or frozen (the zombie).
  const zombie = at(10_000);
  zombie.origin.suspend();
  zombie.untilMigrated(1);
  zombie.world.server('a').resume();
  zombie.finishExactly();
  const active = at(10_000);
  const head = active.client.session.sessionId;
  assert.ok(head);
  active.finishExactly();

  // Offers: confirmed; abandoned with their carrier; pulled and resumed before CONFIRM came; left for another server.
  for (let offset = 0; offset < 900; offset += 20) {
    const offer = at(10_000, { servers: ['a', 'b', 'c'] });
    let count = 0;
    offer.world.onDial = (_, pipe) => {
      count += 1;
      if (count <= 2) pipe.cutAfter[0] = 250 + offset;
    };
    offer.trigger('b');
    offer.finishExactly();
  }
  offers();
  const missing = legal.filter((transition) => !taken.has(transition));
  assert.deepEqual(missing, []);
});

/** A client that says what no honest one does in that order, so that offers meet every event. */
function offers(): void {
  const scenario = new Scenario({ servers: ['a', 'b', 'c'], length: 100 });
  const { world } = scenario;
  for (const next of ['resume', 'freeze', 'release', 'end'] as const) {
    const peer = new RawClient(world, 'a');
    peer.open();
    const second = attach(world, peer, 'a', { epoch: 2 });
    if (next === 'resume') attach(world, peer, 'a', { epoch: 3 });
    if (next === 'freeze') attach(world, peer, 'b', { epoch: 3 });
    if (next === 'release') attach(world, peer, 'a', { epoch: 3, origin: 'c', originState: 1 });
    if (next === 'end') second.maced('reset', { epoch: 2, code: 18, message: '' }, 'reset-client');
    world.run(10);
    // Pulled while its carrier is gone.
    const gone = new RawClient(world, 'a');
    gone.open();
    gone.hangUp();
    world.run(5);
    attach(world, gone, 'b', { epoch: 3 });
    // Detached before it was confirmed.
    const hasty = new RawClient(world, 'a');
    hasty.open();
    const offer = attach(world, hasty, 'a', { epoch: 2 });
    offer.maced('detach', { epoch: 3 }, 'detach');
    world.run(5);
    assert.ok(offer.find('detached'));
    // Active, and left behind without being asked.
    const other = new RawClient(world, 'a');
    other.open();
    other.frame('ping', { token: 1 });
    world.run(5);
    attach(world, other, 'a', { epoch: 9, origin: 'c', originState: 1 });
    // Frozen by a DETACH, then ended by its own client.
    const third = new RawClient(world, 'a');
    third.open();
    third.maced('detach', { epoch: 2 }, 'detach');
    third.maced('reset', { epoch: 1, code: 18, message: '' }, 'reset-client');
    world.run(5);
  }
  scenario.finish();
  world.run(100_000);
}

function attach(world: Scenario['world'], peer: RawClient, server: string, change: object): RawClient {
  const ticket = peer.find('snapshot');
  const carrier = new RawClient(world, server, peer.sessionId);
  carrier.secret = peer.secret;
  const nonce = carrier.find('challenge')?.nonce;
  assert.ok(ticket && nonce);
  carrier.maced(
    'migrate',
    {
      service: 'test',
      head: ticket.bytes,
      body: new Uint8Array(0),
      epoch: 2,
      attachId: new Uint8Array(8),
      received: 0,
      delivered: 0,
      newestEpoch: 1,
      newestK: 0,
      digestFrom: 0,
      digest: 0,
      retainedFrom: 0,
      origin: 'a',
      originEpoch: 1,
      originState: 0,
      cause: 0,
      budgetMs: 3000,
      credit: 65_536,
      retainLimitBytes: 65_536,
      maxBodyBytes: 65_536,
      ...change,
    },
    'migrate',
    { context: [new TextEncoder().encode(server), nonce] },
  );
  world.run(10);
  return carrier;
}
