/** peers: the same work by whatever else a program could use, and what that asks of the program. */
import { measureCrashes } from '../figures/blackout.ts';
import { Pool, type Moves } from '../figures/pool.ts';
import { BULK_DOWN, measureStream } from '../figures/streams.ts';
import { streamWindow } from '../figures/windows.ts';
import { ping } from '../figures/tiny.ts';
import type { Bench } from '../harness/bench.ts';
import { interleave } from '../harness/interleave.ts';
import { median, percentile, rounded } from '../harness/statistics.ts';
import type { Implementation } from '../programs/implementation.ts';
import type { Pings } from '../programs/pings.ts';
import type { Rate, Window } from '../programs/rate-meter.ts';
import type { PeerClientConfig, PeerName, PeerServerConfig } from './peer.ts';
import { redisObstacle, startRedis } from './redis.ts';
import type { Work } from './work.ts';

const PING_BYTES = 64;
const SERVERS = 3;

interface Row {
  readonly title: string;
  /** What the program of the client had to do for it, besides reading. */
  readonly clientHadTo: string;
  /** Only that figure is measured which the row before it does not have already. */
  readonly onlyCrashes?: boolean;
  readonly needsRedis?: boolean;
}

const ROWS: Readonly<Record<Implementation | PeerName, Row>> = {
  godwit: {
    title: 'Godwit',
    clientHadTo: 'name the servers',
  },
  net: {
    title: 'net, reconnect and restart',
    clientHadTo: 'notice the end, connect to the next server, throw away what came before',
  },
  http: {
    title: 'HTTP, Range',
    clientHadTo:
      'count bytes, ask the next server for the rest; the server must be able to make any part again, and nothing goes up',
  },
  ws: {
    title: 'ws, reconnecting client',
    clientHadTo:
      'name the next server at each attempt, set the library’s pauses from 1 s to 1 ms, throw away what came before',
  },
  wsOffsets: {
    title: 'ws, reconnecting client, own offsets',
    clientHadTo:
      'as above, but count bytes and say so behind each reconnect; the server must be able to make any part again',
    onlyCrashes: true,
  },
  socketio: {
    title: 'Socket.IO, state recovery over Redis streams',
    clientHadTo:
      'put the next address into the library by hand, set its pauses from 1 s to 1 ms, acknowledge for the sake of backpressure, ' +
      'throw away what came before: a server that is killed leaves no session to recover',
    needsRedis: true,
  },
  socketioOffsets: {
    title: 'Socket.IO, the same, own offsets',
    clientHadTo:
      'as above, but count bytes and say so behind each reconnect; the server must be able to make any part again',
    onlyCrashes: true,
    needsRedis: true,
  },
};

/** One row of the results. */
export interface PeerResult {
  readonly title: string;
  readonly clientHadTo: string;
  /** 64 KiB writes from server to client, GB/s. */
  readonly throughput?: number;
  /** 64 B there and back, microseconds. */
  readonly ping?: number;
  /** Longest gap at the client when its server is killed, milliseconds. */
  readonly blackout?: number;
  readonly blackoutP99?: number;
  readonly kills?: number;
  /** Of the bytes that came, over all kills. */
  readonly lost?: number;
  readonly doubled?: number;
  /** Why the row has no figures. */
  readonly skipped?: string;
}

export type PeerResults = Readonly<Partial<Record<Implementation | PeerName, PeerResult>>>;

interface Measured {
  readonly throughput: number;
  readonly ping: number;
  readonly moves: Moves;
}

export const PEERS_SUMMARY = 'the same work by net, HTTP Range, ws and Socket.IO, which restore less';

