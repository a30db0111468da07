/** Server processes at fixed addresses, to be killed, drained and started again. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { endedByItself, expectMessage, killChild, startChild, tailOf } from './child.ts';
import { KEY_VARIABLE } from './messages.ts';
import type { ServerCommand, ServerConfig, ServerMessage } from './messages.ts';
import type { Delivery } from './transfer.ts';

const HOST = '127.0.0.1';

/** How long a server process may take until it listens. */
const START_LIMIT_MS = 20_000;

/** How long a drain may take until it counts as failed. */
const DRAIN_LIMIT_MS = 20_000;

export interface PoolOptions {
  readonly servers: number;
  readonly delivery: Delivery;
  readonly file: string;
  readonly rate: number;
  /** Folder for the servers' logs. */
  readonly folder: string;
  /** The module that a server process runs. */
  readonly entry?: string;
  /** A server process ended or failed that nobody had killed. */
  readonly onFailure: (error: Error) => void;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

export type ServerState = 'starting' | 'ready' | 'draining' | 'down';

/** One address of the pool and the process that is behind it now. */
export interface PooledServer {
  readonly name: string;
  readonly port: number;
  readonly state: ServerState;
  /** 0 while there is no process. */
  readonly pid: number;
}

interface Slot {
  readonly name: string;
  readonly port: number;
  readonly logFile: string;
  state: ServerState;
  child: ChildProcess | undefined;
}

export class ServerPool {
  readonly #options: PoolOptions;
  #rate: number;
  readonly #slots: readonly Slot[];
  /** Sealed with it, tickets of this run are worth nothing in any other. */
  readonly #key = randomBytes(32).toString('hex');
  #stopped = false;

  private constructor(options: PoolOptions, ports: readonly number[]) {
    this.#options = options;
    this.#rate = options.rate;
    this.#slots = ports.map((port, index) => {
      const name = `server-${index + 1}`;
      const logFile = join(options.folder, `${options.delivery}-${name}.log`);
      return { name, port, logFile, state: 'down', child: undefined };
    });
  }

  /** Resolves when all servers listen. */
  static async start(options: PoolOptions): Promise<ServerPool> {
    const { servers, signal } = options;
    const pool = new ServerPool(options, await findFreePorts(servers));
    const onAbort = (): void => void pool.stop();
    signal?.addEventListener('abort', onAbort);
    try {
      signal?.throwIfAborted();
      await Promise.all(pool.#slots.map((slot) => pool.#start(slot)));
      signal?.throwIfAborted();
    } catch (error) {
      await pool.stop();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return pool;
  }

  /** What clients connect to. */
  get addresses(): string[] {
    return this.#slots.map(({ port }) => `${HOST}:${port}`);
  }

  get servers(): PooledServer[] {
    return this.#slots.map(({ name, port, state, child }) => ({ name, port, state, pid: child?.pid ?? 0 }));
  }

  get(name: string): PooledServer {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`there is no server called "${name}"`);
    return found;
  }

  /** Megabytes a second for sessions that start from now on. */
  setRate(rate: number): void {
    this.#rate = rate;
    for (const { child } of this.#slots) child?.send({ type: 'pace', rate } satisfies ServerCommand);
  }

  /** SIGKILL, now. */
  kill(name: string): void {
    const slot = this.#slot(name);
    slot.state = 'down';
    slot.child?.kill('SIGKILL');
  }

  /** Starts a server that was killed or drained once more, at the same address. */
  async restart(name: string): Promise<void> {
    const slot = this.#slot(name);
    slot.state = 'down';
    if (slot.child !== undefined) await killChild(slot.child);
    if (!this.#stopped) await this.#start(slot);
  }

  /** Has every session of a server move to the others; resolves to how many did. */
  async drain(name: string): Promise<number> {
    const slot = this.#slot(name);
    slot.state = 'draining';
    if (slot.child === undefined) throw new Error(`${name} is not running`);
    slot.child.send({ type: 'drain' } satisfies ServerCommand);
    const message = await expectMessage<ServerMessage, 'drained'>(
      slot.child,
      'drained',
      DRAIN_LIMIT_MS,
      slot,
    );
    return message.moved;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#slots.flatMap(({ child }) => (child === undefined ? [] : [killChild(child)])));
  }

  /** The end of a server's log. */
  logTail(name: string): string {
    return tailOf(this.#slot(name).logFile);
  }

  #slot(name: string): Slot {
    const found = this.#slots.find((slot) => slot.name === name);
    if (found === undefined) throw new Error(`there is no server called "${name}"`);
    return found;
  }

  async #start(slot: Slot): Promise<void> {
    const { delivery, file, entry } = this.#options;
    const rate = this.#rate;
    const { name, port, logFile } = slot;
    const child = startChild({
      entry: entry ?? join(import.meta.dirname, 'server-process.ts'),
      config: {
        name,
        host: HOST,
        port,
        members: this.addresses,
        delivery,
        file,
        rate,
      } satisfies ServerConfig,
      logFile,
      environment: { [KEY_VARIABLE]: this.#key },
    });
    slot.child = child;
    slot.state = 'starting';
    child.once('exit', (code, signal) => {
      const expected = this.#stopped || slot.child !== child || slot.state === 'down';
      if (slot.child === child) slot.state = 'down';
      if (!expected) this.#options.onFailure(endedByItself(slot, signal ?? `exit code ${code}`));
    });
    await expectMessage<ServerMessage, 'ready'>(child, 'ready', START_LIMIT_MS, slot);
    slot.state = 'ready';
  }
}

/** Ports that nobody listens on. They are found together, so that they differ. */
async function findFreePorts(count: number): Promise<number[]> {
  const probes = await Promise.all(
    Array.from({ length: count }, async () => {
      const probe = net.createServer().listen(0, HOST);
      await once(probe, 'listening');
      return probe;
    }),
  );
  const ports = probes.map((probe) => (probe.address() as net.AddressInfo).port);
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}
