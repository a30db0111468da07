/** tls: bulkDown where both sides encrypt. */
import type { Bench, Benchmark } from '../harness/bench.ts';
import { compare } from '../harness/compare.ts';
import { interleave } from '../harness/interleave.ts';
import { median, rounded } from '../harness/statistics.ts';
import type { ClientChoices, ServerChoices } from '../programs/implementation.ts';
import { perRound, phasesOf, soundOnly } from './blackout.ts';
import { Pool, type Moves } from './pool.ts';
import { BULK_DOWN, measureStream } from './streams.ts';

export const tls: Benchmark = {
  summary: 'bulkDown over TLS, over node:tls, GB/s',
  run: async (bench) => {
    const figure = await compare(bench, {
      unit: 'GB/s',
      ways: {
        godwit: () => measureStream(bench, { ...BULK_DOWN, implementation: 'godwit', tls: true }),
        net: () => measureStream(bench, { ...BULK_DOWN, implementation: 'net', tls: true }),
      },
      over: 'net',
    });
    return { ...figure, moveMs: await measureMoves(bench) };
  },
};

/**
 * What a move costs that has no standby to go to: the handshake at the destination is within it. Medians, in milliseconds: of
 * the connection with its handshake, and of the gap at the client.
 */
async function measureMoves(bench: Bench): Promise<Readonly<Record<'resumed' | 'full', object>>> {
  const leg = (name: 'resumed' | 'full') => ({
    name,
    run: () => bench.within(() => measureRound(bench, name === 'resumed')),
  });
  const moves = await interleave([leg('resumed'), leg('full')], bench.scale.sideRounds);
  const summary = (rounds: readonly Moves[]): object => ({
    connect: phasesOf(rounds.flatMap(({ phases }) => phases))['connect'],
    gap: rounded(median(rounds.flatMap(({ gapsMs }) => gapsMs))),
  });
  return { resumed: summary(moves.resumed), full: summary(moves.full) };
}

async function measureRound(bench: Bench, resumption: boolean): Promise<Moves> {
  const pool = await Pool.start(bench, {
    name: `godwit over TLS, ${resumption ? 'resumed' : 'not resumed'}`,
    servers: 2,
    server: (port, members) => ({
      program: 'bench/programs/ticking-server.ts',
      config: { implementation: 'godwit', port, members, tls: true, resumption } satisfies ServerChoices,
    }),
    client: (ports) => ({
      program: 'bench/programs/blackout-client.ts',
      config: { implementation: 'godwit', ports, tls: true, standby: false } satisfies ClientChoices,
    }),
    standbys: false,
  });
  const moves = soundOnly(await pool.migrate(perRound(bench.scale.kills, bench)));
  if ((await pool.resumed()) !== resumption)
    throw new Error(`the handshake of the last move was ${resumption ? 'not ' : ''}a resumption`);
  return moves;
}
