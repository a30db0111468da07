/** How often a server makes its work safe, and how it does again what was not (protocol.md §7.2, §7.4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { Scenario } from '../world/scenario.ts';
import type { ServerAppFactory } from '../world/server-apps.ts';
import type { VirtualClient } from '../world/virtual-client.ts';
import { World } from '../world/world.ts';

const WRITE_BYTES = 8;

/** Writes again and again with a pause that may depend on whether it was restored; its state is what it wrote. */
function ticking(options: {
  readonly writes: number;
  readonly pauseMs: (restored: boolean) => number;
  readonly exports: boolean;
  /** It exports by itself, too, behind so many writes. */
  readonly pushesAt?: readonly number[];
  /** Called with the time when it has no state to give. */
  readonly declined?: (atMs: number) => void;
}): ServerAppFactory {
  return (session, restart, context) => {
    let written =
      restart === undefined || restart.state.byteLength === 0
        ? 0
        : Number(new TextDecoder().decode(restart.state));
    const pauseMs = options.pauseMs(restart !== undefined);
    const exportState = (): void =>
      session.exportState(context.now(), {
        state: new TextEncoder().encode(String(written)),
        input: session.received,
        output: session.produced,
      });
    const tick = (): void => {
      if (session.state === 'ended' || written === options.writes) return;
      session.write(context.now(), new Uint8Array(WRITE_BYTES).fill(written));
      written += 1;
      if (options.pushesAt?.includes(written)) exportState();
      if (written === options.writes) session.end(context.now());
      else context.after(pauseMs, tick);
    };
    context.after(pauseMs, tick);
    return {
      handle: (event) => {
        if (event.type === 'readable') {
          for (let chunk = session.read(); chunk !== undefined; chunk = session.read())
            if (chunk === 'end') session.finConsumed(context.now());
            else session.consumed(context.now(), chunk.byteLength);
        }
        if (event.type !== 'exportDue') return;
        if (options.exports) exportState();
        else {
          options.declined?.(context.now());
          session.exportDeclined(context.now(), { hasExporter: true });
        }
      },
    };
  };
}

const expected = (writes: number): Uint8Array =>
  Uint8Array.from({ length: writes * WRITE_BYTES }, (_, at) => Math.floor(at / WRITE_BYTES) & 0xff);

for (const [snapshotBusyWrites, tickets] of [
  [64, 'every millisecond'],
  [1_000_000, 'only as its bytes make them due, where writes do not count'],
] as const)
  test(`a server that writes often, and little, sends tickets ${tickets}`, () => {
    const writes = 10_000;
    const scenario = new Scenario({
      app: ticking({ writes, pauseMs: () => 0.01, exports: true }),
      server: { limits: { snapshotShare: 0, snapshotBusyWrites } },
      latencyMs: 0.1,
      length: 0,
    });
    scenario.untilReceived((writes * WRITE_BYTES) / 2);
    const { origin, client, world } = scenario;
    const session = origin.node.session(client.session.id);
    const perMs = (session?.snapshotNumber ?? 0) / world.now;
    if (snapshotBusyWrites === 64) assert.ok(perMs > 0.6 && perMs < 1.1, `${perMs} a millisecond`);
    else assert.ok(perMs < 0.2, `${perMs} a millisecond`);
    scenario.finish();
    scenario.assertExact(expected(writes));
  });

test('a ticket covers what the application has written by then, not by the ticket before', () => {
  const writes = 10_000;
  const scenario = new Scenario({
    app: ticking({ writes, pauseMs: () => 0.01, exports: true, pushesAt: [900] }),
    server: { limits: { snapshotShare: 0 } },
    latencyMs: 0.1,
    length: 0,
  });
  scenario.untilReceived((writes * WRITE_BYTES) / 10);
  const { streams } = scenario.client.session;
  const uncovered: number[] = [];
  let k = streams.tickets.held?.k;
  while (streams.receive.received < (writes * WRITE_BYTES) / 2) {
    scenario.world.until(() => streams.tickets.held?.k !== k);
    k = streams.tickets.held?.k;
    uncovered.push((streams.receive.received - (streams.tickets.held?.output ?? 0)) / WRITE_BYTES);
  }
  assert.ok(uncovered.length > 10, `${uncovered.length} tickets`);
  // One comes every 100 writes.
  assert.ok(Math.max(...uncovered) < 20, `writes behind a ticket as it comes: ${uncovered.join(' ')}`);
  scenario.finish();
  scenario.assertExact(expected(writes));
});

