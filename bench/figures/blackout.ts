/** plannedBlackout, crashBlackout: how long a client gets nothing while its session changes servers. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import type { Child } from '../harness/child.ts';
import { interleave } from '../harness/interleave.ts';
import { median, percentile, rounded, spreadOfPairs } from '../harness/statistics.ts';
import type { Blackout } from '../programs/blackout-client.ts';
import type { ClientChoices, Implementation, ServerChoices } from '../programs/implementation.ts';
import type { Verdict } from '../programs/stamps.ts';
import { freePorts } from './free-ports.ts';
import { awaitStandby } from './standbys.ts';
import { ping } from './tiny.ts';

/** How long a client is looked at around a move, and before one, in milliseconds. */
const WINDOW_MS = 50;

/** Moves that do not count: what is compiled on the way is compiled now. */
const WARM_UP_MOVES = 2;

const PERCENTILES = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 100] as const;

type Phases = NonNullable<Blackout['report']>['phases'];

interface Moves {
  readonly gapsMs: number[];
  /** The longest gap in a window without a move, before each. */
  readonly calmMs: number[];
  readonly phases: Phases[];
}

export const plannedBlackout: Benchmark = {
  summary:
    'longest gap of a client whose session is moved over a standby, less a calm one, over a round trip of net, ms',
  run: async (bench) => {
    const { pairs, migrations } = bench.scale;
    const perRound = Math.ceil(migrations / pairs);
    const all: Moves[] = [];
    const { godwit, net } = await interleave<'godwit' | 'net', readonly number[]>(
      [
        {
          name: 'godwit',
          run: async (round) => {
            const moves = await bench.within(() => migrate(bench, perRound));
            all.push(moves);
            const calmMs = median(moves.calmMs);
            const excessMs = moves.gapsMs.map((gapMs) => gapMs - calmMs);
            bench.log(
              `${round + 1}/${pairs} godwit ${rounded(median(excessMs))} ms more than a calm ${rounded(calmMs)} ms`,
            );
            return excessMs;
          },
        },
        {
          name: 'net',
          run: async (round) => {
            const { value } = await bench.within(() => ping(bench, 'net'));
            bench.log(`${round + 1}/${pairs} net ${rounded(value)} µs there and back`);
            return [value / 1000];
          },
        },
      ],
      pairs,
    );
    return figureOf({ godwit, net, pairs, moves: all, calm: true });
  },
};

export const crashBlackout: Benchmark = {
  summary:
    'longest gap of a client whose server is killed, over what net needs to get bytes from another server, ms',
  run: async (bench) => {
    const { pairs, kills } = bench.scale;
    const perRound = Math.ceil(kills / pairs);
    const all: Moves[] = [];
    const leg = (name: Implementation) => ({
      name,
      run: async (round: number): Promise<readonly number[]> => {
        const moves = await bench.within(() => crash(bench, name, perRound));
        if (name === 'godwit') all.push(moves);
        bench.log(`${round + 1}/${pairs} ${name} ${rounded(median(moves.gapsMs))} ms`);
        return moves.gapsMs;
      },
    });
    const { godwit, net } = await interleave([leg('godwit'), leg('net')], pairs);
    return figureOf({ godwit, net, pairs, moves: all, calm: false });
  },
};

/** Two servers, and a session that goes back and forth between them. */
async function migrate(bench: Bench, count: number): Promise<Moves> {
  const pool = await Pool.start(bench, { implementation: 'godwit', servers: 2 });
  const moves = new Recorder();
  for (let move = 0; move < count + WARM_UP_MOVES; move += 1) {
    await pool.awaitStandby();
    const calm = await pool.client.call<Blackout>('calm', WINDOW_MS);
    const blackout = await pool.client.call<Blackout>('migrate', WINDOW_MS);
    const { source } = blackout.report ?? {};
    if (source !== 'origin') throw new Error(`a planned move came from the ${source}`);
    if (move >= WARM_UP_MOVES) moves.add(calm, blackout);
  }
  await pool.check();
  return moves;
}

/** Three servers, of which the one that serves dies, and comes back when its client is served elsewhere. */
async function crash(bench: Bench, implementation: Implementation, count: number): Promise<Moves> {
  const pool = await Pool.start(bench, { implementation, servers: 3 });
  const moves = new Recorder();
  for (let move = 0; move < count + WARM_UP_MOVES; move += 1) {
    if (implementation === 'godwit') await pool.awaitStandby();
    const calm = await pool.client.call<Blackout>('calm', WINDOW_MS);
    await pool.client.call('expectDeath');
    const restart = pool.killServing(await pool.client.call<number>('port'));
    const blackout = await pool.client.call<Blackout>('survive', WINDOW_MS);
    if (move >= WARM_UP_MOVES) moves.add(calm, blackout);
    await restart();
  }
  if (implementation === 'godwit') await pool.check();
  return moves;
}

