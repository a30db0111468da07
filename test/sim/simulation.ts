/**
 * One run: the world of a plan, its clients and servers, a safety phase in which faults come, then a healed world in which
 * every transfer must finish.
 */
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import type { ClientEvent, ServerEvent, ServerSession } from '../../packages/godwit/src/session/index.ts';
import type { DataPiece, Frame, PeerFrame, ServerAddress } from '../../packages/godwit/src/wire/index.ts';
import { SkewedClock } from '../world/clock.ts';
import type { Pipe } from '../world/pipe.ts';
import type { ServerApp, ServerAppFactory } from '../world/server-apps.ts';
import { QuickCrypto } from '../world/quick-crypto.ts';
import type { VirtualClient } from '../world/virtual-client.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import { Observers } from '../world/observers.ts';
import { World, type CarrierOf, type WorldObserver } from '../world/world.ts';
import { AttachChecks } from './attach-checks.ts';
import { Checks } from './checks.ts';
import { ClientApplication } from './client-application.ts';
import { ContentFaults, stampedBytes, type ContentCounts } from './content.ts';
import { FRAME_ROWS, Coverage, TRANSITION_ROWS, countTransitions, type CoverageCounts } from './coverage.ts';
import { Draw } from './draw.ts';
import { FAULT_KINDS } from './fault-plan.ts';
import { Faults } from './faults.ts';
import { FenceChecks } from './fence-checks.ts';
import { FrameWalker, walkPeerFrames } from './frame-walker.ts';
import { History } from './history.ts';
import type { ClientPlan, Plan, ServerPlan } from './plan.ts';
import { ServerApplication, decodeState } from './server-application.ts';
import { Steps } from './steps.ts';
import { describeClientEvent, describeFrame } from './trace.ts';
import { Violations, type Violation } from './violations.ts';
import { WORKLOAD_ROWS, workloadOf } from './workload.ts';

/** After the world has healed, every transfer must be over within so much time, in ms, or have got on in it. */
const LIVENESS_MS = 300_000;
/** Behind the last session, within so much time nothing may be left, in ms: longer than every timer. */
const SETTLE_MS = 400_000;

/** Where nothing was disturbed, both ends have heard of the end within so much time, in ms: less than timers take. */
const PROMPT_MS = 4000;

/** A stranger keeps so much of each carrier. */
const RECORDED_BYTES = 8 * 1024;

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly coverage: CoverageCounts;
  /** Bytes that were lost, duplicated or corrupt, in both directions. */
  readonly content: ContentCounts;
  /** Of everything that happened, in order: two runs of one seed must agree. */
  readonly hash: number;
  /** Time that passed in the world, in ms. */
  readonly worldMs: number;
}

/** Sees what happens, in words; only made where somebody reads them. */
export type Narrator = (line: string) => void;

export class Simulation {
  readonly plan: Plan;
  readonly world: World;
  readonly clients: ClientApplication[] = [];
  /** Every start of a server's application, and the process it ran in. */
  readonly applications: { readonly application: ServerApplication; readonly server: VirtualServer }[] = [];
  readonly history = new History();
  readonly contentFaults = new ContentFaults();
  readonly coverage = new Coverage();
  readonly violations: Violations;
  readonly checks: Checks;
  readonly observers = new Observers();
  readonly #attachChecks: AttachChecks;
  readonly faults: Faults;
  /** Undefined where there is no fence. */
  readonly fence: FenceChecks | undefined;
  readonly steps: Steps;
  readonly clocks = new Map<string, SkewedClock>();
  readonly narrate: Narrator | undefined;
  /** What clients sent, as strangers may have recorded it: the beginnings of some carriers. */
  readonly recordings: Uint8Array[][] = [];
  readonly #draw: Draw;
  readonly #key: Uint8Array;
  readonly #clientDraws: { plan: ClientPlan; draw: Draw; input: Uint8Array; output: Uint8Array }[];
  readonly #bySession = new Map<string, ClientApplication>();
  readonly #walkers = new WeakMap<Pipe, [FrameWalker, FrameWalker]>();
  readonly #recordings = new WeakMap<Pipe, Uint8Array[]>();
  readonly #isRecording: boolean;
  #hash = 0;

