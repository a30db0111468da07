/** refusals: what it costs to refuse what proves nothing, against a TLS handshake. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { quotient } from '../harness/compare.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { AttackOptions, Attempt, RefusalAttackerConfig } from '../programs/refusal-attacker.ts';
import type { Cost, RefusalVictimConfig } from '../programs/refusal-victim.ts';

const ATTEMPTS: readonly Attempt[] = ['handshake', 'open', 'migrate', 'standby', 'trigger'];

/** First as many are tried as are timed, and of a server that has just started for at least so long: it rehearses for a while. */
const WARM_UP_MS = 600;
/** For memory: few enough to fit before any is collected. */
const COUNTED_ATTEMPTS = 128;

/**
 * Room for all that is allocated while it is counted, in MiB. Only then: a heap like that is all memory that was never touched, which
 * costs JavaScript up to twice the time.
 */
const COUNTING_OPTIONS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];

/** Attempts that the same processes can be asked for, one after the other. */
const TOGETHER: readonly (readonly Attempt[])[] = [
  ['handshake'],
  ['open', 'migrate', 'standby'],
  ['trigger'],
];

interface Both {
  readonly victim: Awaited<ReturnType<Bench['start']>>;
  readonly attacker: Awaited<ReturnType<Bench['start']>>;
}

/** Of each attempt. */
type Costs = Partial<Record<Attempt, Cost>>;

export const refusals: Benchmark = {
  summary: 'processor time to refuse a bogus OPEN, MIGRATE, STANDBY or TRIGGER, over a TLS handshake, µs',
  run: async (bench) => {
    const { pairs, refusals: count } = bench.scale;
    const usOf = ({ cpuMs }: Cost): number => (cpuMs * 1000) / count;
    const rounds: Costs[] = [];
    for (let round = 0; round < pairs; round += 1) {
      const costs = await tryAll(bench, count, []);
      for (const [name, cost] of Object.entries(costs))
        bench.log(`${round + 1}/${pairs} ${name} ${rounded(usOf(cost))} µs`);
      rounds.push(costs);
    }
    const times = (name: Attempt): number[] =>
      rounds.flatMap(({ [name]: cost }) => (cost === undefined ? [] : [usOf(cost)]));
    // Hardly differs from one to the next. Null where memory was collected meanwhile.
    const counted = await tryAll(bench, COUNTED_ATTEMPTS, COUNTING_OPTIONS);
    const bytesOf = ({ allocatedBytes }: Cost): number | null =>
      allocatedBytes === undefined ? null : rounded(allocatedBytes / COUNTED_ATTEMPTS);
    const bogus = ATTEMPTS.filter((name) => name !== 'handshake');
    const dearest = bogus.reduce((one, other) => (median(times(one)) >= median(times(other)) ? one : other));
    const figure: Figure = {
      ...quotient(times(dearest), times('handshake')),
      godwit: rounded(median(times(dearest))),
      net: rounded(median(times('handshake'))),
      unit: 'µs',
      pairs,
      dearest,
      cpuUs: Object.fromEntries(ATTEMPTS.map((name) => [name, rounded(median(times(name)))])),
      allocatedBytes: Object.fromEntries(
        Object.entries(counted).map(([name, cost]) => [name, bytesOf(cost)]),
      ),
    };
    return figure;
  },
};

/** Tries each attempt so many times. */
async function tryAll(bench: Bench, count: number, nodeOptions: readonly string[]): Promise<Costs> {
  const costs: Costs = {};
  for (const attempts of TOGETHER) {
    await bench.within(async () => {
      const both = await startBoth(bench, attempts[0] as Attempt, nodeOptions);
      for (const attempt of attempts) {
        // The first that a server of Godwit is asked for.
        const rehearses = attempt === 'open';
        costs[attempt] = await costOf(bench, { attempt, count, rehearses, ...both });
      }
    });
  }
  return costs;
}

interface Trial extends Both {
  readonly attempt: Attempt;
  readonly count: number;
  /** The victim may still do what it does as it starts. */
  readonly rehearses: boolean;
}

async function costOf(bench: Bench, { attempt, count, rehearses, victim, attacker }: Trial): Promise<Cost> {
  const attack = (options: Omit<AttackOptions, 'attempt'>): Promise<null> =>
    attacker.call('attack', { attempt, ...options } satisfies AttackOptions);
  const { refusals, warmUpMs } = bench.scale;
  await attack({ count: refusals, atLeastMs: rehearses ? Math.max(WARM_UP_MS, warmUpMs) : warmUpMs });
  await victim.call('begin');
  await attack({ count });
  return victim.call<Cost>('end');
}

/** TRIGGERs come from servers to clients, everything else from clients to servers. */
async function startBoth(bench: Bench, attempt: Attempt, nodeOptions: readonly string[]): Promise<Both> {
  const victimProgram = { program: 'bench/programs/refusal-victim.ts', nodeOptions };
  const attackerProgram = { program: 'bench/programs/refusal-attacker.ts' };
  if (attempt === 'trigger') {
    const { server: attacker, client: victim } = await bench.startBoth(attempt, {
      server: { ...attackerProgram, config: {} satisfies RefusalAttackerConfig },
      client: {
        ...victimProgram,
        config: (port) => ({ role: 'client', port }) satisfies RefusalVictimConfig,
      },
    });
    return { attacker, victim };
  }
  const role = attempt === 'handshake' ? 'tls' : 'godwit';
  const { server: victim, client: attacker } = await bench.startBoth(attempt, {
    server: { ...victimProgram, config: { role } satisfies RefusalVictimConfig },
    client: { ...attackerProgram, config: (port) => ({ port }) satisfies RefusalAttackerConfig },
  });
  return { victim, attacker };
}
