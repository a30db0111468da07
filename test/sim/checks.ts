/** The checkers: one for each invariant, fed with everything that happens (docs/protocol.md §15). */
import type {
  ClientEvent,
  RestartPoint,
  ServerEvent,
  ServerSession,
} from '../../packages/godwit/src/session/index.ts';
import { Delivery, comparePoints, type DataPiece, type Frame } from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from '../world/pipe.ts';
import type { VirtualClient } from '../world/virtual-client.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { CarrierOf } from '../world/world.ts';
import { leftovers } from '../world/leaks.ts';
import type { ClientApplication } from './client-application.ts';
import { compareFrom } from './content.ts';
import { objectionTo } from './endings.ts';
import type { AppState, ServerApplication } from './server-application.ts';
import type { Simulation } from './simulation.ts';
import { STRANGER } from './strangers.ts';
import type { CheckerName } from './violations.ts';

const KIB = 1024;

/** What an application may write at once, and so how far a buffer may go beyond its limit, in bytes. */
const LARGEST_WRITE_BYTES = 64 * KIB;

/** What is known of one client's session. */
interface Watch {
  /** The carrier each attach was accepted on, by epoch. */
  readonly carriers: Map<number, number>;
  readonly accepts: Map<number, Frame<'accept'>>;
  /** The epoch the client lives in, as far as was seen. */
  epoch: number;
  wasOpen: boolean;
  /** Before the frame that is being handled. */
  before:
    | {
        readonly carrierId: number;
        readonly frame: string;
        readonly received: number;
        readonly ticket: number;
      }
    | undefined;
  lostUnprotected: boolean;
}

