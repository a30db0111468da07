/** What must hold at every client, at every moment: I2, I3, I4, where histories meet (I1), how it ends (I6), its limits. */
import { releaseDelays } from '../../packages/godwit/src/session/farewells.ts';
import { DEFAULT_SERVER_TIMERS, type ClientEvent } from '../../packages/godwit/src/session/index.ts';
import {
  Delivery,
  MAX_TICKET_HEAD_BYTES,
  comparePoints,
  type DataPiece,
  type Frame,
} from '../../packages/godwit/src/wire/index.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { ClientApplication } from './client-application.ts';
import { objectionTo } from './endings.ts';
import type { Simulation } from './simulation.ts';

/** What an application may write at once, and so how far a buffer may go beyond its limit, in bytes. */
const LARGEST_WRITE_BYTES = 64 * 1024;

/** Sources by their number in ACCEPT. */
const SOURCES = ['resume', 'origin', 'ticket', 'store'];

export class ClientChecks {
  readonly #simulation: Simulation;
  readonly #application: ClientApplication;
  /** The carrier that each OPEN or attach was accepted on, by epoch. */
  readonly #carriers = new Map<number, number>();
  readonly #accepts = new Map<number, Frame<'accept'>>();
  /** The servers that the client went along with, by epoch. */
  readonly #servers = new Map<number, string>();
  /** Epochs whose server died since. */
  readonly #died = new Set<number>();
  /** The epoch the client lives in, as far as was seen; 0 before it is open. */
  #epoch = 0;
  /** Before the frame that is being handled. */
  #before: { carrierId: number; frame: string; received: number; ticket: number } | undefined;
  #isCopyLost = false;
  /** A server re-created output that it could not compare: the digest began behind the restart point. */
  wasPartlyUnchecked = false;
  /** The newest ticket that was seen here. */
  #ticket = { input: 0, output: 0 };
  #lostAtMs: number | undefined;
  #adoptedAtMs = 0;

  constructor(simulation: Simulation, application: ClientApplication) {
    this.#simulation = simulation;
    this.#application = application;
  }

  /** The server that the client went along with under that epoch. */
  serverOf(epoch: number): string | undefined {
    return this.#servers.get(epoch);
  }
  /** The server that took the session from that one died: nobody may be left to say there that it moved. */
  isMessengerLost(from: string, epoch: number): boolean {
    const next = [...this.#servers].find(([later, name]) => later > epoch && name !== from);
    return next !== undefined && this.#died.has(next[0]);
  }
  /** RELEASE is sent a few times after it went on elsewhere: did a fault last until the last of them (protocol.md §10.5)? */
  mayMissRelease(): boolean {
    const { releaseDelayMs = DEFAULT_SERVER_TIMERS.releaseDelayMs } =
      this.#simulation.planOf(this.#application.client.session.serverName)?.timers ?? {};
    const lastMs = Math.max(...releaseDelays({ releaseDelayMs }));
    return this.#simulation.faults.disturbances.since(this.#adoptedAtMs + lastMs);
  }
  get wasOpen(): boolean {
    return this.#epoch > 0;
  }

  // --- Frames ---------------------------------------------------------------------------------------------------

  frameArrives(frame: Frame | DataPiece, carrierId: number): void {
    this.frameHandled();
    if (carrierId < 0) return; // on a standby
    const { receive, tickets } = this.#application.client.session.streams;
    this.#before = {
      carrierId,
      frame: frame.frame,
      received: receive.received,
      ticket: tickets.held?.k ?? -1,
    };
    if (frame.frame === 'accept') {
      this.#accepts.set(frame.epoch, frame);
      this.#carriers.set(frame.epoch, carrierId);
    } else if (frame.frame === 'support' && frame.keyShare.byteLength > 0)
      this.#carriers.set(frame.epoch, carrierId);
  }

  /** The frame that came last has been handled by now. */
  frameHandled(): void {
    const { session } = this.#application.client;
    if (session.state === 'attached' && session.epoch !== this.#epoch) this.#adopted();
    if (session.state === 'recovering') this.#lostAtMs ??= this.#simulation.world.now;
    else this.#lostAtMs = undefined;
    const before = this.#before;
    this.#before = undefined;
    if (!before || !this.wasOpen) return;
    const { receive, tickets } = session.streams;
    if (receive.received <= before.received && (tickets.held?.k ?? -1) <= before.ticket) return;
    const current = this.#carriers.get(this.#epoch);
    this.#simulation.violations.expect(
      current === before.carrierId,
      'I2',
      () =>
        `${this.#name} took ${before.frame.toUpperCase()} from carrier ${before.carrierId}, ` +
        `but epoch ${this.#epoch} lives on carrier ${current}`,
    );
  }