  constructor(plan: Plan, options: { narrate?: Narrator | undefined } = {}) {
    this.plan = plan;
    const { narrate } = options;
    if (narrate) this.narrate = (line) => narrate(`${this.world.now.toFixed(2).padStart(9)}  ${line}`);
    this.#isRecording = plan.faults.some((fault) => fault.kind === 'replay by a stranger');
    const draw = new Draw(plan.seed ^ 0x5eed);
    this.#draw = draw;
    this.#clientDraws = plan.clients.map((client) => ({
      plan: client,
      draw: draw.fork(),
      input: stampedBytes(draw, client.script.inputBytes),
      output: stampedBytes(draw, client.script.outputBytes),
    }));
    this.#key = Uint8Array.from({ length: 32 }, () => draw.whole(0, 255));
    const { network } = plan;
    const latencies = new Map<string, number>();
    const jitter = draw.fork();
    const splits = draw.fork();
    this.world = new World({
      seed: plan.seed,
      latencyMs: network.latencyMs,
      latencyOf: (from, to) => {
        const key = `${from}>${to}`;
        let base = latencies.get(key);
        if (base === undefined) {
          base = network.latencyMs * (jitter.chance(0.5) ? 1 : jitter.between(0.2, 2));
          latencies.set(key, base);
        }
        return this.faults.latency(from, to, base * (1 + network.jitter * jitter.next()));
      },
      pipeConditions: () => ({
        ...(network.bytesPerMs !== undefined && { bytesPerMs: network.bytesPerMs }),
        ...(network.bufferBytes !== undefined && { bufferBytes: network.bufferBytes }),
        ...(network.splits > 0 && {
          chunkBytes: (length: number) =>
            splits.chance(network.splits) ? splits.magnitude(1, length) : length,
        }),
      }),
      ring: new KeyRing(this.#key),
      observer: this.observers,
      ...(!plan.hasRealCrypto && { createCrypto: (asked) => new QuickCrypto(asked) }),
    });
    this.world.keepsTranscript = false;
    this.violations = new Violations(() => this.world.now);
    this.violations.onViolation = (violation) =>
      this.narrate?.(`VIOLATION ${violation.checker}: ${violation.message}`);
    this.checks = new Checks(this);
    this.#attachChecks = new AttachChecks(this);
    this.observers.add(this.#observer());
    this.observers.add(this.#attachChecks);
    this.faults = new Faults(this);
    this.fence = plan.fence && new FenceChecks(this, plan.fence);
    this.steps = new Steps(this);
    for (const server of plan.servers) this.#declare(server);
  }

  /** The whole run. */
  run(): RunResult {
    countTransitions(this.coverage);
    try {
      this.#safetyPhase();
      this.faults.heal();
      this.#livenessPhase();
    } catch (error) {
      this.violations.report('assertion', String((error as Error).stack));
    } finally {
      countTransitions(undefined);
    }
    return {
      seed: this.plan.seed,
      violations: this.violations.all,
      coverage: this.coverage.counts,
      content: this.contentFaults.counts,
      hash: this.#hash,
      worldMs: this.world.now,
    };
  }

  #safetyPhase(): void {
    const { world, plan } = this;
    for (const server of plan.servers) if (!this.faults.joinsLater(server.name)) world.start(server.name);
    for (const { plan: client, draw, input, output } of this.#clientDraws)
      world.scheduler.at(client.startsAtMs, () => this.#startClient(client, draw, input, output));
    for (const fault of plan.faults)
      world.scheduler.at(fault.atMs, () => {
        if (world.now <= plan.healsAtMs) this.faults.begin(fault);
      });
    world.run(plan.healsAtMs);
  }

  #startClient(plan: ClientPlan, draw: Draw, input: Uint8Array, output: Uint8Array): void {
    const application = new ClientApplication(this.world, plan, {
      input,
      output,
      draw,
    });
    this.#bySession.set(application.client.session.id, application);
    this.clients.push(application);
    for (const row of workloadOf(plan)) this.coverage.count('workload', row);
  }

  #livenessPhase(): void {
    const { world, violations } = this;
    const isOver = (): boolean => this.clients.every((client) => client.isDone);
    // An application that answers "not now" time and again is slow in `commit` mode; but it gets on.
    for (let last = -1, bytes = 0; bytes > last;) {
      last = bytes;
      const end = world.now + LIVENESS_MS;
      while (!isOver()) if (!world.step(end)) break;
      bytes = isOver() ? last : this.clients.reduce((sum, client) => sum + client.receivedBytes, 0);
    }
    for (const client of this.clients) {
      if (client.isDone) this.checks.atTheEnd(client);
      else
        violations.report(
          'liveness',
          `${client.plan.name} is ${client.client.session.state} ${LIVENESS_MS} ms after the world healed: ` +
            `${client.receivedBytes} of ${client.output.byteLength} bytes came, ${client.written} of ` +
            `${client.input.byteLength} were written; its server is ${client.client.session.serverName || 'unknown'}`,
        );
    }
    if (!isOver()) return;
    // A client that gave up leaves its server waiting for it.
    const gaveUp = this.clients.some(({ client }) => client.closed?.failure?.code === 'ETIMEDOUT');
    if (this.plan.isUndisturbed && !gaveUp) {
      world.run(PROMPT_MS);
      this.checks.afterAPromptEnd();
    }
    world.run(SETTLE_MS);
    this.checks.afterSettling();
  }

  // --- Servers --------------------------------------------------------------------------------------------------

  #declare(plan: ServerPlan): void {
    const draw = this.#draw.fork();
    const clock = new SkewedClock(plan.clock);
    this.clocks.set(plan.name, clock);
    const ring = new KeyRing(this.#key);
    this.faults.registerRing(plan.name, ring);
    this.world.declareServer(plan.name, {
      delivery: this.plan.delivery,
      app: this.#applications(draw),
      limits: plan.limits,
      timers: plan.timers,
      ...(this.fence &&
        this.plan.fence && { fence: { config: this.plan.fence.config, store: this.fence.store } }),
      clock,
      ring,
      ...(plan.cryptoMs > 0 && { cryptoDelayMs: () => draw.between(0, plan.cryptoMs) }),
    });
  }

  #applications(draw: Draw): ServerAppFactory {
    return (session, restart, context): ServerApp => {
      const client = this.clientOf(session.id);
      if (!client) throw new Error(`a session that no client has: ${session.id}`);
      const state = restart && restart.state.byteLength > 0 ? decodeState(restart.state) : undefined;
      const execution = this.history.begin({
        sessionId: session.id,
        server: context.server,
        epoch: session.epoch,
        parent: state && this.history.find(state.execution),
        input: restart?.input ?? 0,
        output: restart?.output ?? 0,
      });
      if (restart) this.checks.servers.restored(client, restart, state);
      const { plan, input, output } = client;
      const application = new ServerApplication(
        {
          session,
          context,
          execution,
          script: plan.script,
          input,
          output,
          plan: plan.application,
          draw: draw.fork(),
          onFedWhileFrozen: (bytes) =>
            this.violations.report(
              'I5',
              `${context.server} froze a session, and feeds its application ${bytes} bytes of input`,
            ),
        },
        restart,
      );
      const server = this.world.server(context.server);
      this.applications.push({ application, server });
      // The application may write at once, as it is handed the session.
      context.after(0, () => application.start());
      return application;
    };
  }

  clientOf(sessionId: string): ClientApplication | undefined {
    return this.#bySession.get(sessionId);
  }

  clientNamed(name: string): ClientApplication | undefined {
    return this.clients.find((client) => client.plan.name === name);
  }

  planOf(server: string): ServerPlan | undefined {
    return this.plan.servers.find(({ name }) => name === server);
  }

  address(name: string): ServerAddress {
    return { name, host: name, port: 1 };
  }

  // --- What happens ---------------------------------------------------------------------------------------------

  #observer(): WorldObserver {
    return {
      frameArrives: (frame, from, to, carrier) => this.#frameArrives(frame, from, to, carrier),
      peerFrameArrives: (frame, from, to) => this.#peerFrameArrives(frame, from, to),
      partsLeave: (parts, from, to, carrier) => this.#partsLeave(parts, from, to, carrier),
      peerBytesLeave: (bytes) =>
        walkPeerFrames(bytes, (name) => {
          this.coverage.count('peerFramesSent', name);
        }),
      serverEvent: (server, event) => this.#serverEvent(server, event),
      clientEvent: (client, event) => this.#clientEvent(client, event),
      serverSettled: (server) => this.checks.servers.settled(server),
      clientSettled: (client) => {
        const application = this.clientNamed(client.name);
        if (application) this.checks.of(application).settled();
      },
    };
  }

  /** Everything that happens goes into the hash, and into the transcript if there is one. */
  #note(way: string, what: string, describe: () => string = () => what): void {
    this.#hash = fold(fold(fold(this.#hash, way), what), String(Math.floor(this.world.now * 1000)));
    this.narrate?.(`${way}  ${describe()}`);
  }

  #frameArrives(frame: Frame | DataPiece, from: string, to: string, carrier: CarrierOf): void {
    this.coverage.count('framesReceived', frame.frame);
    this.#note(`${from} → ${to}`, frame.frame, () => describeFrame(frame));
    this.checks.frameArrives(frame, from, to, carrier);
    if (frame.frame === 'snapshot' && this.fence) {
      const client = this.clientNamed(to);
      if (client) this.fence.ticketArrives(client.client.session.id, frame);
    }
    if (frame.frame === 'trigger') {
      const client = this.clientNamed(to);
      if (client) this.faults.triggerArrives(client, frame);
    }
    this.steps.arrives(frame.frame, from, to);
  }

  #peerFrameArrives(frame: PeerFrame, from: string, to: string): void {
    this.coverage.count('peerFramesReceived', frame.frame);
    this.#note(`${from} ⇒ ${to}`, frame.frame, () => describeFrame(frame));
    this.steps.arrives(frame.frame, from, to);
  }

  #partsLeave(parts: readonly Uint8Array[], from: string, to: string, carrier: CarrierOf): void {
    let walkers = this.#walkers.get(carrier.pipe);
    if (!walkers) {
      walkers = [new FrameWalker(), new FrameWalker()];
      this.#walkers.set(carrier.pipe, walkers);
    }
    this.#record(parts, from, carrier.pipe);
    walkers[this.world.servers.has(from) ? 1 : 0].walk(parts, (name) => {
      this.coverage.count('framesSent', name);
      this.checks.frameLeaves(name, from, carrier);
      this.#attachChecks.frameLeaves(name, from, carrier);
    });
  }

  /** Whoever is on the path may keep what clients send. */
  #record(parts: readonly Uint8Array[], from: string, pipe: Pipe): void {
    if (!this.#isRecording || pipe.sent(0) > RECORDED_BYTES || this.world.servers.has(from)) return;
    let recording = this.#recordings.get(pipe);
    if (!recording) {
      recording = [];
      this.#recordings.set(pipe, recording);
      this.recordings.push(recording);
    }
    recording.push(...parts.map((part) => part.slice()));
  }

  #clientEvent(client: VirtualClient, event: ClientEvent): void {
    const application = this.clientNamed(client.name);
    if (!application || event.type === 'crypto' || event.type === 'readable' || event.type === 'drain')
      return;
    application.handle(event);
    this.checks.clientEvent(application, event);
    if (event.type === 'migrating') this.steps.migrating(client.name, event.from, event.to ?? '');
    this.#note(client.name, event.type, () => describeClientEvent(event));
  }

  #serverEvent(server: VirtualServer, event: ServerEvent): void {
    this.checks.serverEvent(server, event);
    if (event.type === 'crypto' || event.type === 'readable' || event.type === 'drain') return;
    const detail = event.type === 'refused' ? ` ${event.failure.code} ${event.failure.message}` : '';
    this.#note(server.address.name, event.type + detail);
  }

  /** The server that has the session as its client sees it, if it runs. */
  serving(client: ClientApplication): VirtualServer | undefined {
    return this.world.servers.get(client.client.session.serverName);
  }

  sessionAt(server: VirtualServer, client: ClientApplication): ServerSession | undefined {
    return server.node.session(client.client.session.id);
  }
}

/** The rows that many seeds together must reach. */
export function requiredCoverage(): Coverage {
  return new Coverage({ ...TRANSITION_ROWS, ...FRAME_ROWS, ...WORKLOAD_ROWS, faults: FAULT_KINDS });
}

/** FNV-1a. */
function fold(hash: number, text: string): number {
  let folded = hash;
  for (let i = 0; i < text.length; i += 1) folded = Math.imul(folded ^ text.charCodeAt(i), 0x01000193);
  return folded >>> 0;
}
