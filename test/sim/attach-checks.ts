/**
 * Who may have a session, and when (I2, I4, I5, I6): what is stale changes nothing, what is frozen stays so until its
 * client comes back, what is not confirmed writes no ticket, and one TRIGGER moves a session once.
 */
import { claimedSessionId } from '../../packages/godwit/src/session/ticket.ts';
import {
  DEFAULT_SERVER_LIMITS,
  type ClientEvent,
  type ServerEvent,
  type ServerSession,
} from '../../packages/godwit/src/session/index.ts';
import {
  Source,
  comparePoints,
  decodePayload,
  toHex,
  type DataPiece,
  type Frame,
  type PeerFrame,
} from '../../packages/godwit/src/wire/index.ts';
import type { VirtualClient } from '../world/virtual-client.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { CarrierOf, WorldObserver } from '../world/world.ts';
import type { Simulation } from './simulation.ts';
import type { CheckerName } from './violations.ts';

/** Something that must not have changed once its server has handled what came. */
interface Expectation {
  readonly server: VirtualServer;
  readonly session: ServerSession;
  readonly what: string;
  readonly atMs: number;
  /** What is left of it to be looked at, before. */
  readonly before: string;
  readonly look: (session: ServerSession) => string;
}

/** FROZEN takes so long at most, in ms, where the network carries it at all. */
const TOLD_WITHIN_MS = 950;

/** TRIGGERs that a client may follow, and how many it has. */
interface TriggerCount {
  readonly seen: Set<string>;
  allowed: number;
  followed: number;
}

