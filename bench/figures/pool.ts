/** Servers that write records, a client that reads them, and what becomes of it when a server dies or hands over. */
import type { Bench } from '../harness/bench.ts';
import type { Child, ChildOptions } from '../harness/child.ts';
import type { Blackout } from '../programs/blackout-calls.ts';
import type { Verdict } from '../programs/stamps.ts';
import { freePorts } from '../harness/free-ports.ts';
import { awaitRest, awaitStandby } from './readiness.ts';

/** How long a client is looked at around a move, and before one, in milliseconds. */
const WINDOW_MS = 50;

type Program = Pick<ChildOptions, 'program' | 'config'>;

export interface PoolOptions {
  /** For messages, and for the programs: `net` loads no Godwit. */
  readonly name: string;
  readonly servers: number;
  readonly server: (port: number, members: readonly string[]) => Program;
  readonly client: (ports: readonly number[]) => Program;
  /** A move waits until the client has a standby somewhere. */
  readonly standbys: boolean;
}

export type Phases = NonNullable<Blackout['report']>['phases'];

/** Moves that counted, one after another. */
export interface Moves {
  readonly gapsMs: number[];
  /** Those of the moves before, while the programs were cold. */
  readonly coldGapsMs: number[];
  /** The longest gap in a window without a move, before each. */
  readonly calmMs: number[];
  readonly phases: Phases[];
  /** What the client received, warm-up included. */
  readonly verdict: Verdict;
}

export class Pool {
  readonly #bench: Bench;
  readonly #options: PoolOptions;
  readonly #members: readonly string[];
  readonly #servers = new Map<number, Child>();
  readonly #client: Promise<Child>;

  private constructor(bench: Bench, options: PoolOptions, ports: readonly number[]) {
    this.#bench = bench;
    this.#options = options;
    this.#members = ports.map((port) => `127.0.0.1:${port}`);
    const starting = Promise.all(ports.map((port) => this.#startServer(port)));
    const { program, config } = options.client(ports);
    this.#client = bench.start(`client of ${options.name}`, {
      program,
      config: starting.then(() => config),
      arguments: [options.name],
    });
  }

  static async start(bench: Bench, options: PoolOptions): Promise<Pool> {
    const pool = new Pool(bench, options, await freePorts(options.servers));
    await pool.#client;
    return pool;
  }

  /** Lets the session go to another server and back, so many times. */
  migrate(count: number): Promise<Moves> {
    const { warmUpMoves } = this.#bench.scale;
    return this.#moves({ count, warmUp: warmUpMoves }, async (client) => {
      const blackout = await client.call<Blackout>('migrate', WINDOW_MS);
      const { source } = blackout.report ?? {};
      if (source !== 'origin') throw new Error(`a planned move came from the ${source}`);
      return blackout;
    });
  }

  /** Whether the client resumed its TLS session at the server where it is. */
  async resumed(): Promise<boolean> {
    return (await this.#client).call<boolean>('resumed');
  }

  /** Kills the server that serves, so many times; another one is brought up in its place each time. */
  crash(count: number): Promise<Moves> {
    const { warmUpKills } = this.#bench.scale;
    return this.#moves({ count, warmUp: warmUpKills }, async (client, isLast) => {
      await client.call('expectDeath');
      const port = await client.call<number>('port');
      const victim = this.#servers.get(port);
      if (victim === undefined) throw new Error(`no server has the port ${port}`);
      const gone = victim.kill();
      const blackout = await client.call<Blackout>('survive', WINDOW_MS);
      await gone;
      if (!isLast) await this.#startServer(port);
      return blackout;
    });
  }

  async #moves(
    { count, warmUp }: { readonly count: number; readonly warmUp: number },
    move: (client: Child, isLast: boolean) => Promise<Blackout>,
  ): Promise<Moves> {
    const client = await this.#client;
    const moves = {
      gapsMs: [] as number[],
      coldGapsMs: [] as number[],
      calmMs: [] as number[],
      phases: [] as Phases[],
    };
    const all = count + warmUp;
    for (let done = 0; done < all; done += 1) {
      await this.#awaitReadiness(client);
      const calm = await client.call<Blackout>('calm', WINDOW_MS);
      const { gapMs, report } = await move(client, done === all - 1);
      if (done < warmUp) {
        moves.coldGapsMs.push(gapMs);
        continue;
      }
      moves.calmMs.push(calm.gapMs);
      moves.gapsMs.push(gapMs);
      if (report != null) moves.phases.push(report.phases);
    }
    return { ...moves, verdict: await client.call<Verdict>('verdict') };
  }

  async #awaitReadiness(client: Child): Promise<void> {
    const serving = await client.call<number>('port');
    const idle = [...this.#servers].filter(([port]) => port !== serving).map(([, server]) => server);
    if (this.#options.standbys) await awaitStandby(idle);
    await awaitRest(idle);
  }

  async #startServer(port: number): Promise<void> {
    const { name, server } = this.#options;
    const started = { ...server(port, this.#members), arguments: [name] };
    this.#servers.set(port, await this.#bench.start(`server ${port} of ${name}`, started));
  }
}
