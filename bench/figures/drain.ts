/** drain: how fast a server gets rid of its sessions. */
import type { Bench, Benchmark } from '../harness/bench.ts';
import { compare, type Measurement } from '../harness/compare.ts';
import type { LoadClientConfig } from '../programs/load-client.ts';
import type { Drained, RequestServerConfig } from '../programs/request-server.ts';
import { freePorts } from '../harness/free-ports.ts';
import { awaitStandby } from './readiness.ts';

const REQUEST = { requestBytes: 64, responseBytes: 64 };

export const drain: Benchmark = {
  summary: 'sessions that one draining server moves to another, over plain connects, sessions/s',
  run: async (bench) => {
    const sessions = bench.scale.movingSessions;
    const figure = await compare(bench, {
      unit: 'sessions/s',
      ways: { godwit: () => measureDrain(bench, sessions), net: () => measureConnects(bench, sessions) },
      over: 'net',
    });
    return { ...figure, sessions };
  },
};

async function measureDrain(bench: Bench, sessions: number): Promise<Measurement> {
  const ports = await freePorts(2);
  const members = ports.map((port) => `127.0.0.1:${port}`);
  const start = (port: number) =>
    bench.start(`server ${port} of godwit`, {
      program: 'bench/programs/request-server.ts',
      config: { implementation: 'godwit', port, members, ...REQUEST } satisfies RequestServerConfig,
    });
  const starting = Promise.all(ports.map(start));
  const client = await bench.start('client of godwit', {
    program: 'bench/programs/load-client.ts',
    // It knows the first server; the other one it hears of.
    config: starting.then(
      () => ({ implementation: 'godwit', ports: ports.slice(0, 1), ...REQUEST }) satisfies LoadClientConfig,
    ),
  });
  const [origin, destination] = await starting;
  if (origin === undefined || destination === undefined) throw new Error('two servers were to be started');
  await client.call('open', sessions);
  await awaitStandby([destination]);
  const { moved, seconds } = await origin.call<Drained>('drain');
  if (moved !== sessions) throw new Error(`${moved} of ${sessions} sessions moved`);
  // They are there, and they work.
  await client.call('ask');
  return { value: moved / seconds };
}

/** Connections, each with one request answered as the sessions above had: opening them is what is timed. */
async function measureConnects(bench: Bench, connections: number): Promise<Measurement> {
  const { client } = await bench.startBoth('net', {
    server: {
      program: 'bench/programs/request-server.ts',
      config: { implementation: 'net', ...REQUEST } satisfies RequestServerConfig,
    },
    client: {
      program: 'bench/programs/load-client.ts',
      config: (port) => ({ implementation: 'net', ports: [port], ...REQUEST }) satisfies LoadClientConfig,
    },
  });
  return { value: connections / (await client.call<number>('connect', connections)) };
}