test('a state that waits for a newer one goes as soon as the application says that it has none', () => {
  const writes = 1_090;
  const latencyMs = 0.1;
  // The first goes at once, and the second waits for its time.
  const pushed = [1_000, 1_010];
  const declinedAt: number[] = [];
  const scenario = new Scenario({
    app: ticking({
      writes,
      pauseMs: () => 0.01,
      exports: false,
      pushesAt: pushed,
      declined: (atMs) => declinedAt.push(atMs),
    }),
    server: { limits: { snapshotShare: 0 } },
    latencyMs,
    length: 0,
  });
  const { world, client } = scenario;
  const { tickets } = client.session.streams;
  for (const writesCovered of pushed) world.until(() => tickets.held?.output === writesCovered * WRITE_BYTES);
  const last = declinedAt.findLast((atMs) => atMs <= world.now - latencyMs);
  assert.ok(last !== undefined && world.now - last < 2 * latencyMs, `${world.now - (last ?? 0)} ms later`);
  scenario.finish();
  scenario.assertExact(expected(writes));
});

test('an application that makes output again slowly, but makes it, has all the time it takes', () => {
  const writes = 40;
  const scenario = new Scenario({
    app: ticking({ writes, pauseMs: (restored) => (restored ? 300 : 1), exports: false }),
    server: { timers: { replayTimeoutMs: 1_000 } },
    length: 0,
  });
  scenario.untilReceived((writes - 2) * WRITE_BYTES);
  const { origin, world } = scenario;
  const killedAt = world.now;
  origin.kill();
  scenario.finish();
  assert.ok(world.now - killedAt > 10_000, 'it took its time');
  scenario.assertExact(expected(writes));
});

for (const exports of [true, false])
  test(`a session that has been quiet gives back what it allocated, and its application ${exports ? 'exports' : 'declines to'}`, () => {
    const writes = 2_000;
    const scenario = new Scenario({
      app: ticking({ writes, pauseMs: () => 1, exports }),
      length: 0,
    });
    const { world, client } = scenario;
    scenario.untilReceived(writes * WRITE_BYTES);
    const session = scenario.origin.node.session(client.session.id);
    assert.ok(session);
    const { streams } = session;
    const shrink = streams.shrink.bind(streams);
    let lastAt = 0;
    streams.shrink = () => {
      lastAt = world.now;
      shrink();
    };
    const quietAt = world.now;
    world.run(10_000);
    assert.ok(lastAt > quietAt, `nothing was given back in ${world.now - quietAt} ms`);
    scenario.finish();
  });

/** Sessions that each write once a second, little; answers when the tickets came that each client got after the first, in ms. */
function ticketTimes(options: {
  readonly sessions: number;
  readonly snapshotsPerSecond: number;
  readonly untilMs: number;
  readonly delivery?: Delivery;
}): number[][] {
  const { sessions, snapshotsPerSecond, untilMs, delivery = Delivery.Replay } = options;
  const world = new World({ seed: 1, latencyMs: 0.1 });
  world.addServers(['a', 'b'], {
    delivery,
    app: ticking({ writes: 1_000, pauseMs: () => 1_000, exports: true }),
    limits: { snapshotsPerSecond },
  });
  const clients = Array.from({ length: sessions }, () => world.connect({ servers: ['a'] }));
  const times = clients.map((): number[] => []);
  const newest = clients.map((): number | undefined => 0);
  const endsAt = world.now + untilMs;
  world.until(() => {
    for (const [index, { session }] of clients.entries()) {
      const k = session.streams.tickets.held?.k;
      if (k === undefined || k === newest[index]) continue;
      newest[index] = k;
      times[index]?.push(world.now);
    }
    return world.now >= endsAt;
  }, untilMs + 1_000);
  return times;
}

