/** How often a server makes its work safe, and how it does again what was not (protocol.md §7.2, §7.4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scenario } from '../world/scenario.ts';
import type { ServerAppFactory } from '../world/server-apps.ts';

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
