/** What can happen to servers and the network. Each fault says whether it counts: bytes were in flight, and it hit them. */
import { setTimeout as wait } from 'node:timers/promises';
import type { IncidentRecord } from './incident.ts';
import type { Disturbance, Way } from './network.ts';
import type { World } from './world.ts';

export interface FaultOutcome {
  /** Bytes were in flight, and whatever the fault is for has happened. */
  readonly counted: boolean;
  readonly incident: IncidentRecord;
  readonly note: string;
}

/** Answers undefined when there was nothing to disturb: then it was not issued. */
type Fault = (world: World) => Promise<FaultOutcome | undefined>;

/** How long a session may take until it is with another process, before a fault heals without that; in milliseconds. */
const MOVE_LIMIT_MS = 12_000;

/** How long all sessions that were hit may take until they go on; in milliseconds. */
const SETTLE_LIMIT_MS = 20_000;

/** How often a server that holds the store's lock is frozen anew: the store would stand still, not the server. */
const FREEZES_MAX = 20;

export const FAULTS = {
  /** The process dies; another one takes its place a moment later. */
  kill: (world) =>
    onServer(world, 'all', async ({ victim, incident }) => {
      world.fleet.kill(victim);
      await wait(world.between(0, 1500));
      await world.fleet.restart(victim);
      await settled(world, incident);
      return { counted: incident.moved > 0, note: victim };
    }),

  /** The process stands still until its clients have gone; then it wakes up, and knows of nothing. */
  stop: (world) =>
    onServer(world, 'all', async ({ victim, incident }) => {
      await freeze(world, victim);
      await moved(incident);
      await wait(world.between(0, 2500));
      const movedMeanwhile = incident.moved;
      world.fleet.thaw(victim);
      await healed(world, incident);
      return { counted: movedMeanwhile > 0, note: `${victim}, ${movedMeanwhile} moved meanwhile` };
    }),

  /** The process stands still for less than it takes to be missed. */
  pause: (world) =>
    onServer(world, 'all', async ({ victim, incident }) => {
      await freeze(world, victim);
      const durationMs = world.between(50, 900);
      await wait(durationMs);
      world.fleet.thaw(victim);
      const allSettled = await healed(world, incident);
      return { counted: allSettled, note: `${victim} for ${durationMs} ms` };
    }),

  /** Clients and a server don't reach each other. Other servers reach both. */
  partition: (world) =>
    onServer(world, 'some', async ({ victim, clients, incident }) => {
      const ways = clients.flatMap((client) => both(client, victim));
      return cut(world, incident, ways, `${clients.join(' and ')} from ${victim}`);
    }),

  /** What clients and a server send each other arrives in one direction only. */
  oneWay: (world) =>
    onServer(world, 'some', async ({ victim, clients, incident }) => {
      const fromServer = world.chance(50);
      const ways = clients.map((client): Way => (fromServer ? [victim, client] : [client, victim]));
      const note = fromServer ? `${victim} is not heard` : `${victim} hears nothing`;
      return cut(world, incident, ways, `${note} by ${clients.join(' and ')}`);
    }),

  /** A server reaches no other one, or is not reached by them; clients reach all. Sessions are asked to move away from it. */
  cutOff: (world) =>
    onServer(world, 'all', async ({ victim, incident }) => {
      const others = world.fleet.names.filter((name) => name !== victim);
      const side = world.pick(['both', 'from', 'to'] as const);
      const ways = others.flatMap((other): Way[] => {
        if (side === 'both') return both(victim, other);
        return side === 'from' ? [[victim, other]] : [[other, victim]];
      });
      return cut(world, incident, ways, `${victim}, ${side}`, () => world.clients.move(incident));
    }),

  /** Nobody reaches a server any more, nor it anybody. */
  isolate: (world) =>
    onServer(world, 'all', async ({ victim, clients, incident }) => {
      const others = world.fleet.names.filter((name) => name !== victim);
      const ways = [...clients, ...others].flatMap((other) => both(victim, other));
      return cut(world, incident, ways, victim);
    }),

  /** Connections are reset: the client's ends of them, the server's, or both. */
  reset: (world) =>
    onServer(world, 'some', async ({ victim, clients, incident }) => {
      const ends = world.pick([
        { near: true, far: true },
        { near: true, far: false },
        { near: false, far: true },
      ]);
      const disturbances = await Promise.all(
        clients.map((client) => world.network.reset(client, victim, ends)),
      );
      await wait(world.between(20, 300));
      const packets = await undo(disturbances);
      await moved(incident);
      await healed(world, incident);
      const sides = `${ends.near ? 'client' : ''}${ends.near && ends.far ? ' and ' : ''}${ends.far ? 'server' : ''}`;
      const note = `${clients.join(' and ')} with ${victim}, at the ${sides}`;
      return { counted: incident.moved > 0 && packets > 0, note };
    }),

  /** The client's host has another address, at once or after a while without any. */
  rebind: async (world) => {
    const client = world.pick(world.clients.names);
    return world.holding(client, async () => {
      const incident = await world.clients.watch([client]);
      if (incident.flowing === 0) return undefined;
      const gapMs = world.chance(50) ? 0 : world.between(20, 800);
      await world.network.changeAddress(client, gapMs);
      await moved(incident);
      await healed(world, incident);
      return { counted: incident.moved > 0, incident, note: `${client}, ${gapMs} ms without any` };
    });
  },

  /** Packets are lost by chance, wherever they go. */
  loss: (world) =>
    world.holding('loss', async () => {
      const incident = await world.clients.watch(world.clients.names);
      if (incident.flowing === 0) return undefined;
      const percent = world.between(1, 8);
      const disturbance = await world.network.lose(percent);
      await wait(world.between(300, 1500));
      const packets = await undo([disturbance]);
      await healed(world, incident);
      return { counted: packets > 0, incident, note: `${percent} %` };
    }),

  /** The disk on which the service writes is full. */
  disk: (world) =>
    world.holding('disk', async () => {
      const incident = await world.clients.watch(world.clients.names);
      if (incident.flowing === 0) return undefined;
      const before = world.applied.full;
      await world.disk.fill();
      await wait(world.between(200, 1500));
      const refusals = world.applied.full - before;
      await world.disk.empty();
      await healed(world, incident);
      return { counted: refusals > 0, incident, note: `${refusals} times refused` };
    }),

  /** A server is emptied, as for an update, and started again. */
  drain: (world) =>
    onServer(world, 'all', async ({ victim, incident }) => {
      const count = await world.fleet.drain(victim);
      await world.fleet.restart(victim);
      await healed(world, incident);
      return { counted: count > 0, note: `${victim}, ${count} moved` };
    }),
} as const satisfies Record<string, Fault>;