const distances = (times: readonly number[]): number[] =>
  times.slice(1).map((time, index) => time - (times[index] as number));

test('sessions that do little get a ticket in every interval, while there are not too many of them', () => {
  for (const times of ticketTimes({ sessions: 5, snapshotsPerSecond: 10, untilMs: 20_000 })) {
    assert.ok(times.length >= 18, `${times.length} tickets`);
    for (const distance of distances(times)) assert.ok(distance < 1_600, `${distance} ms`);
  }
});

test('where there are, they are put off: all together as many a second as they may, and those that waited too long', () => {
  const all = ticketTimes({ sessions: 25, snapshotsPerSecond: 5, untilMs: 40_000 });
  for (const times of all) {
    assert.ok(times.length >= 3, `${times.length} tickets`);
    for (const distance of distances(times)) assert.ok(distance < 11_500, `${distance} ms`);
  }
  const late = all.flat().filter((time) => time >= 10_000).length / 30;
  assert.ok(late > 4 && late <= 7.5, `${late} tickets a second`);
});

test('but nobody waits longer than ten intervals', () => {
  const all = ticketTimes({ sessions: 25, snapshotsPerSecond: 1, untilMs: 60_000 });
  for (const times of all) {
    assert.ok(times.length >= 4, `${times.length} tickets`);
    for (const distance of distances(times)) assert.ok(distance < 11_500, `${distance} ms`);
  }
});

test('what is delivered only with its ticket waits for no turn', () => {
  const all = ticketTimes({
    sessions: 10,
    snapshotsPerSecond: 1,
    untilMs: 10_000,
    delivery: Delivery.Commit,
  });
  for (const times of all) {
    assert.ok(times.length >= 9, `${times.length} tickets`);
    for (const distance of distances(times)) assert.ok(distance < 1_100, `${distance} ms`);
  }
});

test('nor does what is only read, in `commit` mode', () => {
  const world = new World({ seed: 1, latencyMs: 0.1 });
  const app = ticking({ writes: 1, pauseMs: () => 1_000_000, exports: true });
  world.addServers(['a'], { delivery: Delivery.Commit, app, limits: { snapshotsPerSecond: 1 } });
  const clients = Array.from({ length: 10 }, () => world.connect({ servers: ['a'] }));
  world.run(100);
  const before = clients.map(({ session }) => session.streams.tickets.held?.k ?? 0);
  for (let second = 0; second < 10; second += 1) {
    for (const client of clients) client.write(new Uint8Array(8));
    world.run(1_000);
  }
  for (const [index, { session }] of clients.entries()) {
    const tickets = (session.streams.tickets.held?.k ?? 0) - (before[index] as number);
    assert.ok(tickets >= 8, `${tickets} tickets`);
  }
});

test('nor does one of which much has moved, or that moves', () => {
  const writes = 4_000;
  const scenario = new Scenario({
    app: ticking({ writes, pauseMs: () => 1, exports: true }),
    server: { limits: { snapshotShare: 0, snapshotsPerSecond: 1 } },
    latencyMs: 0.1,
    length: 0,
  });
  scenario.untilReceived((writes * WRITE_BYTES) / 2);
  const { streams } = scenario.client.session;
  // 64 writes make one due.
  assert.ok(streams.receive.received - (streams.tickets.held?.output ?? 0) <= 70 * WRITE_BYTES);
  scenario.trigger('b');
  scenario.untilMigrated(1);
  scenario.finish();
  scenario.assertExact(expected(writes));
});

interface Writing {
  readonly bytes: number;
  readonly pauseMs: number;
  readonly stateBytes?: number;
}