  get #name(): string {
    return this.#application.plan.name;
  }

  /** The client goes on with another OPEN or attach. */
  #adopted(): void {
    const { history, coverage, plan, violations } = this.#simulation;
    const { session } = this.#application.client;
    this.#adoptedAtMs = this.#simulation.world.now;
    this.#epoch = session.epoch;
    this.#servers.set(session.epoch, session.serverName);
    // It may have died while its word was on the way.
    const server = this.#simulation.world.servers.get(session.serverName);
    this.#isCopyLost = server?.isAlive !== true || server.node.session(session.id) === undefined;
    const accept = this.#accepts.get(session.epoch);
    if (!accept) {
      const opened = history.opened(session.id, session.serverName, session.epoch);
      if (opened) history.survives(opened);
      return;
    }
    const source = SOURCES[accept.source] ?? 'unknown';
    coverage.count('restores', `${plan.delivery === Delivery.Commit ? 'commit' : 'replay'} ${source}`);
    if (source === 'resume') return;
    this.wasPartlyUnchecked ||= session.streams.digestFrom > accept.restartOutput;
    const { held } = session.streams.tickets;
    const point = { epoch: accept.restartEpoch, k: accept.restartK };
    violations.expect(
      !held || comparePoints(point, held) >= 0,
      'I4',
      () =>
        `${this.#name} goes on at ${session.serverName} from (${point.epoch}, ${point.k}), ` +
        `but holds (${held?.epoch}, ${held?.k})`,
    );
    // A session that only has bytes left to deliver starts no application.
    const execution = history.at(session.id, session.serverName, session.epoch);
    if (execution)
      violations.expect(
        history.survives(execution),
        'I1',
        () => `${this.#name} goes on at ${session.serverName} from a snapshot of a history it left`,
      );
  }

  // --- Events ---------------------------------------------------------------------------------------------------

  event(event: ClientEvent): void {
    const { coverage, violations } = this.#simulation;
    const { client } = this.#application;
    switch (event.type) {
      case 'migrationFailed':
        violations.expect(
          client.session.state === 'attached' || client.session.state === 'migrating',
          'I6',
          () => `${this.#name} is ${client.session.state} after a planned migration failed`,
        );
        return;
      case 'migrated':
        // Its carrier may have been lost in the same moment.
        if (client.session.epoch !== this.#epoch) this.#adopted();
        return;
      case 'closed':
        coverage.count('endings', event.failure?.code ?? 'in order');
        if (event.failure) this.#failed(event.failure);
        return;
      default:
    }
  }

  #failed(failure: { code: string; message: string }): void {
    const { plan, faults, history, world, violations, checks } = this.#simulation;
    const objection = objectionTo(failure, {
      plan,
      client: this.#application,
      disturbances: faults.disturbances,
      wasOpen: this.wasOpen,
      serverEnding: history.surviving(this.#application.client.session.id)?.ending,
      lostUnprotected: this.#isCopyLost && !this.#application.client.session.isProtected,
      lostAtMs: this.#lostAtMs,
      nowMs: world.now,
      isShutOut: checks.servers.isShutOut(this.#application.client.session.id),
    });
    violations.expect(
      objection === undefined,
      'I6',
      () => `${this.#name} ended with ${failure.code} (${failure.message}): ${objection}`,
    );
  }

  /** A server loses its memory, or its copy of the session. */
  loses(server: VirtualServer): void {
    const { session } = this.#application.client;
    const { name } = server.address;
    if (session.serverName === name) this.#isCopyLost = true;
    for (const [epoch, at] of this.#servers) if (at === name) this.#died.add(epoch);
  }

  /** A server's copy of the session ends in an error: out of time, for one. */
  losesCopy(server: VirtualServer, code: string | undefined): void {
    if (code !== undefined) this.loses(server);
  }

  // --- After everything that happens ----------------------------------------------------------------------------

  settled(): void {
    this.frameHandled();
    const { session } = this.#application.client;
    if (session.state === 'closed') return;
    this.#ticketIsEnough();
    this.#limits();
  }

  #ticketIsEnough(): void {
    const { violations } = this.#simulation;
    const { session } = this.#application.client;
    const { receive, send, tickets } = session.streams;
    const { held } = tickets;
    if (!held) return;
    const last = this.#ticket;
    violations.expect(
      held.input >= last.input && held.output >= last.output,
      'I4',
      () =>
        `${this.#name} holds a ticket at (${held.input}, ${held.output}), and held one at (${last.input}, ${last.output})`,
    );
    this.#ticket = held;
    violations.expect(
      receive.received >= held.output,
      'I3',
      () => `${this.#name} holds a ticket for output ${held.output}, and has ${receive.received}`,
    );
    if (!session.isProtected) return;
    violations.expect(
      send.retainedFrom <= held.input,
      'I3',
      () => `${this.#name} holds a ticket at input ${held.input}, and keeps input from ${send.retainedFrom}`,
    );
    if (session.delivery !== Delivery.Commit || this.#application.ending !== undefined) return;
    violations.expect(
      receive.handed <= held.output,
      'I3',
      () => `${this.#name} delivered output up to ${receive.handed}, its ticket covers ${held.output}`,
    );
  }

  #limits(): void {
    const { limits } = this.#application.plan;
    const { receive, send, tickets } = this.#application.client.session.streams;
    const retainLimit = (limits.retainLimitBytes ?? Infinity) + LARGEST_WRITE_BYTES;
    this.#limit('output held', receive.heldBytes, limits.receiveWindowBytes ?? Infinity);
    this.#limit('input kept', send.retainedBytes, retainLimit);
    this.#limit(
      'tickets',
      tickets.heldBytes,
      2 * (MAX_TICKET_HEAD_BYTES + (limits.maxBodyBytes ?? Infinity)),
    );
  }

  #limit(what: string, bytes: number, limit: number): void {
    this.#simulation.violations.expect(
      bytes <= limit,
      'limits',
      () => `${this.#name}: ${what}: ${bytes} bytes, over ${limit}`,
    );
  }
}
