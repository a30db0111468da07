/** What must hold at every server, at every moment: I5, I7, I8, its limits, and what its applications hear (I1, I6). */
import {
  DEFAULT_SERVER_LIMITS,
  type RestartPoint,
  type ServerEvent,
  type ServerSession,
} from '../../packages/godwit/src/session/index.ts';
import type { DataPiece, Frame } from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from '../world/pipe.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { CarrierOf } from '../world/world.ts';
import type { ClientApplication } from './client-application.ts';
import type { ServerPlan } from './plan.ts';
import type { AppState, ServerApplication } from './server-application.ts';
import type { Simulation } from './simulation.ts';
import { STRANGER } from './strangers.ts';

/** A sealed body is longer than the state by so many bytes. */
const SEAL_OVERHEAD_BYTES = 28;

export class ServerChecks {
  readonly #simulation: Simulation;
  /** Which process was confirmed for a session and an epoch. */
  readonly #confirmed = new Map<string, VirtualServer>();
  /** The session on each carrier of each server. */
  readonly #sessions = new WeakMap<VirtualServer, Map<number, ServerSession>>();
  readonly #detaching = new Set<ServerSession>();
  /** Copies that the client went along with. */
  readonly #taken = new WeakSet<ServerSession>();
  readonly #strangePipes = new WeakSet<Pipe>();
  /** Sessions that strangers opened: they are nobody else's. */
  readonly #strangersSessions = new WeakSet<ServerSession>();
  /** What a stranger's bytes must not change: taken before they are handled. */
  #fingerprint: { readonly server: VirtualServer; readonly text: string } | undefined;