/** A server of sessions that each write so much again and again, in the order in which they are opened. */
function writingWorld(options: {
  readonly sessions: readonly Writing[];
  readonly snapshotsPerSecond: number;
  readonly snapshotIntervalMs?: number;
}): { readonly world: World; readonly clients: readonly VirtualClient[] } {
  const { sessions, snapshotsPerSecond, snapshotIntervalMs = 1_000 } = options;
  const world = new World({ seed: 1, latencyMs: 0.1 });
  const left = [...sessions];
  world.addServers(['a', 'b'], {
    delivery: Delivery.Replay,
    limits: { snapshotsPerSecond },
    timers: { snapshotIntervalMs },
    app: (session, _restart, context) => {
      const { bytes, pauseMs, stateBytes = 8 } = left.shift() as Writing;
      const tick = (): void => {
        if (session.state === 'ended') return;
        session.write(context.now(), new Uint8Array(bytes));
        context.after(pauseMs, tick);
      };
      context.after(pauseMs, tick);
      return {
        handle: (event) => {
          if (event.type !== 'exportDue') return;
          const { received: input, produced: output } = session;
          session.exportState(context.now(), { state: new Uint8Array(stateBytes), input, output });
        },
      };
    },
  });
  return { world, clients: sessions.map(() => world.connect({ servers: ['a'] })) };
}

test('a session is put off for how little it did, not for how large its state is', () => {
  const large = { bytes: 10_000, pauseMs: 100, stateBytes: 32 * 1024 };
  const little = Array.from({ length: 59 }, () => ({ bytes: 8, pauseMs: 1_000 }));
  const { world, clients } = writingWorld({ sessions: [large, ...little], snapshotsPerSecond: 5 });
  world.run(15_000);
  const endsAt = world.now + 30_000;
  let uncovered = 0;
  world.until(() => {
    const { receive, tickets } = (clients[0] as VirtualClient).session.streams;
    uncovered = Math.max(uncovered, receive.received - (tickets.held?.output ?? 0));
    return world.now >= endsAt;
  }, 31_000);
  // A second's worth, and what is under way.
  assert.ok(uncovered <= 110_000, `${uncovered} bytes without a ticket`);
});

for (const snapshotIntervalMs of [1, 10, 20])
  test(`what is due by bytes waits for no turn, where the interval is ${snapshotIntervalMs} ms`, () => {
    const sessions = Array.from({ length: 20 }, () => ({ bytes: 20_000, pauseMs: 15 }));
    const { world, clients } = writingWorld({ sessions, snapshotsPerSecond: 1, snapshotIntervalMs });
    world.run(2_000);
    for (const { session } of clients) {
      const { receive, tickets } = session.streams;
      assert.ok((tickets.held?.k ?? 0) > 100, `${tickets.held?.k} tickets in ${world.now} ms`);
      assert.ok(receive.received - (tickets.held?.output ?? 0) <= 20_000);
    }
  });

test('a session that waits for its turn gives back what it allocated all the same', () => {
  // When it writes, the others have taken all turns that there were.
  const waiting = { bytes: 8, pauseMs: 6_250 };
  const others = Array.from({ length: 40 }, () => ({ bytes: 8, pauseMs: 500 }));
  const { world, clients } = writingWorld({ sessions: [waiting, ...others], snapshotsPerSecond: 1 });
  world.run(500);
  const client = clients[0] as VirtualClient;
  const session = world.serving(client).node.session(client.session.id);
  assert.ok(session);
  const { streams } = session;
  const shrink = streams.shrink.bind(streams);
  const shrunkAt: number[] = [];
  streams.shrink = () => {
    shrunkAt.push(world.now);
    shrink();
  };
  world.until(() => client.receivedBytes === 8, 10_000);
  const wroteAt = world.now;
  shrunkAt.length = 0;
  const k = client.session.streams.tickets.held?.k;
  world.until(() => shrunkAt.length > 0, 10_000);
  assert.ok(world.now - wroteAt < 2_500, `after ${world.now - wroteAt} ms`);
  assert.equal(client.session.streams.tickets.held?.k, k, 'it was not its turn yet');
});
