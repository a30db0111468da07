/**
 * A server that was started again has the name of the one before, and none of its sessions (protocol.md §10.5). What it
 * offers its client must not be taken for what the client left there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frames } from '../../packages/godwit/src/wire/frames.ts';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { Scenario } from '../world/scenario.ts';
import type { ServerAppFactory } from '../world/server-apps.ts';

/** Output that the first execution makes a snapshot of; what it sends behind it is never covered. */
const COVERED_BYTES = 50;
const LENGTH = 100;

/** Sends the number of its execution, again and again, which is what `commit` mode allows. */
function countingApp(executions: { count: number }): ServerAppFactory {
  return (session, restart, context) => {
    executions.count += 1;
    const execution = executions.count;
    const write = (length: number): void => {
      session.write(context.now(), new Uint8Array(length).fill(execution));
    };
    const exportNow = (): void =>
      session.exportState(context.now(), {
        state: Uint8Array.of(1),
        input: session.received,
        output: session.produced,
      });
    if (!restart) write(COVERED_BYTES);
    const isFirst = execution === 1;
    if (isFirst) exportNow();
    write(LENGTH - COVERED_BYTES);
    return {
      handle: (event) => {
        if (event.type === 'readable' && session.read() === 'end') {
          session.finConsumed(context.now());
          session.end(context.now());
        }
        if (event.type !== 'exportDue') return;
        if (!isFirst) exportNow();
        else if (event.reason !== 'freeze') session.exportDeclined(context.now(), { hasExporter: true });
        if (event.reason === 'freeze') session.freezeReady(context.now());
      },
    };
  };
}

for (const next of ['a', 'b'] as const) {
  test(`an offer of a server started again that its client never took is not taken for the session itself; it attaches at ${next}`, () => {
    const executions = { count: 0 };
    const scenario = new Scenario({
      delivery: Delivery.Commit,
      servers: ['a', 'b'],
      app: countingApp(executions),
      length: 0,
      client: { timers: { attachTimeoutMs: 300, retryMinMs: 50 } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(COVERED_BYTES);
    world.until(() => client.session.streams.receive.received === LENGTH);

    // a comes back at once, and gets to know the session; but its ACCEPT never arrives.
    let dials = 0;
    world.onDial = (to, pipe) => {
      dials += 1;
      if (to !== 'a' || dials > 2) return;
      const sendParts = pipe.sendParts.bind(pipe);
      pipe.sendParts = (end, parts) => {
        if (end === 0 || parts.every((part) => part[0] !== frames.accept.type)) sendParts(end, parts);
      };
    };
    world.server('b').kill();
    world.server('a').kill(true);
    world.start('a');
    // The client notices only that nothing comes, so that it does not know the former process for dead.
    world.until(() => executions.count === 2);
    if (next === 'b') {
      world.start('b');
      world.partition('client', 'a');
    }
    client.end();
    world.until(() => client.closed !== undefined, 120_000, 'the end');
    assert.equal(client.closed?.failure, undefined);
    const received = [...client.received];
    const last = received.at(-1) as number;
    assert.ok(last > 1);
    assert.deepEqual(received.slice(0, COVERED_BYTES), Array<number>(COVERED_BYTES).fill(1));
    assert.deepEqual(
      received.slice(COVERED_BYTES),
      Array<number>(LENGTH - COVERED_BYTES).fill(last),
      'what no snapshot covered comes from one execution',
    );
  });
}
