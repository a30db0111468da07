/** In `commit` mode the client stages what no ticket covers yet, and its stage bounds what the server may send. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { fileApp, pattern } from '../world/server-apps.ts';
import { World } from '../world/world.ts';

const FILE_BYTES = 8 * 1024 * 1024;

for (const commitEvery of [48 * 1024, 80 * 1024, 208 * 1024, 720 * 1024]) {
  test(`a stream committed every ${commitEvery} bytes flows on though a commit lies beyond the client's stage`, () => {
    const world = new World();
    world.addServers(['a'], {
      delivery: Delivery.Commit,
      app: fileApp({ length: FILE_BYTES, seed: 3, exports: 'pulled', commitEvery }),
    });
    const client = world.connect({ servers: ['a'] });
    client.end();
    world.until(() => client.closed !== undefined);
    assert.equal(client.closed?.failure, undefined);
    assert.deepEqual(client.received, pattern(FILE_BYTES, 3));
    assert.equal(client.session.isProtected, true);
  });
}

test('a point beyond the credit of a client that does not read waits for that credit, not for a timer that is over', () => {
  const world = new World();
  let wakeUps = 0;
  world.addServers(['a'], {
    delivery: Delivery.Commit,
    app: (session, _restart, context) => {
      // Two points: the first fills the client's window, the second lies beyond what it has credit for.
      for (const bytes of [1024 * 1024, 64 * 1024]) {
        session.write(context.now(), pattern(bytes, 3));
        session.exportState(context.now(), { state: new Uint8Array(8), input: 0, output: session.produced });
      }
      return { handle: () => undefined };
    },
  });
  const client = world.connect({ servers: ['a'], autoRead: false });
  const { node } = world.server('a');
  const handleTimeout = node.handleTimeout.bind(node);
  node.handleTimeout = (now) => {
    wakeUps += 1;
    assert.ok(wakeUps < 100, `the server woke up ${wakeUps} times by ${now} ms`);
    handleTimeout(now);
  };
  world.until(() => world.now > 5000);
  assert.ok(client.session.isProtected);
  const from = world.now;
  client.autoRead = true;
  client.read();
  world.until(() => client.received.byteLength === 1024 * 1024 + 64 * 1024);
  assert.ok(
    world.now < from + 500,
    `the second point came ${world.now - from} ms after there was credit for it`,
  );
});
