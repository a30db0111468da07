/** The checkers of a run, and who of them must see what (docs/protocol.md §15). */
import type { ClientEvent, ServerEvent } from '../../packages/godwit/src/session/index.ts';
import type { DataPiece, Frame } from '../../packages/godwit/src/wire/index.ts';
import { leftovers } from '../world/leaks.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { CarrierOf } from '../world/world.ts';
import type { ClientApplication } from './client-application.ts';
import { ClientChecks } from './client-checks.ts';
import { compareFrom } from './content.ts';
import { GAVE_UP, mayDiverge } from './endings.ts';
import { ServerChecks } from './server-checks.ts';
import type { Simulation } from './simulation.ts';

/** What a client is told that asks for a session which its server let go of meanwhile. */
const TOO_LATE: ReadonlySet<string> = new Set(['ERR_GODWIT_SESSION_ENDED', 'ERR_GODWIT_TICKET_EXPIRED']);

export class Checks {
  readonly servers: ServerChecks;
  readonly #simulation: Simulation;
  readonly #clients = new Map<ClientApplication, ClientChecks>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.servers = new ServerChecks(simulation);
  }

  of(client: ClientApplication): ClientChecks {
    let checks = this.#clients.get(client);
    if (!checks) {
      checks = new ClientChecks(this.#simulation, client);
      this.#clients.set(client, checks);
    }
    return checks;
  }

  frameArrives(frame: Frame | DataPiece, from: string, to: string, carrier: CarrierOf): void {
    const client = this.#simulation.clientNamed(to);
    if (client) this.of(client).frameArrives(frame, carrier.carrierId);
    else this.servers.frameArrives(frame, from, this.#simulation.world.server(to), carrier);
  }

  frameLeaves(name: string, from: string, carrier: CarrierOf): void {
    const server = this.#simulation.world.servers.get(from);
    if (server) this.servers.frameLeaves(name, server, carrier);
  }

  clientEvent(client: ClientApplication, event: ClientEvent): void {
    this.of(client).event(event);
  }

  serverEvent(server: VirtualServer, event: ServerEvent): void {
    this.servers.event(server, event);
  }

  /** A server is about to lose its memory. */
  crashes(server: VirtualServer): void {
    for (const client of this.#simulation.clients) this.of(client).loses(server);
  }

  // --- The end --------------------------------------------------------------------------------------------------

  /** The client's session is over, and its application has read all there was. */
  atTheEnd(client: ClientApplication): void {
    const { history, violations, contentFaults } = this.#simulation;
    const { session, closed } = client.client;
    const { name, application } = client.plan;
    violations.expect(
      session.pollTimeout() === undefined,
      'timers',
      () => `${name} is closed, and has a timer left`,
    );
    if (this.#isExcused(client)) return;
    const expected = history.output(session.id, client.output);
    const comparer = client.comparer ?? compareFrom(expected, 0);
    if (!client.comparer) comparer.push(client.received);
    const isWhole = closed?.failure === undefined && client.ending === undefined;
    const most = application.earlyEnd?.atOutput ?? expected.byteLength;
    const verdict = isWhole && most === expected.byteLength ? comparer.end() : comparer.settle();
    contentFaults.add(verdict);
    violations.expect(
      verdict.lost + verdict.duplicated + verdict.corrupt === 0,
      'I1',
      () =>
        `${name} read output with ${verdict.lost} bytes lost, ${verdict.duplicated} duplicated, ${verdict.corrupt} corrupt`,
    );
    if (!isWhole || history.surviving(session.id)?.ending === 'reset') return;
    violations.expect(
      client.receivedBytes === most && client.sawEnd,
      'I1',
      () =>
        `${name} ended in order after ${client.receivedBytes} of ${most} bytes of output, ` +
        `${client.sawEnd ? 'with' : 'without'} their end`,
    );
  }

  /**
   * An application that diverges has no content to compare with once that was noticed, or once the client let go of the
   * session, which then nobody tells. It may go unnoticed only where an origin that gave no last snapshot handed the session
   * over (the destination has no checksum from there on), or where a ticket cut what the client had folded into one.
   */
  #isExcused(client: ClientApplication): boolean {
    if (!mayDiverge(client, this.#simulation.plan)) return false;
    const { closed, migrations } = client.client;
    if (closed?.failure !== undefined || client.ending !== undefined) return true;
    return migrations.some(({ source }) => source === 'origin') || this.of(client).wasPartlyUnchecked;
  }

  /** The world was whole all the time: what ended was acknowledged, and is forgotten. */
  afterAPromptEnd(): void {
    for (const server of this.#simulation.world.servers.values())
      this.#simulation.violations.expect(
        server.node.sessionCount === 0,
        'I6',
        () =>
          `${server.address.name} has ${server.node.sessionCount} sessions left, and nothing kept them from ending`,
      );
  }

  /** Time enough has passed for everything to be told and forgotten. */
  afterSettling(): void {
    const { world, clients, applications, violations, contentFaults } = this.#simulation;
    for (const left of leftovers(
      world,
      clients.map(({ client }) => client),
    ))
      violations.report('leaks', left);
    for (const { application, server } of applications) {
      const verdict = application.comparer.settle();
      contentFaults.add(verdict);
      violations.expect(
        verdict.lost + verdict.duplicated + verdict.corrupt === 0,
        'I1',
        () =>
          `an application at ${server.address.name} consumed input with ${verdict.lost} bytes lost, ` +
          `${verdict.duplicated} duplicated, ${verdict.corrupt} corrupt`,
      );
    }
    for (const client of clients) this.#bothWereTold(client);
  }

  /** A session that ends in an error does so at both ends, with a code (I6). */
  #bothWereTold(client: ClientApplication): void {
    const { applications, history, plan, violations } = this.#simulation;
    const survivor = history.surviving(client.client.session.id);
    const found = applications.find(({ application }) => application.execution === survivor);
    if (!survivor || !found?.server.isAlive || survivor.ending !== undefined || client.ending !== undefined)
      return;
    const { told } = found.application;
    const failure = client.outcome;
    if (failure === 'open') return;
    // Where only bytes were left to deliver, another server did that without an application: then this one had to let the
    // session go before its end. From a fence it hears of the end alone, and nothing of a server that died meanwhile.
    const wasLeft = client.client.session.serverName !== found.server.address.name;
    const isInOrder =
      told?.code === undefined ||
      told.code === 'ERR_GODWIT_MOVED' ||
      (wasLeft &&
        (told.code === 'ERR_GODWIT_SESSION_ENDED' ||
          this.of(client).isMessengerLost(found.server.address.name, survivor.epoch) ||
          this.of(client).mayMissRelease()));
    // A server that said CLOSE waits for the answer no longer than its linger time: then it has ended in order.
    // Its client may have given up meanwhile, or ask too late.
    const isTooLate =
      !plan.isPatient && failure !== undefined && (TOO_LATE.has(failure.code) || GAVE_UP.has(failure.code));
    const agrees = failure ? told?.code !== undefined || isTooLate : isInOrder || !plan.isPatient;
    violations.expect(
      told !== undefined && agrees,
      'I6',
      () =>
        `${client.plan.name} ended ${failure ? `with ${failure.code}` : 'in order'}, and its application at ` +
        `${found.server.address.name} heard ${told ? (told.code ?? 'that it ended in order') : 'nothing'}`,
    );
  }
}
