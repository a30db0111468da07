/** refusals: what it costs to refuse what proves nothing, against a TLS handshake. */
import type { Bench, Benchmark, Figure } from '../harness/bench.ts';
import { quotient } from '../harness/compare.ts';
import { interleave } from '../harness/interleave.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { AttackOptions, Attempt, RefusalAttackerConfig } from '../programs/refusal-attacker.ts';
import type { Cost, RefusalVictimConfig } from '../programs/refusal-victim.ts';

const ATTEMPTS: readonly Attempt[] = ['handshake', 'open', 'migrate', 'standby', 'trigger'];

/** So many are tried before any is timed, as a share of those: so code is compiled. */
const WARM_UP_SHARE = 0.75;
/** For memory: few enough to fit before any is collected. */
const COUNTED_ATTEMPTS = 128;

/** Room for all that is allocated while it is counted, in MiB. */
const NODE_OPTIONS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];

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
        const per = await bench.within(() => measure(bench, name));
        const { cpuUs, allocatedBytes = NaN } = per;
        bench.log(
          `${round + 1}/${bench.scale.pairs} ${name} ${rounded(cpuUs)} µs, ${rounded(allocatedBytes)} bytes`,
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

async function measure(bench: Bench, attempt: Attempt): Promise<PerAttempt> {
  const { victim, attacker } = await startBoth(bench, attempt);
  const attack = (count: number): Promise<null> =>
    attacker.call('attack', { attempt, count } satisfies AttackOptions);
  const timedAttempts = bench.scale.refusals;
  await attack(timedAttempts * WARM_UP_SHARE);
  const costOf = async (count: number): Promise<Cost> => {
    await victim.call('begin');
    await attack(count);
    return victim.call<Cost>('end');
  };
  const { cpuMs } = await costOf(timedAttempts);
  const { allocatedBytes } = await costOf(COUNTED_ATTEMPTS);
  return {
    cpuUs: (cpuMs * 1000) / timedAttempts,
    allocatedBytes: allocatedBytes === undefined ? undefined : allocatedBytes / COUNTED_ATTEMPTS,
  };
}

/** TRIGGERs come from servers to clients, everything else from clients to servers. */
async function startBoth(
  bench: Bench,
  attempt: Attempt,
): Promise<{
  readonly victim: Awaited<ReturnType<Bench['start']>>;
  readonly attacker: Awaited<ReturnType<Bench['start']>>;
}> {
  const victimProgram = { program: 'bench/programs/refusal-victim.ts', nodeOptions: NODE_OPTIONS };
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