class Recorder implements Moves {
  readonly gapsMs: number[] = [];
  readonly calmMs: number[] = [];
  readonly phases: Phases[] = [];

  add(calm: Blackout, blackout: Blackout): void {
    this.calmMs.push(calm.gapMs);
    this.gapsMs.push(blackout.gapMs);
    if (blackout.report !== undefined && blackout.report !== null) this.phases.push(blackout.report.phases);
  }
}

/** Servers that tick, and a client of theirs. */
class Pool {
  readonly #bench: Bench;
  readonly #implementation: Implementation;
  readonly #servers = new Map<number, Child>();
  readonly #members: readonly string[];
  #client: Child | undefined;

  private constructor(bench: Bench, implementation: Implementation, ports: readonly number[]) {
    this.#bench = bench;
    this.#implementation = implementation;
    this.#members = ports.map((port) => `127.0.0.1:${port}`);
  }

  static async start(
    bench: Bench,
    { implementation, servers }: { readonly implementation: Implementation; readonly servers: number },
  ): Promise<Pool> {
    const ports = await freePorts(servers);
    const pool = new Pool(bench, implementation, ports);
    const starting = Promise.all(ports.map((port) => pool.#startServer(port)));
    pool.#client = await bench.start(`client of ${implementation}`, {
      program: 'programs/blackout-client.ts',
      config: starting.then(() => ({ implementation, ports }) satisfies ClientChoices),
    });
    await starting;
    return pool;
  }

  get client(): Child {
    if (this.#client === undefined) throw new Error('the pool has no client yet');
    return this.#client;
  }

  /** Comes when the client has a standby at some server that does not serve it. */
  async awaitStandby(): Promise<void> {
    const serving = await this.client.call<number>('port');
    await awaitStandby([...this.#servers].filter(([port]) => port !== serving).map(([, server]) => server));
  }

  /** Kills the server, now. What it answers brings another one up in its place. */
  killServing(port: number): () => Promise<void> {
    const victim = this.#servers.get(port);
    if (victim === undefined) throw new Error(`no server has the port ${port}`);
    const gone = victim.kill();
    return async () => {
      await gone;
      await this.#startServer(port);
    };
  }

  /** Throws if a byte was lost, or came twice. */
  async check(): Promise<void> {
    const { lost, doubled } = await this.client.call<Verdict>('verdict');
    if (lost + doubled > 0) throw new Error(`${lost} bytes were lost, and ${doubled} came twice`);
  }

  async #startServer(port: number): Promise<void> {
    const server = await this.#bench.start(`server ${port} of ${this.#implementation}`, {
      program: 'programs/ticking-server.ts',
      config: {
        implementation: this.#implementation,
        port,
        members: this.#members,
      } satisfies ServerChoices,
    });
    this.#servers.set(port, server);
  }
}

interface Gaps {
  readonly godwit: readonly (readonly number[])[];
  readonly net: readonly (readonly number[])[];
  readonly pairs: number;
  readonly moves: readonly Moves[];
  /** The calm gap was taken off. */
  readonly calm: boolean;
}

/** Medians over all moves of all rounds; `p99` is the 99th percentile over the same median of net. */
function figureOf({ godwit, net, pairs, moves, calm }: Gaps): Figure {
  const [all, floor] = [godwit.flat(), net.flat()];
  const [lowest, highest] = spreadOfPairs(godwit.map(median), net.map(median));
  const phases = moves.flatMap((one) => one.phases);
  const phaseNames = Object.keys(phases[0] ?? {}) as (keyof Phases)[];
  return {
    ratio: rounded(median(all) / median(floor)),
    p99: rounded(percentile(all, 99) / median(floor)),
    godwit: rounded(median(all)),
    net: rounded(median(floor)),
    spread: [rounded(lowest), rounded(highest)],
    unit: 'ms',
    pairs,
    moves: all.length,
    calmMs: rounded(median(moves.flatMap(({ calmMs }) => calmMs))),
    calmTakenOff: calm,
    phasesMs: Object.fromEntries(
      phaseNames.map((name) => [name, rounded(median(phases.map((one) => one[name] ?? 0)))]),
    ),
    percentiles: PERCENTILES,
    distributionMs: { godwit: distribution(all), net: distribution(floor) },
  };
}

function distribution(values: readonly number[]): number[] {
  return PERCENTILES.map((percent) => rounded(percentile(values, percent)));
}