export class Checks {
  readonly #simulation: Simulation;
  readonly #watches = new Map<VirtualClient, Watch>();
  /** Which process was confirmed for a session and an epoch. */
  readonly #confirmed = new Map<string, VirtualServer>();
  /** The session on each carrier of each server. */
  readonly #sessions = new WeakMap<VirtualServer, Map<number, ServerSession>>();
  readonly #detaching = new Set<ServerSession>();
  readonly #strange = new WeakSet<Pipe>();
  /** Sessions that strangers opened: they are nobody else's. */
  readonly #strangersSessions = new WeakSet<ServerSession>();
  /** What a stranger's bytes must not change: taken before they are handled. */
  #fingerprint: { readonly server: VirtualServer; readonly text: string } | undefined;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  #expect(holds: boolean, checker: CheckerName, message: () => string): void {
    if (!holds) this.#simulation.violations.report(checker, message());
  }

  #watch(client: VirtualClient): Watch {
    let watch = this.#watches.get(client);
    if (!watch) {
      watch = {
        carriers: new Map(),
        accepts: new Map(),
        epoch: 0,
        wasOpen: false,
        before: undefined,
        lostUnprotected: false,
      };
      this.#watches.set(client, watch);
    }
    return watch;
  }

  // --- Frames ---------------------------------------------------------------------------------------------------

  frameArrives(frame: Frame | DataPiece, from: string, to: string, carrier: CarrierOf): void {
    const application = this.#simulation.clientNamed(to);
    if (application) {
      this.#frameComes(application, frame, carrier.carrierId);
      return;
    }
    const server = this.#simulation.world.server(to);
    if (from === STRANGER) {
      this.#strange.add(carrier.pipe);
      this.#fingerprint ??= { server, text: this.#fingerprintOf(server) };
    }
    const session = this.#sessions.get(server)?.get(carrier.carrierId);
    if (session && frame.frame === 'detach') this.#detaching.add(session);
  }

  #frameComes(application: ClientApplication, frame: Frame | DataPiece, carrierId: number): void {
    const { client } = application;
    const watch = this.#watch(client);
    this.#frameHandled(application, watch);
    if (carrierId < 0) {
      if (frame.frame === 'trigger') this.#simulation.faults.triggerArrives(application, frame);
      return;
    }
    const { receive, tickets } = client.session.streams;
    watch.before = {
      carrierId,
      frame: frame.frame,
      received: receive.received,
      ticket: tickets.held?.k ?? -1,
    };
    if (frame.frame === 'accept') {
      watch.accepts.set(frame.epoch, frame);
      watch.carriers.set(frame.epoch, carrierId);
    } else if (frame.frame === 'support' && frame.keyShare.byteLength > 0)
      watch.carriers.set(frame.epoch, carrierId);
    else if (frame.frame === 'trigger') this.#simulation.faults.triggerArrives(application, frame);
  }

  /** The frame that came last has been handled by now. */
  #frameHandled(application: ClientApplication, watch: Watch): void {
    const { session } = application.client;
    if (session.state === 'attached' && session.epoch !== watch.epoch) this.#adopted(application, watch);
    const { before } = watch;
    watch.before = undefined;
    if (!before) return;
    const { receive, tickets } = session.streams;
    const hasChanged = receive.received > before.received || (tickets.held?.k ?? -1) > before.ticket;
    // Before SUPPORT, ticket 0 comes on the carrier of OPEN.
    if (!hasChanged || session.state === 'opening' || !watch.wasOpen) return;
    const current = watch.carriers.get(watch.epoch);
    this.#expect(
      current === before.carrierId,
      'I2',
      () =>
        `${application.plan.name} took ${before.frame.toUpperCase()} from carrier ${before.carrierId}, ` +
        `but epoch ${watch.epoch} lives on carrier ${current}`,
    );
  }

  /** The client goes on with another attach. */
  #adopted(application: ClientApplication, watch: Watch): void {
    const { history, coverage, plan } = this.#simulation;
    const { session } = application.client;
    watch.epoch = session.epoch;
    watch.wasOpen = true;
    watch.lostUnprotected = false;
    const accept = watch.accepts.get(session.epoch);
    if (!accept) {
      const opened = history.at(session.id, session.serverName);
      if (opened) history.survives(opened);
      return;
    }
    const source = ['resume', 'origin', 'ticket', 'store'][accept.source] ?? 'unknown';
    coverage.count('restores', `${plan.delivery === Delivery.Commit ? 'commit' : 'replay'} ${source}`);
    if (source === 'resume') return;
    const { held } = session.streams.tickets;
    const point = { epoch: accept.restartEpoch, k: accept.restartK };
    this.#expect(
      !held || comparePoints(point, held) >= 0,
      'I4',
      () =>
        `${application.plan.name} goes on at ${session.serverName} from (${point.epoch}, ${point.k}), ` +
        `but holds (${held?.epoch}, ${held?.k})`,
    );
    // A session that only has bytes left to deliver starts no application.
    const execution = history.at(session.id, session.serverName, session.epoch);
    if (execution)
      this.#expect(
        history.survives(execution),
        'I1',
        () =>
          `${application.plan.name} goes on at ${session.serverName} from a snapshot of a history it left`,
      );
  }

  frameLeaves(name: string, from: string, _to: string, carrier: CarrierOf): void {
    if (name !== 'data' && name !== 'fin' && name !== 'snapshot') return;
    const server = this.#simulation.world.servers.get(from);
    const session = server && this.#sessions.get(server)?.get(carrier.carrierId);
    if (!session) return;
    // What was queued when it ended, ticket 0 for one, may still go out with it.
    const isSilent =
      (session.state === 'ended' && name !== 'snapshot') ||
      (session.state === 'frozen' && !this.#detaching.has(session));
    this.#expect(
      !isSilent,
      'I5',
      () => `${from} sends ${name.toUpperCase()} for a session that is ${session.state} there`,
    );
  }

  // --- Events ---------------------------------------------------------------------------------------------------

  serverEvent(server: VirtualServer, event: ServerEvent): void {
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
        if (!event.restart) this.#confirmedAt(server, event.session);
        return;
      case 'thawed':
        this.#detaching.delete(event.session);
        return;
      case 'confirmed':
        this.#confirmedAt(server, event.session);
        return;
      case 'unprotected':
        this.#unprotected(event.session);
        return;
      case 'closed':
        this.#closedAt(server, event.session, event.failure?.code);
        return;
      default:
    }
  }

  #comesFromStranger(server: VirtualServer, session: ServerSession): boolean {
    const { carrierId } = session;
    const pipe = carrierId === undefined ? undefined : server.pipe(carrierId);
    return pipe !== undefined && this.#strange.has(pipe);
  }

  #confirmedAt(server: VirtualServer, session: ServerSession): void {
    if (this.#strangersSessions.has(session)) return;
    const key = `${session.id} ${session.epoch}`;
    const other = this.#confirmed.get(key);
    this.#confirmed.set(key, server);
    this.#expect(
      other === undefined || other === server,
      'I5',
      () =>
        `${other?.address.name} and ${server.address.name} were both confirmed for epoch ${session.epoch}`,
    );
  }

  /** Protection degrades only where it must: never for an application that gives its state when asked, if it fits. */
  #unprotected(session: ServerSession): void {
    const client = this.#simulation.clientOf(session.id);
    if (!client) return;
    this.#simulation.coverage.count('workload', 'unprotected');
    const { exports, stateBytes } = client.plan.application;
    const fits =
      stateBytes + 28 <= (client.plan.limits.maxBodyBytes ?? Infinity) && stateBytes <= session.maxStateBytes;
    this.#expect(
      !(fits && (exports === 'asked' || exports === 'often')),
      'I7',
      () => `${client.plan.name} is unprotected, though its application exports whenever it is asked`,
    );
  }

  #closedAt(server: VirtualServer, session: ServerSession, code: string | undefined): void {
    const client = this.#simulation.clientOf(session.id);
    const application = server.apps.get(session) as ServerApplication | undefined;
    if (!client || !application) return;
    const isSurvivor = this.#simulation.history.surviving(session.id) === application.execution;
    const { closed } = client.client;
    if (
      isSurvivor &&
      closed?.failure &&
      application.execution.ending === undefined &&
      client.ending === undefined
    )
      this.#expect(
        code !== undefined,
        'I6',
        () =>
          `${client.plan.name} ended with ${closed.failure?.code}, its application at ${server.address.name} in order`,
      );
  }

  clientEvent(client: VirtualClient, event: ClientEvent): void {
    const application = this.#simulation.clients.find((one) => one.client === client);
    if (!application) return;
    const { narrate, steps, coverage } = this.#simulation;
    switch (event.type) {
      case 'migrating':
        steps.migrating(application.plan.name, event.from, event.to ?? '');
        narrate?.(`${application.plan.name}  migrating from ${event.from} (${event.cause})`);
        return;
      case 'migrated':
        narrate?.(
          `${application.plan.name}  migrated to ${event.report.to} (${event.report.source}, epoch ${event.report.epoch})`,
        );
        return;
      case 'migrationFailed':
        narrate?.(`${application.plan.name}  migration failed: ${event.failure.code}`);
        this.#expect(
          client.session.state === 'attached' || client.session.state === 'migrating',
          'I6',
          () => `${application.plan.name} is ${client.session.state} after a planned migration failed`,
        );
        return;
      case 'closed':
        application.closed();
        coverage.count('endings', event.failure?.code ?? 'in order');
        narrate?.(
          `${application.plan.name}  closed: ${event.failure ? `${event.failure.code} ${event.failure.message}` : 'in order'}`,
        );
        if (event.failure) this.#failed(application, event.failure);
        return;
      default:
    }
  }

  #failed(client: ClientApplication, failure: { code: string; message: string }): void {
    const { plan, faults, history } = this.#simulation;
    const watch = this.#watch(client.client);
    const objection = objectionTo(failure, {
      client,
      isPatient: plan.isPatient,
      wasOpen: watch.wasOpen,
      serverEnding: history.surviving(client.client.session.id)?.ending,
      lostUnprotected: watch.lostUnprotected,
      hasFaults: faults.hasBegun,
    });
    this.#expect(
      objection === undefined,
      'I6',
      () => `${client.plan.name} ended with ${failure.code} (${failure.message}): ${objection}`,
    );
  }

  // --- What faults do -------------------------------------------------------------------------------------------

  /** A server is about to lose its memory. */
  crashes(server: VirtualServer): void {
    for (const client of this.#simulation.clients) {
      const { session } = client.client;
      if (session.serverName === server.address.name && !session.isProtected)
        this.#watch(client.client).lostUnprotected = true;
    }
  }

  // --- After everything that happens ----------------------------------------------------------------------------

  clientSettled(client: VirtualClient): void {
    const application = this.#simulation.clients.find((one) => one.client === client);
    if (!application) return;
    this.#frameHandled(application, this.#watch(client));
    const { session } = client;
    if (session.state === 'closed') return;
    const { streams } = session;
    const { receive, send, tickets } = streams;
    const { plan } = application;
    const { held } = tickets;
    if (held) {
      this.#expect(
        receive.received >= held.output,
        'I3',
        () => `${plan.name} holds a ticket for output ${held.output}, and has ${receive.received}`,
      );
      if (session.isProtected) {
        this.#expect(
          send.retainedFrom <= held.input,
          'I3',
          () =>
            `${plan.name} holds a ticket at input ${held.input}, and keeps input from ${send.retainedFrom}`,
        );
        if (session.delivery === Delivery.Commit && application.ending === undefined)
          this.#expect(
            receive.handed <= held.output,
            'I3',
            () => `${plan.name} delivered output up to ${receive.handed}, its ticket covers ${held.output}`,
          );
      }
    }
    const { limits } = plan;
    this.#limit(plan.name, 'output held', receive.heldBytes, limits.receiveWindowBytes ?? Infinity);
    this.#limit(
      plan.name,
      'input kept',
      send.retainedBytes,
      (limits.retainLimitBytes ?? Infinity) + LARGEST_WRITE_BYTES,
    );
    this.#limit(
      plan.name,
      'input unsent',
      send.unsentBytes,
      Math.max((limits.sendBufferBytes ?? Infinity) + LARGEST_WRITE_BYTES, send.retainedBytes),
    );
    this.#limit(plan.name, 'tickets', tickets.heldBytes, 2 * (512 + (limits.maxBodyBytes ?? Infinity)));
  }

  #limit(who: string, what: string, bytes: number, limit: number): void {
    this.#expect(bytes <= limit, 'limits', () => `${who}: ${what}: ${bytes} bytes, over ${limit}`);
  }

  serverSettled(server: VirtualServer): void {
    if (this.#fingerprint?.server === server) {
      const { text } = this.#fingerprint;
      this.#fingerprint = undefined;
      const after = this.#fingerprintOf(server);
      this.#expect(
        after.startsWith(text),
        'I8',
        () => `a stranger's bytes changed ${server.address.name} from ${text} to ${after}`,
      );
    }
    const plan = this.#simulation.plan.servers.find(({ name }) => name === server.address.name);
    if (!plan) return;
    const { limits } = plan;
    for (const session of server.node.sessions) {
      const { receive, send } = session.streams;
      this.#limit(
        plan.name,
        'input held',
        receive.heldBytes,
        (limits.receiveWindowBytes ?? 0) * 2 + (limits.inputLogBytes ?? 0),
      );
      this.#limit(
        plan.name,
        'output kept',
        send.retainedBytes,
        8 * ((limits.outputTailBytes ?? 0) + LARGEST_WRITE_BYTES),
      );
    }
  }

  /** An application begins from a restart point. */
  restored(client: ClientApplication, restart: RestartPoint, state: AppState | undefined): void {
    this.#expect(
      restart.input === (state?.input ?? 0) && restart.output === (state?.output ?? 0),
      'I1',
      () =>
        `${client.plan.name} is restored at (${restart.input}, ${restart.output}) with the state of ` +
        `(${state?.input ?? 0}, ${state?.output ?? 0})`,
    );
  }

  // --- The end --------------------------------------------------------------------------------------------------

  atTheEnd(client: ClientApplication): void {
    const { history, plan } = this.#simulation;
    const { session, closed } = client.client;
    const { name } = client.plan;
    this.#expect(
      session.pollTimeout() === undefined,
      'timers',
      () => `${name} is closed, and has a timer left`,
    );
    const survivor = history.surviving(session.id);
    const expected = history.output(session.id, client.output);
    const comparer = client.comparer ?? compareFrom(expected, 0);
    if (!client.comparer) comparer.push(client.received);
    const isWhole = closed?.failure === undefined && client.ending === undefined;
    const most = client.plan.application.earlyEnd?.atOutput ?? expected.byteLength;
    const { lost, duplicated, corrupt } = comparer.verdict;
    this.#expect(
      lost + duplicated + corrupt === 0,
      'I1',
      () => `${name} read output with ${lost} bytes lost, ${duplicated} duplicated, ${corrupt} corrupt`,
    );
    if (!isWhole || survivor?.ending === 'reset') return;
    this.#expect(
      client.receivedBytes === most && client.sawEnd,
      'I1',
      () =>
        `${name} ended in order after ${client.receivedBytes} of ${most} bytes of output, ${client.sawEnd ? 'with' : 'without'} their end`,
    );
    void plan;
  }

  /** Time enough has passed for everything to be forgotten. */
  afterSettling(): void {
    const { world, clients } = this.#simulation;
    for (const left of leftovers(
      world,
      clients.map(({ client }) => client),
    ))
      this.#expect(false, 'leaks', () => left);
  }

  /** Everything a stranger could want to change of the sessions of a server. */
  #fingerprintOf(server: VirtualServer): string {
    return [...server.node.sessions]
      .filter((session) => session.isEstablished && !this.#strangersSessions.has(session))
      .map((session) => {
        const { id, state, epoch, highestEpoch, carrierId, produced, received, snapshotNumber, streams } =
          session;
        const { receive, send } = streams;
        return `${id.slice(0, 6)} ${state} ${epoch} ${highestEpoch} ${carrierId} ${produced} ${received} ${snapshotNumber} ${receive.received} ${send.acknowledged}`;
      })
      .join('; ');
  }
}
