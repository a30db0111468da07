/** What each fault does, and how the world is made whole again. Which come, and when, is in fault-plan.ts. */
import type { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import { Cause, type Frame } from '../../packages/godwit/src/wire/index.ts';
import { encodePeerFrame } from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from '../world/pipe.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { ClientApplication } from './client-application.ts';
import { Disturbances } from './disturbances.ts';
import { Draw } from './draw.ts';
import { isStepFault, type FaultKind, type FaultPlan } from './fault-plan.ts';
import type { Simulation } from './simulation.ts';
import { Stranger } from './strangers.ts';

/** Longest that a message is held up, in ms. */
const MAX_DELAY_MS = 600;

interface Slowness {
  readonly from: string;
  readonly to: string;
  readonly extraMs: number;
}

/** Answers whether anything came of it: there may be nothing to break. */
type Action = (fault: FaultPlan, draw: Draw) => boolean;

export class Faults {
  readonly #simulation: Simulation;
  readonly #slow = new Set<Slowness>();
  /** Generators of those that reorder at present. */
  readonly #reordering = new Set<Draw>();
  readonly #members: Set<string>;
  readonly #rings = new Map<string, KeyRing>();
  /** TRIGGERs that come twice, or again later: for which client, and after how long. */
  readonly #repeats: { client: ClientApplication; fault: FaultPlan; afterMs: number }[] = [];
  readonly #heldUp: (() => void)[] = [];
  #isHealed = false;
  readonly disturbances = new Disturbances();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#members = new Set(
      simulation.plan.servers.map((server) => server.name).filter((name) => !this.joinsLater(name)),
    );
  }

  get isHealed(): boolean {
    return this.#isHealed;
  }

  /** The last server, where there is a fault that says so. */
  joinsLater(name: string): boolean {
    const { servers, faults } = this.#simulation.plan;
    return (
      servers.length > 1 &&
      servers.at(-1)?.name === name &&
      faults.some((fault) => fault.kind === 'member joins')
    );
  }

  registerRing(name: string, ring: KeyRing): void {
    this.#rings.set(name, ring);
  }

  begin(fault: FaultPlan): void {
    const { steps, narrate } = this.#simulation;
    if (this.#isHealed || this.#simulation.clients.length === 0) return;
    narrate?.(
      `FAULT ${fault.kind} (client ${fault.client + 1}, server ${fault.server}, ${Math.round(fault.lastsMs)} ms)`,
    );
    this.disturbances.add(this.#simulation.world.now, fault.lastsMs);
    if (isStepFault(fault.kind)) {
      steps.arm(fault);
      return;
    }
    if (this.#actions[fault.kind](fault, new Draw(fault.seed))) this.count(fault.kind);
  }

  count(kind: FaultKind): void {
    this.#simulation.coverage.count('faults', kind);
  }

  /** The latency of one message, with what holds it up at present. */
  latency(from: string, to: string, usualMs: number): number {
    let latencyMs = usualMs;
    for (const slow of this.#slow) if (slow.from === from && slow.to === to) latencyMs += slow.extraMs;
    for (const draw of this.#reordering) latencyMs *= draw.between(0, 12);
    return latencyMs;
  }

  // --- Who ------------------------------------------------------------------------------------------------------

  client(fault: FaultPlan): ClientApplication {
    const { clients } = this.#simulation;
    return clients[fault.client % clients.length] as ClientApplication;
  }

  server(fault: FaultPlan): VirtualServer | undefined {
    const { world, plan } = this.#simulation;
    const byIndex = (index: number): VirtualServer | undefined =>
      world.servers.get(plan.servers[index % plan.servers.length]?.name ?? '');
    if (fault.server !== 'serving') return byIndex(fault.server);
    return this.#simulation.serving(this.client(fault)) ?? byIndex(fault.other);
  }

  /** A server other than the one that `name` names, if there is one. */
  other(fault: FaultPlan, name: string): string | undefined {
    const names = this.#simulation.plan.servers
      .map((server) => server.name)
      .filter((known) => known !== name);
    return names.length === 0 ? undefined : names[fault.other % names.length];
  }

  #later(fault: FaultPlan, run: () => void): void {
    this.#simulation.world.scheduler.after(fault.lastsMs, () => {
      if (!this.#isHealed) run();
    });
  }

  // --- Processes ------------------------------------------------------------------------------------------------

  crash(server: VirtualServer | undefined, silent: boolean, fault: FaultPlan): boolean {
    if (!server?.isAlive) return false;
    this.#simulation.checks.crashes(server);
    server.kill(silent);
    this.#later(fault, () => this.#start(server.address.name));
    return true;
  }

  #start(name: string): void {
    const { world } = this.#simulation;
    if (world.servers.get(name)?.isAlive) return;
    world.start(name, { servers: this.#memberAddresses(name) });
  }

  stop(server: VirtualServer | undefined, fault: FaultPlan): boolean {
    if (!server?.isAlive || server.isSuspended) return false;
    server.suspend();
    this.#later(fault, () => {
      if (server.isSuspended) server.resume();
    });
    return true;
  }

  /** Stopped until its client has gone on elsewhere; then it wakes up. */
  #zombie(fault: FaultPlan): boolean {
    const { world } = this.#simulation;
    const { client } = this.client(fault);
    const server = this.#simulation.serving(this.client(fault));
    if (!server?.isAlive || server.isSuspended) return false;
    const before = client.migrations.length;
    server.suspend();
    this.disturbances.add(world.now, Infinity);
    const look = (): void => {
      if (this.#isHealed || !server.isSuspended) return;
      if (client.migrations.length > before || client.closed) this.#later(fault, () => server.resume());
      else world.scheduler.after(50, look);
    };
    look();
    return true;
  }

  // --- Networks -------------------------------------------------------------------------------------------------

  /** Ends by itself, or when the world heals. */
  cut(from: string, to: string, fault: FaultPlan): void {
    const { world } = this.#simulation;
    this.#later(fault, world.cut(from, to));
  }

  /** Nothing gets through one carrier for a while; then it all comes, perhaps when its client has gone on to another. */
  holdUp(pipe: Pipe, fault: FaultPlan): void {
    const end = pipe.hold();
    this.#heldUp.push(end);
    this.#later(fault, end);
  }

  #partition(a: string, b: string, fault: FaultPlan, way: 'both' | 'there' | 'back'): void {
    if (way !== 'back') this.cut(a, b, fault);
    if (way !== 'there') this.cut(b, a, fault);
  }

  #cutServersOff(fault: FaultPlan, name: string): void {
    for (const { name: to } of this.#simulation.plan.servers)
      if (to !== name) this.#partition(name, to, fault, 'both');
  }

  /** An open carrier of the client: that of its session first. */
  pipe(client: ClientApplication, draw: Draw): Pipe | undefined {
    const { world } = this.#simulation;
    const live = client.client.pipesTo(client.client.session.serverName).filter((pipe) => !pipe.isClosed);
    if (live.length > 0 && draw.chance(0.8)) return draw.pick(live);
    const open = world.pipes.filter((pipe) => !pipe.isClosed);
    return open.length > 0 ? draw.pick(open) : undefined;
  }

  #onPipe(fault: FaultPlan, draw: Draw, run: (pipe: Pipe) => void): boolean {
    const pipe = this.pipe(this.client(fault), draw);
    if (pipe) run(pipe);
    return pipe !== undefined;
  }

  // --- Triggers -------------------------------------------------------------------------------------------------

  /** In-band, from the server that has the session. */
  trigger(fault: FaultPlan, draw: Draw): boolean {
    const client = this.client(fault);
    const server = this.#simulation.serving(client);
    const session = server && this.#simulation.sessionAt(server, client);
    if (!server || !session || !server.isAlive || server.isSuspended) return false;
    const to = draw.chance(0.3) ? undefined : this.other(fault, server.address.name);
    let sent = false;
    server.inside(() => {
      sent = server.node.migrate(
        server.now,
        session,
        to === undefined ? undefined : this.#simulation.address(to),
      );
    });
    return sent;
  }

  migrateByClient(fault: FaultPlan, draw: Draw): boolean {
    const { client } = this.client(fault);
    if (client.isSuspended) return false;
    const to = draw.chance(0.4) ? undefined : this.other(fault, client.session.serverName);
    let begun = false;
    client.do((session, now) => {
      const cause = draw.chance(0.8) ? Cause.Application : Cause.AddressChanged;
      begun = session.migrate(now, {
        cause,
        to: to === undefined ? undefined : this.#simulation.address(to),
      });
    });
    return begun;
  }

  #triggerOverStandby(fault: FaultPlan, draw: Draw): boolean {
    const { world } = this.#simulation;
    const { client } = this.client(fault);
    for (const server of world.servers.values()) {
      if (!server.isAlive || server.isSuspended || server.address.name === client.session.serverName)
        continue;
      const to = draw.chance(0.5) ? server.address.name : this.other(fault, client.session.serverName);
      if (to === undefined) continue;
      let sent = false;
      server.inside(() => {
        sent = server.node.trigger(server.now, client.session.sessionId, this.#simulation.address(to));
      });
      if (sent) return true;
    }
    return false;
  }

  /** A TRIGGER came to a client: it comes again, if a fault says so. */
  triggerArrives(client: ClientApplication, frame: Frame<'trigger'>): void {
    for (const repeat of this.#repeats.splice(0)) {
      if (repeat.client !== client) {
        this.#repeats.push(repeat);
        continue;
      }
      client.client.after(repeat.afterMs, () => {
        if (client.client.closed) return;
        client.client.session.handleTrigger(client.client.now, frame);
        this.count(repeat.fault.kind);
      });
    }
  }

  #triggerAgain(fault: FaultPlan, draw: Draw, afterMs: number): boolean {
    this.#repeats.push({ client: this.client(fault), fault, afterMs });
    this.trigger(fault, draw);
    return false; // it counts when it comes
  }

  // --- The cluster ----------------------------------------------------------------------------------------------

  /** Itself and its members, as a server's settings say. */
  #memberAddresses(self: string): ReturnType<Simulation['address']>[] {
    const names = new Set([self, ...this.#members]);
    return [...names].map((name) => this.#simulation.address(name));
  }

  #tellMembers(): void {
    for (const server of this.#simulation.world.servers.values())
      server.inside(() => server.node.setServers(server.now, this.#memberAddresses(server.address.name)));
  }

  #leave(fault: FaultPlan): boolean {
    const name = this.server(fault)?.address.name;
    if (name === undefined || this.#members.size < 2 || !this.#members.delete(name)) return false;
    this.#tellMembers();
    this.#later(fault, () => {
      this.#members.add(name);
      this.#tellMembers();
    });
    return true;
  }

  #join(): boolean {
    const name = this.#simulation.plan.servers.at(-1)?.name;
    if (name === undefined || this.#members.has(name)) return false;
    this.#members.add(name);
    this.#start(name);
    this.#tellMembers();
    return true;
  }

  #drain(fault: FaultPlan): boolean {
    const server = this.server(fault);
    if (!server?.isAlive || server.isSuspended || server.node.isDraining) return false;
    server.inside(() => {
      server.node.setDraining(server.now, true);
      for (const session of [...server.node.sessions]) server.node.migrate(server.now, session, undefined);
    });
    this.#later(fault, () => {
      server.inside(() => server.node.setDraining(server.now, false));
    });
    return true;
  }

  /** Each server seals with another key from some moment on; not all at the same one. */
  #rotateKeys(fault: FaultPlan, draw: Draw): boolean {
    const key = Uint8Array.from({ length: 32 }, () => draw.whole(0, 255));
    for (const [name, ring] of this.#rings) {
      this.#simulation.world.scheduler.after(draw.between(0, fault.lastsMs), () => {
        ring.rotate(key);
        const server = this.#simulation.world.servers.get(name);
        server?.inside(() => server.node.handleKeyRotation(server.now));
      });
    }
    return true;
  }

  #jumpClock(fault: FaultPlan, draw: Draw): boolean {
    const name = this.server(fault)?.address.name;
    const clock = name === undefined ? undefined : this.#simulation.clocks.get(name);
    if (!clock) return false;
    clock.wallSkewMs += draw.between(-20_000, 20_000);
    return true;
  }

  #pingPeer(fault: FaultPlan, draw: Draw): boolean {
    const server = this.server(fault);
    const to = server && this.other(fault, server.address.name);
    if (!server?.isAlive || server.isSuspended || to === undefined) return false;
    const ping = encodePeerFrame('peerPing', { token: draw.whole(0, 1000) });
    this.#simulation.world.sendPeer(server, this.#simulation.address(to), ping);
    return true;
  }

  // --- All ------------------------------------------------------------------------------------------------------

  readonly #actions: Readonly<Record<FaultKind, Action>> = {
    crash: (fault) => this.crash(this.server(fault), false, fault),
    'crash of a machine': (fault) => this.crash(this.server(fault), true, fault),
    'crash of all servers': (fault) => {
      const servers = [...this.#simulation.world.servers.values()];
      return servers.map((server) => this.crash(server, false, fault)).includes(true);
    },
    stop: (fault) => this.stop(this.server(fault), fault),
    zombie: (fault) => this.#zombie(fault),
    'stop of a client': (fault) => {
      const { client } = this.client(fault);
      if (client.isSuspended || client.closed) return false;
      client.suspend();
      this.#later(fault, () => client.resume());
      return true;
    },
    'carrier cut': (fault, draw) => this.#onPipe(fault, draw, (pipe) => pipe.cut()),
    'carrier lost at the client': (fault, draw) =>
      this.#onPipe(fault, draw, (pipe) => pipe.breakAt(0, draw.chance(0.5))),
    'carrier lost at the server': (fault, draw) =>
      this.#onPipe(fault, draw, (pipe) => pipe.breakAt(1, draw.chance(0.5))),
    'carrier cut at a byte': (fault, draw) =>
      this.#onPipe(fault, draw, (pipe) => {
        const end = draw.chance(0.5) ? 0 : 1;
        pipe.cutAfter[end] = pipe.sent(end) + draw.magnitude(1, 5000) - 1;
      }),
    'partition from a client': (fault) => this.#splitClient(fault, 'both'),
    'one-way partition from a client': (fault, draw) =>
      this.#splitClient(fault, draw.chance(0.5) ? 'there' : 'back'),
    'partition between servers': (fault) => this.#splitServers(fault, 'both'),
    'one-way partition between servers': (fault, draw) =>
      this.#splitServers(fault, draw.chance(0.5) ? 'there' : 'back'),
    'peer link broken': (fault) => {
      const server = this.server(fault);
      const to = server && this.other(fault, server.address.name);
      if (!server || to === undefined) return false;
      this.#simulation.world.breakPeerLink(server.address.name, to);
      return true;
    },
    delay: (fault, draw) => {
      const client = this.client(fault).plan.name;
      const server = this.server(fault)?.address.name;
      const peer = server !== undefined && draw.chance(0.4) ? this.other(fault, server) : client;
      if (server === undefined || peer === undefined) return false;
      const slow = {
        from: draw.chance(0.5) ? peer : server,
        to: '',
        extraMs: draw.magnitude(1, MAX_DELAY_MS),
      };
      const both = { ...slow, to: slow.from === peer ? server : peer };
      this.#slow.add(both);
      this.#later(fault, () => this.#slow.delete(both));
      return true;
    },
    reordering: (fault, draw) => {
      this.#reordering.add(draw);
      this.#later(fault, () => this.#reordering.delete(draw));
      return true;
    },
    'origin reachable by the client alone': (fault, draw) => this.isolateOrigin(fault, draw),
    trigger: (fault, draw) => this.trigger(fault, draw),
    'trigger twice': (fault, draw) =>
      this.#triggerAgain(fault, draw, draw.chance(0.5) ? 0 : draw.between(0, 5)),
    'trigger late': (fault, draw) => this.#triggerAgain(fault, draw, fault.lastsMs),
    'trigger over a standby': (fault, draw) => this.#triggerOverStandby(fault, draw),
    'two triggers at once': (fault, draw) => {
      const first = this.trigger(fault, draw);
      const another = { ...fault, other: fault.other + 1 };
      const second = this.#triggerOverStandby(another, draw) || this.migrateByClient(another, draw);
      return first && second;
    },
    'client migrates': (fault, draw) => this.migrateByClient(fault, draw),
    'crash of the origin at a step': () => false,
    'crash of the destination at a step': () => false,
    'stop of the destination at a step': () => false,
    'carrier cut at a step': () => false,
    'attach abandoned at a step': () => false,
    drain: (fault) => this.#drain(fault),
    'member leaves': (fault) => this.#leave(fault),
    'member joins': () => this.#join(),
    'keys rotate': (fault, draw) => this.#rotateKeys(fault, draw),
    'clock jumps': (fault, draw) => this.#jumpClock(fault, draw),
    'peer ping': (fault, draw) => this.#pingPeer(fault, draw),
    standby: (fault) => {
      const { client } = this.client(fault);
      const to = this.other(fault, client.session.serverName);
      if (client.closed || client.isSuspended || to === undefined) return false;
      client.standby(to);
      return true;
    },
    'garbage from a stranger': (fault, draw) => this.#stranger(fault, draw, 'garbage'),
    'replay by a stranger': (fault, draw) => this.#stranger(fault, draw, 'replay'),
  };

  #splitClient(fault: FaultPlan, way: 'both' | 'there' | 'back'): boolean {
    const server = this.server(fault)?.address.name;
    if (server === undefined) return false;
    this.#partition(this.client(fault).plan.name, server, fault, way);
    return true;
  }

  #splitServers(fault: FaultPlan, way: 'both' | 'there' | 'back'): boolean {
    const server = this.server(fault)?.address.name;
    const to = server === undefined ? undefined : this.other(fault, server);
    if (server === undefined || to === undefined) return false;
    this.#partition(server, to, fault, way);
    return true;
  }

  /** No other server reaches the one that has the session, and it is to move. */
  isolateOrigin(fault: FaultPlan, draw: Draw): boolean {
    const server = this.#simulation.serving(this.client(fault));
    if (!server) return false;
    this.#cutServersOff(fault, server.address.name);
    return this.trigger(fault, draw) || this.migrateByClient(fault, draw);
  }

  #stranger(fault: FaultPlan, draw: Draw, what: 'garbage' | 'replay'): boolean {
    const server = this.server(fault);
    if (!server?.isAlive) return false;
    return new Stranger(this.#simulation, draw)[what](server);
  }

  // --- The end of all faults ------------------------------------------------------------------------------------

  heal(): void {
    const { world, plan, clients, steps } = this.#simulation;
    this.#isHealed = true;
    this.disturbances.heal(world.now);
    this.#simulation.narrate?.('THE WORLD HEALS');
    steps.disarm();
    this.#slow.clear();
    this.#reordering.clear();
    this.#repeats.length = 0;
    world.heal();
    for (const end of this.#heldUp) end();
    for (const { name } of plan.servers) this.#members.add(name);
    for (const { name } of plan.servers) this.#start(name);
    for (const server of world.servers.values()) if (server.isSuspended) server.resume();
    for (const { client } of clients) if (client.isSuspended) client.resume();
    this.#tellMembers();
    for (const server of world.servers.values())
      server.inside(() => server.node.setDraining(server.now, false));
  }
}