  /** The tail of a session that was handed over is as long as its origin allowed. */
  readonly #longestTailBytes: number;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#longestTailBytes = Math.max(
      ...simulation.plan.servers.map(
        ({ limits }) => limits.outputTailBytes ?? DEFAULT_SERVER_LIMITS.outputTailBytes,
      ),
    );
  }

  // --- Frames ---------------------------------------------------------------------------------------------------

  frameArrives(frame: Frame | DataPiece, from: string, server: VirtualServer, carrier: CarrierOf): void {
    if (from === STRANGER) {
      this.#strangePipes.add(carrier.pipe);
      this.#fingerprint ??= { server, text: this.#fingerprintOf(server) };
    }
    const session = this.#sessions.get(server)?.get(carrier.carrierId);
    if (session && frame.frame === 'detach') this.#detaching.add(session);
  }

  /** An origin that is frozen, or handed the session over, emits nothing for it (I5). */
  frameLeaves(name: string, server: VirtualServer, carrier: CarrierOf): void {
    if (name !== 'data' && name !== 'fin' && name !== 'snapshot') return;
    const session = this.#sessions.get(server)?.get(carrier.carrierId);
    if (!session) return;
    // What was queued when it ended, ticket 0 for one, may still go out with it.
    const isSilent =
      (session.state === 'ended' && name !== 'snapshot') ||
      (session.state === 'frozen' && !this.#detaching.has(session));
    this.#simulation.violations.expect(
      !isSilent,
      'I5',
      () => `${server.address.name} sends ${name.toUpperCase()} for a session that is ${session.state} there`,
    );
  }

  // --- Events ---------------------------------------------------------------------------------------------------

  event(server: VirtualServer, event: ServerEvent): void {
    switch (event.type) {
      case 'attached': {
        const sessions = this.#sessions.get(server) ?? new Map<number, ServerSession>();
        sessions.set(event.carrierId, event.session);
        this.#sessions.set(server, sessions);
        return;
      }
      case 'session':
        if (this.#comesFromStranger(server, event.session)) this.#strangersSessions.add(event.session);
        // A new one is confirmed by its OPEN.
        if (!event.restart) {
          this.#confirmedAt(server, event.session);
          this.#taken.add(event.session);
        }
        return;
      case 'thawed':
        this.#detaching.delete(event.session);
        return;
      case 'confirmed':
        this.#wasTaken(server, event.session);
        this.#confirmedAt(server, event.session);
        return;
      case 'unprotected':
        this.#unprotected(event.session);
        return;
      case 'closed':
        this.#closed(server, event.session, event.failure?.code);
        return;
      default:
    }
  }

  #comesFromStranger(server: VirtualServer, session: ServerSession): boolean {
    const { carrierId } = session;
    const pipe = carrierId === undefined ? undefined : server.pipe(carrierId);
    return pipe !== undefined && this.#strangePipes.has(pipe);
  }

  /** Wherever the session could go, a stranger has opened one of the same id: that keeps it out (protocol.md §16). */
  isShutOut(sessionId: string): boolean {
    return [...this.#simulation.world.servers.values()].every((server) => {
      const session = server.node.session(sessionId);
      const isTaken = session !== undefined && this.#strangersSessions.has(session);
      return !server.isAlive || isTaken || !this.#hasRoomFor(sessionId, server);
    });
  }

  #hasRoomFor(sessionId: string, server: VirtualServer): boolean {
    const { maxStateBytes = Infinity } = this.#simulation.planOf(server.address.name)?.limits ?? {};
    return (this.#simulation.clientOf(sessionId)?.plan.application.stateBytes ?? 0) <= maxStateBytes;
  }

  #confirmedAt(server: VirtualServer, session: ServerSession): void {
    if (this.#strangersSessions.has(session)) return;
    const key = `${session.id} ${session.epoch}`;
    const other = this.#confirmed.get(key);
    this.#confirmed.set(key, server);
    this.#simulation.fence?.confirmedAt(server.address.name, session);
    this.#simulation.violations.expect(
      other === undefined || other === server,
      'I5',
      () =>
        `${other?.address.name} and ${server.address.name} were both confirmed for epoch ${session.epoch}`,
    );
  }

  /** A server is confirmed for an epoch only if the client went along with it under that epoch. */
  #wasTaken(server: VirtualServer, session: ServerSession): void {
    const client = this.#simulation.clientOf(session.id);
    if (!client || this.#strangersSessions.has(session)) return;
    const taken = this.#simulation.checks.of(client).serverOf(session.epoch);
    // A resume that came to nothing changes nothing: the client left this very copy, under an earlier epoch.
    const wasTaken = taken === server.address.name || this.#taken.has(session);
    if (wasTaken) this.#taken.add(session);
    this.#simulation.violations.expect(
      wasTaken,
      'I5',
      () =>
        `${server.address.name} is confirmed for epoch ${session.epoch} of ${client.plan.name}, ` +
        `which lived at ${taken ?? 'no server'} then`,
    );
  }

  /** Protection degrades only where it must: never for an application that gives its state when asked, if it fits. */
  #unprotected(session: ServerSession): void {
    const client = this.#simulation.clientOf(session.id);
    if (!client) return;
    this.#simulation.coverage.count('workload', 'unprotected');
    const { exports, stateBytes } = client.plan.application;
    const fits =
      stateBytes + SEAL_OVERHEAD_BYTES <= (client.plan.limits.maxBodyBytes ?? Infinity) &&
      this.#simulation.plan.servers.every(({ limits }) => stateBytes <= (limits.maxStateBytes ?? Infinity));
    this.#simulation.violations.expect(
      !fits || (exports !== 'asked' && exports !== 'often'),
      'I7',
      () => `${client.plan.name} is unprotected, though its application exports whenever it is asked`,
    );
  }

  #closed(server: VirtualServer, session: ServerSession, code: string | undefined): void {
    const { history, violations, checks } = this.#simulation;
    const client = this.#simulation.clientOf(session.id);
    const application = server.apps.get(session) as ServerApplication | undefined;
    if (!client || !application || history.surviving(session.id) !== application.execution) return;
    checks.of(client).losesCopy(server, code);
    if (code !== undefined || application.execution.ending !== undefined) return;
    // In order: it must have had all of the input. It is told only now, and reads the rest.
    const written = client.client.session.streams.send;
    this.#simulation.world.scheduler.after(0, () => {
      if (!server.isAlive || server.isSuspended) return;
      violations.expect(
        application.consumed === written.end && application.sawEnd,
        'I1',
        () =>
          `${client.plan.name} ended in order, and its application at ${server.address.name} had consumed ` +
          `${application.consumed} of ${written.end} bytes, ${application.sawEnd ? 'with' : 'without'} their end`,
      );
    });
  }

  /** An application begins from a restart point: its state must be that of this very point. */
  restored(client: ClientApplication, restart: RestartPoint, state: AppState | undefined): void {
    this.#simulation.violations.expect(
      restart.input === (state?.input ?? 0) && restart.output === (state?.output ?? 0),
      'I1',
      () =>
        `${client.plan.name} is restored at (${restart.input}, ${restart.output}) with the state of ` +
        `(${state?.input ?? 0}, ${state?.output ?? 0})`,
    );
  }

  // --- After everything that happens ----------------------------------------------------------------------------

  settled(server: VirtualServer): void {
    if (this.#fingerprint?.server === server) {
      const { text } = this.#fingerprint;
      this.#fingerprint = undefined;
      const after = this.#fingerprintOf(server);
      this.#simulation.violations.expect(
        after === text,
        'I8',
        () => `a stranger's bytes changed ${server.address.name} from "${text}" to "${after}"`,
      );
    }
    const plan = this.#simulation.planOf(server.address.name);
    if (plan) this.#limits(server, plan);
    this.#keepsWhatIsWanted(server);
  }

  /** A client can come back to the server that it has its session from, whenever it loses its carrier (I6). */
  #keepsWhatIsWanted(server: VirtualServer): void {
    for (const session of server.node.sessions) {
      const client = this.#simulation.clientOf(session.id)?.client.session;
      if (client?.epoch !== session.epoch || client.serverName !== server.address.name) continue;
      if (client.state === 'closed' || session.state === 'ended' || this.#strangersSessions.has(session))
        continue;
      const { send, receive } = session.streams;
      this.#simulation.violations.expect(
        send.retainedFrom <= client.streams.receive.received,
        'I6',
        () =>
          `${server.address.name} has output from ${send.retainedFrom}, its client has it up to ` +
          String(client.streams.receive.received),
      );
      this.#simulation.violations.expect(
        client.streams.send.retainedFrom <= receive.received,
        'I6',
        () =>
          `${server.address.name} has input up to ${receive.received}, its client keeps it from ` +
          String(client.streams.send.retainedFrom),
      );
    }
  }

  #limits(server: VirtualServer, { limits }: ServerPlan): void {
    const { name } = server.address;
    const { receiveWindowBytes, inputLogBytes } = { ...DEFAULT_SERVER_LIMITS, ...limits };
    const outputTailBytes = this.#longestTailBytes;
    let heldBytes = 0;
    for (const session of server.node.sessions) {
      heldBytes += session.heldBytes;
      const { receive, send } = session.streams;
      // A hand-over brings the log along, which needs no credit.
      this.#limit(name, 'input held', receive.heldBytes, receiveWindowBytes + inputLogBytes);
      const write = this.#simulation.clientOf(session.id)?.plan.application.writeBytes ?? 0;
      this.#limit(name, 'output kept', send.retainedBytes, outputTailBytes + write);
    }
    const { population } = server.node;
    this.#simulation.violations.expect(
      population.heldBytes === heldBytes,
      'limits',
      () => `${name} counts ${population.heldBytes} bytes of memory, and its sessions hold ${heldBytes}`,
    );
    this.#simulation.violations.expect(
      population.places === population.sessions,
      'limits',
      () => `${name} has ${population.sessions} sessions, and ${population.places} places are taken`,
    );
    this.#limit(name, 'sessions', population.sessions, limits.maxSessions ?? Infinity);
    this.#limit(name, 'attaches', population.attaches, limits.maxRestoring ?? Infinity);
    this.#limit(name, 'tombstones', population.tombstones, limits.maxTombstones ?? Infinity);
    const { maxUnauthenticatedCarriers = Infinity } = limits;
    this.#limit(name, 'new carriers', population.unauthenticatedCarriers, maxUnauthenticatedCarriers);
  }

  #limit(who: string, what: string, count: number, limit: number): void {
    this.#simulation.violations.expect(
      count <= limit,
      'limits',
      () => `${who}: ${what}: ${count}, over ${limit}`,
    );
  }

  /** Everything a stranger could want to change of the sessions of a server. */
  #fingerprintOf(server: VirtualServer): string {
    return [...server.node.sessions]
      .filter((session) => session.isEstablished && !this.#strangersSessions.has(session))
      .map((session) => {
        const { id, state, epoch, highestEpoch, carrierId, produced, received, snapshotNumber, streams } =
          session;
        const numbers = [epoch, highestEpoch, carrierId, produced, received, snapshotNumber];
        return `${id.slice(0, 6)} ${state} ${numbers.join(' ')} ${streams.receive.received} ${streams.send.acknowledged}`;
      })
      .join('; ');
  }
}