export class AttachChecks implements WorldObserver {
  readonly #simulation: Simulation;
  readonly #expectations: Expectation[] = [];
  /** The newest epoch that each session attached under. */
  readonly #epochs = new WeakMap<ServerSession, number>();
  /** Those that froze, and under which epoch they lived then. */
  readonly #frozen = new WeakMap<ServerSession, { readonly epoch: number; readonly atMs: number }>();
  readonly #sessions = new WeakMap<VirtualServer, Map<number, ServerSession>>();
  readonly #triggers = new WeakMap<VirtualClient, TriggerCount>();
  /** The attach that each client asked for under each epoch, and by which server it was heard. */
  readonly #asked = new Map<string, string>();
  readonly #heard = new Set<string>();
  readonly #ended = new WeakMap<VirtualServer, Set<string>>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  #expect(holds: boolean, checker: CheckerName, message: () => string): void {
    if (!holds) this.#simulation.violations.report(checker, message());
  }

  // --- What is stale -------------------------------------------------------------------------------------------

  frameArrives(frame: Frame | DataPiece, from: string, to: string, carrier: CarrierOf): void {
    if (frame.frame === 'migrate') this.#migrateArrives(frame, from, to, carrier);
    else if (frame.frame === 'detach') this.#detachArrives(frame, from, to, carrier);
    else if (frame.frame === 'accept') this.#acceptArrives(frame, to);
    else if (frame.frame === 'trigger') this.#triggerArrives(frame, to);
  }

  #migrateArrives(frame: Frame<'migrate'>, from: string, to: string, carrier: CarrierOf): void {
    const server = this.#simulation.world.server(to);
    const session = sessionOf(server, frame);
    const sessionId = toHex(claimedSessionId(frame.head));
    this.#heard.add(`${sessionId} ${frame.epoch} ${to}`);
    if (this.#simulation.clientNamed(from)) {
      const key = `${sessionId} ${frame.epoch}`;
      const attachId = toHex(frame.attachId);
      this.#expect(
        (this.#asked.get(key) ?? attachId) === attachId,
        'I5',
        () => `${from} asked for two attaches under epoch ${frame.epoch}`,
      );
      this.#asked.set(key, attachId);
    }
    // Refused in-band, it costs the session its carrier.
    if (!session || session.carrierId === carrier.carrierId) return;
    if (frame.epoch <= session.highestEpoch)
      this.#expectUnchanged(server, session, `a MIGRATE of ${from} with the old epoch ${frame.epoch}`);
  }

  #detachArrives(frame: Frame<'detach'>, from: string, to: string, carrier: CarrierOf): void {
    const server = this.#simulation.world.server(to);
    const session = this.#sessions.get(server)?.get(carrier.carrierId);
    if (session && frame.epoch <= session.highestEpoch)
      this.#expectUnchanged(server, session, `a DETACH of ${from} with the old epoch ${frame.epoch}`);
  }

  peerFrameArrives(frame: PeerFrame, from: string, to: string): void {
    const server = this.#simulation.world.server(to);
    if (frame.frame === 'state') {
      const limit =
        this.#simulation.planOf(from)?.limits.inputLogBytes ?? DEFAULT_SERVER_LIMITS.inputLogBytes;
      this.#expect(
        frame.logBytes <= limit,
        'limits',
        () => `${from} hands over a log of ${frame.logBytes} bytes, over ${limit}`,
      );
    }
    if (frame.frame === 'pull' || frame.frame === 'release') {
      const migrate = decodePayload('migrate', frame.migrate);
      const session = server.node.session(toHex(frame.sessionId));
      if (session && migrate.epoch <= session.highestEpoch)
        this.#expectUnchanged(
          server,
          session,
          `a ${frame.frame.toUpperCase()} of ${from} with the old epoch ${migrate.epoch}`,
        );
      else if (session && !this.#heard.has(`${session.id} ${migrate.epoch} ${from}`))
        this.#expectUnchanged(
          server,
          session,
          `a ${frame.frame.toUpperCase()} of ${from}, where no client asked for that`,
        );
    } else if (frame.frame === 'confirmed' && this.#simulation.plan.clients.length === 1) {
      const session = server.node.session(toHex(frame.sessionId));
      if (
        session?.isFrozen &&
        frame.epoch === session.highestEpoch &&
        server.node.population.handovers > 0 &&
        this.#heard.has(`${session.id} ${frame.epoch} ${from}`)
      )
        this.#expectations.push({
          server,
          session,
          what: `a CONFIRMED of ${from}`,
          atMs: this.#simulation.world.now,
          before: 'ended',
          look: ({ state }) => state,
        });
    } else if (frame.frame === 'abort' && this.#simulation.plan.clients.length === 1) {
      const session = server.node.session(toHex(frame.sessionId));
      if (session?.isFrozen && frame.epoch === session.highestEpoch && server.node.population.handovers > 0)
        this.#expectations.push({
          server,
          session,
          what: `an ABORT of ${from}`,
          atMs: this.#simulation.world.now,
          before: '0 hand-overs',
          look: () => `${server.node.population.handovers} hand-overs`,
        });
    }
  }

  #expectUnchanged(server: VirtualServer, session: ServerSession, what: string): void {
    const atMs = this.#simulation.world.now;
    this.#expectations.push({ server, session, what, atMs, before: standing(session), look: standing });
  }

  serverSettled(server: VirtualServer): void {
    if (this.#expectations.length === 0) return;
    for (const expectation of this.#expectations.splice(0)) {
      if (expectation.server !== server) {
        this.#expectations.push(expectation);
        continue;
      }
      const { session, what, atMs, before, look } = expectation;
      // One that was stopped in that moment handles it later, with whatever else came meanwhile.
      if (!server.isAlive || atMs < this.#simulation.world.now) continue;
      const after = look(session);
      this.#expect(
        after === before,
        'I5',
        () => `${what} leaves ${server.address.name} with ${after}, not with ${before}`,
      );
    }
  }

  // --- Where it lives ------------------------------------------------------------------------------------------

  serverEvent(server: VirtualServer, event: ServerEvent): void {
    switch (event.type) {
      case 'session':
        this.#expect(
          // While its client lives, the copy may be one that the client has left, and that its application let go of.
          this.#simulation.clientOf(event.session.id)?.client.closed === undefined ||
            this.#ended.get(server)?.has(event.session.id) !== true,
          'I4',
          () => `${server.address.name} brings back a session that ended in order there`,
        );
        return;
      case 'closed':
        if (event.failure === undefined && event.session.isConfirmed)
          this.#endedInOrder(server, event.session);
        return;
      case 'attached': {
        const { session, carrierId } = event;
        const carriers = this.#sessions.get(server) ?? new Map<number, ServerSession>();
        carriers.set(carrierId, session);
        this.#sessions.set(server, carriers);
        const last = this.#epochs.get(session);
        this.#epochs.set(session, session.epoch);
        this.#expect(
          last === undefined || session.epoch > last,
          'I2',
          () => `${server.address.name} attached a session under epoch ${session.epoch}, after ${last}`,
        );
        return;
      }
      case 'frozen':
        this.#frozen.set(event.session, { epoch: event.session.epoch, atMs: this.#simulation.world.now });
        return;
      case 'thawed': {
        const at = this.#frozen.get(event.session);
        this.#frozen.delete(event.session);
        this.#expect(
          at === undefined || event.session.epoch > at.epoch,
          'I5',
          () => `a session that ${server.address.name} froze goes on there, and its client did not come back`,
        );
        return;
      }
      case 'moved':
        this.#moved(server, event.session);
        return;
      default:
    }
  }

  /** It is remembered for as long as a ticket lives, if there is room. */
  #endedInOrder(server: VirtualServer, session: ServerSession): void {
    const { plan } = this.#simulation;
    if (!plan.isPatient || this.#simulation.planOf(server.address.name)?.limits.maxTombstones !== undefined)
      return;
    const ended = this.#ended.get(server) ?? new Set();
    this.#ended.set(server, ended.add(session.id));
  }

  /** A server lets go of a session: its client must have taken the ACCEPT of another. */
  #moved(server: VirtualServer, session: ServerSession): void {
    const name = server.address.name;
    const client = this.#simulation.clientOf(session.id)?.client;
    // A client that went back to the server it came from, in-band, reports no migration.
    const isBack = client && client.session.serverName !== name && client.session.epoch > session.epoch;
    // What it never confirmed there, and gave up for a later attach, is no loss.
    const isAbandoned = !session.isConfirmed && this.#hasAskedSince(session);
    const isElsewhere =
      isBack ||
      isAbandoned ||
      client?.migrations.some(({ to, epoch }) => to !== name && epoch > session.epoch);
    this.#expect(
      isElsewhere === true,
      'I5',
      () =>
        `${name} let go of a session of epoch ${session.epoch}, and its client has gone nowhere else since`,
    );
  }

  #hasAskedSince({ id, epoch }: ServerSession): boolean {
    const epochs = [...this.#asked.keys()].map((key) => key.split(' '));
    return epochs.some(([sessionId, asked]) => sessionId === id && Number(asked) > epoch);
  }

  /** A frame leaves a server. */
  frameLeaves(name: string, from: string, carrier: CarrierOf): void {
    if (name !== 'snapshot') return;
    const server = this.#simulation.world.servers.get(from);
    const session = server && this.#sessions.get(server)?.get(carrier.carrierId);
    this.#expect(
      session?.state !== 'offered',
      'I5',
      () => `${from} sends a ticket of a session that its client has not confirmed there`,
    );
  }

  // --- What a client follows -----------------------------------------------------------------------------------

  /** A server that keeps to the rules never offers what its client cannot go on from. */
  #acceptArrives(frame: Frame<'accept'>, to: string): void {
    const application = this.#simulation.clientNamed(to);
    if (!application) return;
    const { session } = application.client;
    const { send, receive, tickets } = session.streams;
    const { held } = tickets;
    if (!session.isMigrating || !session.isProtected || !held) return;
    const point = { epoch: frame.restartEpoch, k: frame.restartK };
    // The client may have got on since it asked: then it asks again.
    if (frame.source !== Source.Resume && comparePoints(point, held) < 0) return;
    this.#expect(
      frame.inputStart >= send.retainedFrom && frame.inputStart <= send.next,
      'I3',
      () =>
        `${to} is asked for its input from ${frame.inputStart}, and has ${send.retainedFrom} … ${send.next}`,
    );
    this.#expect(
      frame.outputStart <= receive.received,
      'I3',
      () => `${to} is offered output from ${frame.outputStart}, and has it up to ${receive.received}`,
    );
  }

  #triggerArrives(frame: Frame<'trigger'>, to: string): void {
    const application = this.#simulation.clientNamed(to);
    if (!application) return;
    const { client } = application;
    const count = this.#countOf(client);
    const name = `${frame.epoch} ${frame.counter}`;
    if (frame.epoch !== client.session.epoch || count.seen.has(name)) return;
    count.seen.add(name);
    count.allowed += 1;
  }

  #countOf(client: VirtualClient): TriggerCount {
    let count = this.#triggers.get(client);
    if (!count) {
      count = { seen: new Set(), allowed: 0, followed: 0 };
      this.#triggers.set(client, count);
    }
    return count;
  }

  clientEvent(client: VirtualClient, event: ClientEvent): void {
    if (event.type !== 'migrating') return;
    if (event.cause === 'stall') this.#stalled(client, event.from);
    if (event.cause !== 'origin' && event.cause !== 'other-server') return;
    const count = this.#countOf(client);
    count.followed += 1;
    this.#expect(
      count.followed <= count.allowed,
      'I5',
      () =>
        `${client.name} followed ${count.followed} TRIGGERs, of which ${count.allowed} were for it to follow`,
    );
  }

  /** Whoever has a carrier to a server that froze its session was told so, and need not wait for nothing to come. */
  #stalled(client: VirtualClient, from: string): void {
    const { world } = this.#simulation;
    const server = world.servers.get(from);
    const session = server?.node.session(client.session.id);
    if (!server?.isAlive || server.isSuspended || !session?.isFrozen) return;
    if (world.isCut(from, client.name) || world.isCut(client.name, from)) return;
    const pipe = session.carrierId === undefined ? undefined : server.pipe(session.carrierId);
    const frozen = this.#frozen.get(session);
    if (!pipe || pipe.isClosed || pipe.blackhole.includes(true) || !frozen) return;
    this.#expect(
      world.now - frozen.atMs < TOLD_WITHIN_MS,
      'I6',
      () => `${client.name} stalls at ${from}, which froze its session ${TOLD_WITHIN_MS} ms ago and more`,
    );
  }
}

function sessionOf(server: VirtualServer, frame: Frame<'migrate'>): ServerSession | undefined {
  return server.node.session(toHex(claimedSessionId(frame.head)));
}

/** Where a session stands, as far as attaches and hand-overs go. */
function standing(session: ServerSession): string {
  const carrier = session.carrierId === undefined ? 'no carrier' : `carrier ${session.carrierId}`;
  return `a session that is ${session.state} at epoch ${session.epoch} of ${session.highestEpoch} on ${carrier}`;
}