export async function comparePeers(bench: Bench): Promise<PeerResults> {
  const obstacle = await redisObstacle((line) => bench.log(line));
  const redis = obstacle === undefined ? await startRedis() : undefined;
  const names = Object.keys(ROWS) as (Implementation | PeerName)[];
  const able = names.filter((name) => redis !== undefined || !ROWS[name].needsRedis);
  const kills = Math.ceil(bench.scale.kills / bench.scale.pairs / 2);
  try {
    const measured = await interleave(
      able.map((name) => ({
        name,
        run: async (round: number): Promise<Measured> => {
          const one = await measureRow(bench, name, { kills, redis: redis?.socket });
          bench.log(`${round + 1}/${bench.scale.pairs} ${name} ${rounded(median(one.moves.gapsMs))} ms`);
          return one;
        },
      })),
      bench.scale.pairs,
    );
    return Object.fromEntries(
      names.map((name) => {
        const { title, clientHadTo } = ROWS[name];
        const rows = able.includes(name) ? measured[name] : undefined;
        return [
          name,
          { title, clientHadTo, ...(rows === undefined ? { skipped: obstacle } : resultOf(rows)) },
        ];
      }),
    );
  } finally {
    await redis?.stop();
  }
}

async function measureRow(
  bench: Bench,
  name: Implementation | PeerName,
  { kills, redis }: { readonly kills: number; readonly redis: string | undefined },
): Promise<Measured> {
  const { onlyCrashes = false } = ROWS[name];
  if (name === 'godwit' || name === 'net') {
    const stream = { ...BULK_DOWN, implementation: name };
    return {
      throughput: (await bench.within(() => measureStream(bench, stream))).value,
      ping: (await bench.within(() => ping(bench, name))).value,
      moves: await bench.within(() => measureCrashes(bench, name, kills)),
    };
  }
  const server = (work: Work, port = 0): PeerServerConfig => ({
    peer: name,
    work,
    port,
    ...(redis !== undefined && { redis }),
  });
  const ask = async <T>(work: Work, call: string, window: Window): Promise<T> => {
    const { client } = await bench.startBoth(name, {
      server: { program: 'bench/peers/peer-server.ts', config: server(work) },
      client: {
        program: 'bench/peers/peer-client.ts',
        config: (port) => ({ peer: name, work, ports: [port] }) satisfies PeerClientConfig,
      },
    });
    return client.call<T>(call, { ...window, bytes: PING_BYTES });
  };
  const crashes = async (): Promise<Moves> => {
    const pool = await Pool.start(bench, {
      name,
      servers: SERVERS,
      server: (port) => ({ program: 'bench/peers/peer-server.ts', config: server('tick', port) }),
      client: (ports) => ({
        program: 'bench/peers/peer-client.ts',
        config: { peer: name, work: 'tick', ports } satisfies PeerClientConfig,
      }),
      standbys: false,
    });
    return pool.crash(kills);
  };
  const rate = onlyCrashes
    ? undefined
    : await bench.within(() => ask<Rate>('stream', 'rate', streamWindow(bench.scale, BULK_DOWN.writeBytes)));
  const pings = onlyCrashes ? undefined : await bench.within(() => ask<Pings>('echo', 'pings', bench.scale));
  return {
    throughput: rate === undefined ? NaN : rate.count / rate.seconds / 1e9,
    ping: pings?.medianUs ?? NaN,
    moves: await bench.within(crashes),
  };
}

function resultOf(rows: readonly Measured[]): Omit<PeerResult, 'title' | 'clientHadTo'> {
  const gaps = rows.flatMap(({ moves }) => moves.gapsMs);
  const sum = (key: 'lost' | 'doubled'): number =>
    rows.reduce((total, { moves }) => total + moves.verdict[key], 0);
  const throughput = median(rows.map((row) => row.throughput));
  return {
    ...(!Number.isNaN(throughput) && {
      throughput: rounded(throughput),
      ping: rounded(median(rows.map((row) => row.ping))),
    }),
    blackout: rounded(median(gaps)),
    blackoutP99: rounded(percentile(gaps, 99)),
    kills: gaps.length,
    lost: sum('lost'),
    doubled: sum('doubled'),
  };
}
