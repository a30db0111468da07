/** At the end of a scenario nothing may be left: no session, carrier, pending attach, question or timer. */
import assert from 'node:assert/strict';
import type { VirtualClient } from './virtual-client.ts';
import type { World } from './world.ts';

/** Longer than every timer that may still end something (a detached session's is the longest), in ms. */
const SETTLE_MS = 100_000;

export function assertNoLeaks(world: World, ...clients: readonly VirtualClient[]): void {
  world.heal();
  world.run(SETTLE_MS);
  assert.deepEqual(leftovers(world, clients), []);
}

/** What is left over, in words. Time must have passed since the last session ended. */
export function leftovers(world: World, clients: readonly VirtualClient[]): string[] {
  const left: string[] = [];
  for (const client of clients) {
    if (client.session.state !== 'closed') left.push(`${client.name} is ${client.session.state}`);
    if (client.openCarriers > 0) left.push(`${client.openCarriers} carriers of ${client.name}`);
    if (client.session.pollTimeout() !== undefined) left.push(`timers of ${client.name}`);
  }
  for (const server of world.servers.values()) {
    if (!server.isAlive) continue;
    const { tombstones: _, ...population } = server.node.population;
    for (const [what, count] of Object.entries(population))
      if (count !== 0) left.push(`${count} ${what} at ${server.address.name}`);
    if (server.apps.size > 0) left.push(`${server.apps.size} applications at ${server.address.name}`);
  }
  return left;
}
