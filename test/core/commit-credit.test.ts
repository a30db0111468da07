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
