/** What faults work on: the network, the servers, the clients, the disk. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Draw } from '../../packages/cli/src/demo/choices.ts';
import type { ClientGroup } from './client-group.ts';
import type { EffectStore } from './effect-store.ts';
import type { Fleet } from './fleet.ts';
import type { TestNetwork } from './network.ts';
import type { SmallDisk } from './small-disk.ts';

/** How long to look for a server with bytes in flight, in milliseconds, and how often. */
const VICTIM_LIMIT_MS = 3000;
const VICTIM_PAUSE_MS = 50;

export interface WorldParts {
  readonly network: TestNetwork;
  readonly fleet: Fleet;
  readonly clients: ClientGroup;
  readonly store: EffectStore;
  readonly disk: SmallDisk;
  readonly draw: Draw;
  /** How often the store said so. */
  readonly applied: Readonly<Record<'repeated' | 'fenced' | 'busy' | 'full', number>>;
  readonly log: (line: string) => void;
}

export class World {
  readonly network: TestNetwork;
  readonly fleet: Fleet;
  readonly clients: ClientGroup;
  readonly store: EffectStore;
  readonly disk: SmallDisk;
  readonly draw: Draw;
  readonly log: (line: string) => void;
  readonly applied: WorldParts['applied'];
  /** What something happens to at this time: one thing at a time is enough for a server. */
  readonly #taken = new Set<string>();

  constructor(parts: WorldParts) {
    this.network = parts.network;
    this.fleet = parts.fleet;
    this.clients = parts.clients;
    this.store = parts.store;
    this.disk = parts.disk;
    this.draw = parts.draw;
    this.applied = parts.applied;
    this.log = parts.log;
  }

  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number {
    return min + this.draw.below(max - min + 1);
  }

  chance(percent: number): boolean {
    return this.draw.below(100) < percent;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.draw.below(values.length)];
    if (value === undefined) throw new Error('there is nothing to pick from');
    return value;
  }

  /** All clients, or one of them. */
  someClients(): string[] {
    return this.chance(50) ? this.clients.names : [this.pick(this.clients.names)];
  }

  /** Runs `use` with a server that has bytes in flight, the likelier the more; undefined when there is none in time. */
  async withVictim<T>(use: (victim: string) => Promise<T>): Promise<T | undefined> {
    const victim = await this.#findVictim();
    if (victim === undefined) return undefined;
    return this.holding(victim, () => use(victim));
  }

  /** Runs `use` while nothing else happens to `what`; undefined when something does. */
  async holding<T>(what: string, use: () => Promise<T>): Promise<T | undefined> {
    if (this.#taken.has(what)) return undefined;
    this.#taken.add(what);
    try {
      return await use();
    } finally {
      this.#taken.delete(what);
    }
  }

  async #findVictim(): Promise<string | undefined> {
    for (let waitedMs = 0; waitedMs < VICTIM_LIMIT_MS; waitedMs += VICTIM_PAUSE_MS) {
      const flowing = [...(await this.clients.census())].filter(
        ([server, count]) => count > 0 && !this.#taken.has(server),
      );
      const total = flowing.reduce((sum, [, count]) => sum + count, 0);
      if (total > 0) {
        let place = this.draw.below(total);
        for (const [server, count] of flowing) {
          if (place < count) return server;
          place -= count;
        }
      }
      await wait(VICTIM_PAUSE_MS);
    }
    return undefined;
  }
}
