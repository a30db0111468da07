/** A state is what it was when the application exported it, whatever the application does with its buffer then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { World } from '../world/world.ts';

for (const kind of ['Uint8Array', 'Buffer'] as const) {
  test(`an application may use its ${kind} again once it has exported it`, () => {
    const world = new World();
    const state = kind === 'Buffer' ? Buffer.alloc(8, 1) : new Uint8Array(8).fill(1);
    let newest: (() => Uint8Array) | undefined;
    world.addServers(['a'], {
      delivery: Delivery.Replay,
      app: (session, _restart, context) => {
        session.exportState(context.now(), { state, input: 0, output: session.produced });
        state.fill(2);
        newest = () => session.snapshots.newest.state;
        return { handle: () => undefined };
      },
    });
    world.connect({ servers: ['a'] });
    world.until(() => newest !== undefined);
    assert.deepEqual(
      [...(newest?.() ?? [])],
      Array.from({ length: 8 }, () => 1),
    );
  });
}
