/** What a benchmark is, and what it answers. */
import { Child, type ChildOptions } from './child.ts';

/** One row of the results. `ratio` is the figure that limits judge. */
export interface Figure {
  readonly ratio: number;
  /** Medians of the two that are compared, in `unit`; `godwit` always is the numerator, and `net` what it is held against. */
  readonly godwit: number;
  readonly net: number;
  /** The lowest and the highest ratio that a single pair gave. */
  readonly spread: readonly [lowest: number, highest: number];
  readonly unit: string;
  readonly pairs: number;
  /** What else was measured on the way. */
  readonly [extra: string]: unknown;
}

/** A benchmark that can't be run here, and why. */
export interface Skipped {
  readonly skipped: string;
}

export type Outcome = Figure | Skipped;

export interface Benchmark {
  /** In one line, for people. */
  readonly summary: string;
  readonly run: (bench: Bench) => Promise<Outcome>;
}

export interface Scale {
  /** Interleaved pairs of measurements. */
  readonly pairs: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** A stream is warm when that many bytes have passed as well: V8 compiles by what was done, whoever is slower. */
  readonly warmUpBytes: number;
  /** The same for connections: so many, at the least. */
  readonly warmUpConnections: number;
  /** The same for requests. */
  readonly warmUpRequests: number;
  /** Idle sessions, where a benchmark has many. */
  readonly sessions: number;
  /** Sessions that a server gets rid of. */
  readonly movingSessions: number;
  /** Sessions with standbys, where a benchmark has them. */
  readonly standbySessions: number;
  /** Rounds of what is not judged, but told beside what is. */
  readonly sideRounds: number;
  /** Moves of a session in each round that do not count: what is compiled on the way is compiled then. */
  readonly warmUpMoves: number;
  /** The same for deaths of its server: each needs a new one, which takes a second. */
  readonly warmUpKills: number;
  /** Planned migrations and kills, over all pairs. */
  readonly migrations: number;
  readonly kills: number;
  /** Refusals that are timed. */
  readonly refusals: number;
}

/** As the figures are published. */
export const FULL: Scale = {
  pairs: 5,
  warmUpMs: 1_000,
  measureMs: 1_200,
  warmUpBytes: 2 ** 30,
  warmUpConnections: 40_000,
  warmUpRequests: 20_000,
  sessions: 10_000,
  movingSessions: 2_000,
  standbySessions: 4_000,
  sideRounds: 2,
  // As many as it takes until gaps become no shorter.
  warmUpMoves: 12,
  warmUpKills: 2,
  migrations: 120,
  kills: 105,
  refusals: 1_000,
};

/** As CI runs it: good for gross regressions only. */
export const QUICK: Scale = {
  pairs: 3,
  warmUpMs: 150,
  measureMs: 220,
  warmUpBytes: 2 ** 29,
  warmUpConnections: 200,
  // A server that rehearses meanwhile is a fifth as fast.
  warmUpRequests: 3_000,
  sessions: 1_000,
  movingSessions: 300,
  standbySessions: 1_000,
  sideRounds: 1,
  warmUpMoves: 1,
  warmUpKills: 1,
  migrations: 9,
  kills: 3,
  refusals: 200,
};

export interface BenchOptions {
  readonly name: string;
  readonly scale: Scale;
  readonly log: (line: string) => void;
  /** Options for node in the processes that are measured, for profiles. */
  readonly nodeOptions?: (title: string) => readonly string[];
}

/** A server and its client. */
export interface Both {
  readonly server: Omit<ChildOptions, 'title'>;
  readonly client: Omit<ChildOptions, 'title' | 'config'> & { readonly config: (port: number) => object };
}

/** What a benchmark works with: its scale, and its processes. */
export class Bench {
  readonly scale: Scale;
  readonly log: (line: string) => void;
  readonly #options: BenchOptions;
  readonly #children = new Set<Child>();

  constructor(options: BenchOptions) {
    this.#options = options;
    this.scale = options.scale;
    this.log = options.log;
  }

  /**
   * Starts a server, and a client that is told the server's port. Both load at the same time; what is called `net` loads no Godwit.
   */
  async startBoth(
    implementation: string,
    { server, client }: Both,
  ): Promise<{ readonly server: Child; readonly client: Child }> {
    const named = { arguments: [implementation] };
    const starting = this.start(`server of ${implementation}`, { ...server, ...named });
    const config = starting.then(async (started) => client.config(await started.ready<number>()));
    const [serving, connecting] = await Promise.all([
      starting,
      this.start(`client of ${implementation}`, { ...client, ...named, config }),
    ]);
    return { server: serving, client: connecting };
  }

  /** Starts a process; `role` says what it is, `server of net` for instance. */
  async start(role: string, options: Omit<ChildOptions, 'title'>): Promise<Child> {
    const title = `${this.#options.name}, ${role}`;
    const nodeOptions = [...(options.nodeOptions ?? []), ...(this.#options.nodeOptions?.(title) ?? [])];
    const child = await Child.start({ ...options, title, nodeOptions });
    this.#children.add(child);
    return child;
  }

  /** Runs one measurement, and ends the processes that it started, whatever becomes of it. */
  async within<T>(measurement: () => Promise<T>): Promise<T> {
    try {
      const value = await measurement();
      await Promise.all([...this.#children].map((child) => child.stop()));
      return value;
    } finally {
      await Promise.all([...this.#children].map((child) => child.kill()));
      this.#children.clear();
    }
  }
}
