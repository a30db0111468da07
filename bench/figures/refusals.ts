/** refusals: what it costs to refuse what proves nothing, against a TLS handshake. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { quotient } from '../harness/compare.ts';
import { interleave } from '../harness/interleave.ts';
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

/** Of one attempt, at whom it was tried on. */
interface PerAttempt {
  readonly cpuUs: number;
  readonly allocatedBytes: number | undefined;
}

export const refusals: Benchmark = {
  summary: 'processor time to refuse a bogus OPEN, MIGRATE, STANDBY or TRIGGER, over a TLS handshake, µs',
  run: async (bench) => {
    const legs = ATTEMPTS.map((name) => ({
      name,
      run: async (round: number): Promise<PerAttempt> => {
        const per = await bench.within(async () => ({
          cpuUs: await cpuUsOf(bench, name),
          // Hardly differs from one to the next.
          allocatedBytes: round === 0 ? await allocatedBytesOf(bench, name) : undefined,
        }));
        const { cpuUs, allocatedBytes = NaN } = per;
        bench.log(
          `${round + 1}/${bench.scale.pairs} ${name} ${rounded(cpuUs)} µs` +
            (round === 0 ? `, ${rounded(allocatedBytes)} bytes` : ''),
        );
        return per;
      },
    }));
    const measured = await interleave(legs, bench.scale.pairs);
    const timesOf = (name: Attempt): number[] => measured[name].map(({ cpuUs }) => cpuUs);
    const bytesOf = (name: Attempt): number[] =>
      measured[name].flatMap(({ allocatedBytes }) => (allocatedBytes === undefined ? [] : [allocatedBytes]));
    const bogus = ATTEMPTS.filter((name) => name !== 'handshake');
    const dearest = bogus.reduce((one, other) =>
      median(timesOf(one)) >= median(timesOf(other)) ? one : other,
    );
    const figure: Figure = {
      ...quotient(timesOf(dearest), timesOf('handshake')),
      godwit: rounded(median(timesOf(dearest))),
      net: rounded(median(timesOf('handshake'))),
      unit: 'µs',
      pairs: bench.scale.pairs,
      dearest,
      cpuUs: Object.fromEntries(ATTEMPTS.map((name) => [name, rounded(median(timesOf(name)))])),
      allocatedBytes: Object.fromEntries(ATTEMPTS.map((name) => [name, rounded(median(bytesOf(name)))])),
    };
    return figure;
  },
};

/** Processor time of an attempt. */
async function cpuUsOf(bench: Bench, attempt: Attempt): Promise<number> {
  const count = bench.scale.refusals;
  return ((await costOf(bench, attempt, { count, nodeOptions: [] })).cpuMs * 1000) / count;
}

/** Undefined where memory was collected meanwhile. */
async function allocatedBytesOf(bench: Bench, attempt: Attempt): Promise<number | undefined> {
  const count = COUNTED_ATTEMPTS;
  const { allocatedBytes } = await costOf(bench, attempt, { count, nodeOptions: COUNTING_OPTIONS });
  return allocatedBytes === undefined ? undefined : allocatedBytes / count;
}

async function costOf(
  bench: Bench,
  attempt: Attempt,
  { count, nodeOptions }: { readonly count: number; readonly nodeOptions: readonly string[] },
): Promise<Cost> {
  const { victim, attacker } = await startBoth(bench, attempt, nodeOptions);
  const attack = (options: Omit<AttackOptions, 'attempt'>): Promise<null> =>
    attacker.call('attack', { attempt, ...options } satisfies AttackOptions);
  const { refusals, warmUpMs } = bench.scale;
  const rehearses = attempt !== 'handshake' && attempt !== 'trigger';
  await attack({ count: refusals, atLeastMs: rehearses ? Math.max(WARM_UP_MS, warmUpMs) : warmUpMs });
  await victim.call('begin');
  await attack({ count });
  return victim.call<Cost>('end');
}

/** TRIGGERs come from servers to clients, everything else from clients to servers. */
async function startBoth(
  bench: Bench,
  attempt: Attempt,
  nodeOptions: readonly string[],
): Promise<{
  readonly victim: Awaited<ReturnType<Bench['start']>>;
  readonly attacker: Awaited<ReturnType<Bench['start']>>;
}> {
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
