/** The servers of one run, and the handler's executions on them. Each has a host of its own; none is used again. */
import type { MemoryNetwork } from '../carriers/memory.ts';
import { KeyRing } from '../crypto/index.ts';
import { GodwitError } from '../errors.ts';
import type { ServerSocket } from '../server/server-socket.ts';
import { createServer, type Server } from '../server/server.ts';
import type { ServerLimits, ServerTimers } from '../session/index.ts';
import type { CheckSettings, Handler } from './check-options.ts';
import { EffectStore } from './effects.ts';
import { Execution, type HandlerFailure } from './execution.ts';
import type { Cadence, Fault, RunPlan } from './run-plan.ts';
import { SeededRandom } from './seeded-random.ts';
import { SHIFT_MS, shiftClock } from './shifted-clock.ts';

/** What the run wants to know of its servers. */
export interface FleetHooks {
  /** The fault that happened last, if any. */
  lastFault(): Fault | undefined;
  /** The handler wrote. */
  progress(): void;
  /** The client destroyed its socket before it had all of the output. */
  hasClientLeft(): boolean;
  /** A handler that counts went wrong. */
  failed(failure: HandlerFailure): void;
  /** A server can't read the state that the session is to go on from, and no other one could. */
  unreadable(error: Error): void;
}

export const SERVER_PORT = 1;

/** As much as the client takes before it acknowledges: a handler that writes a lot is stopped, and asked, now and then. */
const OUTPUT_TAIL_BYTES = 256 * 1024;
/** Bytes between two snapshots where the seed decides, at the most. */
const INTERVAL_DRAWN_MAX_BYTES = 64;
const NEVER_MS = 2 ** 31 - 1;

export class Fleet {
  /** Where servers are, or will be. */
  readonly hosts: readonly string[];
  readonly executions: Execution[] = [];
  readonly effects = new EffectStore();
  readonly #settings: CheckSettings;
  readonly #plan: RunPlan;
  readonly #network: MemoryNetwork;
  readonly #hooks: FleetHooks;
  readonly #keys = KeyRing.generateKey();
  /** Those that run; the last one started is where the session goes next. */
  readonly #servers: Server[] = [];
  #started = 0;

  constructor(settings: CheckSettings, plan: RunPlan, network: MemoryNetwork, hooks: FleetHooks) {
    this.#settings = settings;
    this.#plan = plan;
    this.#network = network;
    this.#hooks = hooks;
    this.hosts = Array.from({ length: plan.faults.length + 1 }, (_, index) => `server-${index + 1}`);
  }

  /** Starts the next server, and answers its host. */
  start(): string {
    const { delivery, service, successor } = this.#settings;
    const version = this.#started > 0 && successor !== undefined ? successor : this.#settings;
    const given = version.server ?? {};
    const host = this.hosts[this.#started] as string;
    this.#started += 1;
    const server = createServer(
      {
        ...given,
        keys: this.#keys,
        members: this.hosts.map((name) => ({ name, host: name, port: SERVER_PORT })),
        name: host,
        delivery,
        service,
        transport: this.#network,
        limits: { ...this.#limits, ...given.limits },
        timers: { ...this.#timers, ...given.timers },
      },
      (socket) => this.#onConnection(socket, version.handler),
    );
    server.on('refused', ({ code, message }) => {
      if (code === 'ERR_GODWIT_SCHEMA_MISMATCH') this.#hooks.unreadable(new GodwitError(code, message));
    });
    this.#servers.push(server.listen(SERVER_PORT, host));
    return host;
  }

  /** All die at once, with all they remember. Their sockets go too, so that nothing of the handler's is left running. */
  kill(): void {
    for (const server of this.#servers.splice(0)) {
      const sockets = [...server.sessions];
      for (const execution of this.executions)
        if (execution.socket.server === server) execution.isDead = true;
      server.kill();
      for (const socket of sockets) socket.destroy();
    }
  }

  /** The server that has the session asks its client to go to a new one. */
  move(): void {
    const sessionId = String(this.executions.at(-1)?.socket.sessionId);
    const origin = this.#servers.at(-1);
    const host = this.start();
    // The session may be over before: then there is nothing to move.
    origin?.migrate(sessionId, { to: { host, port: SERVER_PORT } }).catch(() => undefined);
  }

  /** How often states are exported and tickets travel. */
  get #limits(): Partial<ServerLimits> {
    const random = new SeededRandom(this.#settings.seed, 3, this.#plan.number);
    const intervals: Readonly<Record<Cadence, number>> = {
      often: 1,
      drawn: random.between(1, INTERVAL_DRAWN_MAX_BYTES),
      never: Number.MAX_SAFE_INTEGER,
    };
    const snapshotIntervalBytes = intervals[this.#plan.cadence];
    return { snapshotShare: 0, snapshotIntervalBytes, outputTailBytes: OUTPUT_TAIL_BYTES };
  }

  get #timers(): Partial<ServerTimers> {
    return {
      // It is the check that notices a handler which hangs, and says where.
      replayTimeoutMs: 4 * this.#settings.timeoutMs,
      snapshotPaceMs: 0,
      ...(this.#plan.cadence === 'never' && {
        snapshotIntervalMs: NEVER_MS,
        snapshotSoonMs: NEVER_MS,
        snapshotBusyMs: NEVER_MS,
      }),
    };
  }

  #onConnection(socket: ServerSocket, handler: Handler): void {
    const number = this.executions.length;
    const execution = new Execution(socket, {
      number,
      cause: number === 0 ? undefined : this.#hooks.lastFault(),
      onProgress: () => this.#hooks.progress(),
      hasClientLeft: () => this.#hooks.hasClientLeft(),
    });
    this.executions.push(execution);
    if (this.#settings.shiftClock) shiftClock((this.#plan.number + number) % 2 === 0 ? 0 : SHIFT_MS);
    const effects = this.effects.forExecution(String(socket.sessionId), () => !execution.isDead);
    const fail = (failure: HandlerFailure): void => {
      if (execution.isDead) return;
      execution.fail(failure);
      this.#hooks.failed(failure);
    };
    try {
      const result: unknown = handler(socket, { effects, execution: number });
      if (result instanceof Promise) result.catch((error: unknown) => fail({ how: 'rejected', error }));
    } catch (error) {
      fail({ how: 'threw', error });
    }
  }
}