export type FaultKind = keyof typeof FAULTS;

export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

/** What these take is not the engine's to give back, or hits no session as a whole. */
const WITHOUT_BLACKOUT: readonly FaultKind[] = ['loss', 'disk', 'pause'];

export function countsAsBlackout(kind: FaultKind): boolean {
  return !WITHOUT_BLACKOUT.includes(kind);
}

interface Target {
  readonly victim: string;
  readonly clients: readonly string[];
  readonly incident: IncidentRecord;
}

/** Finds a server with bytes in flight to all clients, or some. */
async function onServer(
  world: World,
  whom: 'all' | 'some',
  inflict: (target: Target) => Promise<Omit<FaultOutcome, 'incident'>>,
): Promise<FaultOutcome | undefined> {
  return world.withVictim(async (victim) => {
    const clients = whom === 'all' ? world.clients.names : world.someClients();
    const incident = await world.clients.watch(clients, [victim]);
    if (incident.flowing === 0) return undefined;
    const outcome = await inflict({ victim, clients, incident });
    return { ...outcome, incident };
  });
}

/** Cuts these ways until sessions have moved, or for less than it takes to be missed. */
async function cut(
  world: World,
  incident: IncidentRecord,
  ways: readonly Way[],
  note: string,
  meanwhile?: () => void,
): Promise<Omit<FaultOutcome, 'incident'>> {
  const isShort = meanwhile === undefined && world.chance(20);
  const disturbance = await world.network.cut(ways);
  meanwhile?.();
  if (isShort) await wait(world.between(50, 900));
  else {
    await moved(incident);
    await wait(world.between(0, 1500));
  }
  const packets = await undo([disturbance]);
  const allSettled = await healed(world, incident);
  const counted = packets > 0 && (isShort ? allSettled : incident.moved > 0);
  return { counted, note: isShort ? `${note}, for a moment` : note };
}

function both(one: string, other: string): Way[] {
  return [
    [one, other],
    [other, one],
  ];
}

/** Answers how many packets were hit. */
async function undo(disturbances: readonly Disturbance[]): Promise<number> {
  let packets = 0;
  for (const disturbance of disturbances) packets += await disturbance.undo();
  return packets;
}

async function freeze(world: World, victim: string): Promise<void> {
  for (let freezes = 1; ; freezes += 1) {
    world.fleet.freeze(victim);
    if (freezes === FREEZES_MAX || !world.store.isHeld) return;
    world.fleet.thaw(victim);
    await wait(5);
  }
}

function moved(incident: IncidentRecord): Promise<boolean> {
  return incident.until(() => incident.moved > 0 || incident.isSettled, MOVE_LIMIT_MS);
}

/** A session that goes on where it was has survived it, from now on. */
function healed(world: World, incident: IncidentRecord): Promise<boolean> {
  world.clients.healed(incident);
  return settled(world, incident);
}

async function settled(world: World, incident: IncidentRecord): Promise<boolean> {
  const allSettled = await incident.until(() => incident.isSettled, SETTLE_LIMIT_MS);
  if (!allSettled)
    world.log(
      `incident ${incident.id}: ${incident.watched - incident.blackoutsMs.length} sessions don't go on`,
    );
  return allSettled;
}
