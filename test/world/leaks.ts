/** At the end of a scenario nothing may be left: no session, carrier, pending attach, question or timer. */
import assert from 'node:assert/strict';
import type { VirtualClient } from './virtual-client.ts';
import type { World } from './world.ts';

/** Longer than every timer that may still end something (a detached session's is the longest), in ms. */
const SETTLE_MS = 100_000;

export function assertNoLeaks(world: World, ...clients: readonly VirtualClient[]): void {
  world.heal();
  world.run(SETTLE_MS);
  for (const client of clients) {
    assert.equal(client.session.state, 'closed');
    assert.equal(client.openCarriers, 0, 'carriers of the client');
    assert.equal(client.session.pollTimeout(), undefined, 'timers of the client');
  }
  for (const server of world.servers.values()) {
    if (!server.isAlive) continue;
    const { tombstones: _, ...population } = server.node.population;
    const left = Object.entries(population).filter(([, count]) => count !== 0);
    assert.deepEqual(left, [], `left over at ${server.address.name}`);
    assert.equal(server.apps.size, 0, `applications at ${server.address.name}`);
  }
}
