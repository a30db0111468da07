/** What one address may take of a server: places, OPENs in a second, and memory, of which it gives back first who has most. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import {
  connect,
  createServer,
  overloadPolicy,
  type EndBy,
  type GodwitError,
  type OverloadPolicy,
  type Refusal,
  type Server,
  type ServerOptions,
  type ServerSocket,
  type Socket,
} from 'godwit';
import { RawClient } from '../attacks/raw-client.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;
/** Elsewhere 127.0.0.1 is all there is of 127.0.0.0/8. */
const needsTwoAddresses = process.platform === 'linux' ? {} : { skip: 'one address only' };
const HERE = '127.0.0.1';
const ELSEWHERE = '127.0.0.2';

function echo(socket: ServerSocket): void {
  socket.onExportState(() => 'nothing');
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => socket.write(chunk));
}

interface To {
  readonly from?: string;
  /** Which servers it knows at first; by default the first one. */
  readonly servers?: readonly (string | undefined)[];
}

function dial(cluster: Cluster, { from = HERE, servers = [cluster.addresses[0]] }: To = {}): Socket {
  const socket = connect({ servers: servers as string[], localAddress: from });
  socket.on('error', () => undefined);
  return socket;
}

async function open(cluster: Cluster, to: To = {}): Promise<Socket> {
  const socket = dial(cluster, to);
  await once(socket, 'connect');
  return socket;
}

async function codeOf(socket: Socket): Promise<string> {
  return ((await once(socket, 'error')) as [GodwitError])[0].code;
}

async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(socket, 'data'))[0]);
  assert.equal(received, text);
}

test(
  'one address has only so many sessions; the others have theirs, and what it has goes on',
  needsTwoAddresses,
  async () => {
    await using cluster = await startCluster(1, echo, { limits: { maxSessionsPerAddress: 2 } });
    const [first, second] = [await open(cluster), await open(cluster)];
    const refused = once(cluster.servers[0] as NodeJS.EventEmitter, 'refused') as Promise<[Refusal]>;
    assert.equal(await codeOf(dial(cluster)), 'ERR_GODWIT_BUSY');
    assert.match((await refused)[0].message, /127\.0\.0\.1 .*\(maxSessionsPerAddress\)/);
    const other = await open(cluster, { from: ELSEWHERE });
    for (const socket of [first, second, other]) await exchange(socket, 'still here');
    // Who leaves makes room.
    first.destroy();
    await until(() => cluster.servers[0]?.stats.sessions === 2);
    const third = await open(cluster);
    await exchange(third, 'in its place');
    for (const socket of [second, third, other]) socket.destroy();
  },
);

test('whoever is over it goes to another server at once, and so does a session that another server sends', async () => {
  await using cluster = await startCluster(2, echo, { limits: { maxSessionsPerAddress: 1 } });
  const first = await open(cluster);
  const second = await open(cluster, { servers: cluster.addresses });
  assert.equal(second.currentServer?.name, 's1');
  await assert.rejects(first.migrate({ to: 's1' }), (error: GodwitError) => {
    assert.equal((error.cause as GodwitError).code, 'ERR_GODWIT_BUSY');
    return true;
  });
  await exchange(first, 'it stays where it was');
  first.destroy();
  await until(() => cluster.servers[0]?.stats.sessions === 0);
  await second.migrate({ to: 's0' });
  await exchange(second, 'there is room now');
  second.destroy();
});

test(
  'a session that comes back to its server is never refused, and counts where it comes from',
  needsTwoAddresses,
  async () => {
    // A relay, through which the session reaches its server from elsewhere from its second carrier on.
    let from = HERE;
    let target = '';
    const carriers: net.Socket[] = [];
    const relay = net.createServer((client) => {
      const carrier = net.connect({ host: HERE, port: Number(target.split(':')[1]), localAddress: from });
      carriers.push(carrier);
      carrier.on('error', () => client.destroy()).on('close', () => client.destroy());
      client.on('error', () => carrier.destroy());
      client.pipe(carrier).pipe(client);
    });
    relay.listen(0, HERE);
    await once(relay, 'listening');
    const { port } = relay.address() as net.AddressInfo;
    await using cluster = await startCluster(1, echo, {
      advertise: { host: HERE, port },
      limits: { maxSessionsPerAddress: 1 },
    });
    [target] = cluster.addresses as [string];
    const roaming = await open(cluster, { servers: [`${HERE}:${port}`] });
    const fixed = await open(cluster, { from: ELSEWHERE });
    await exchange(roaming, 'hello');
    from = ELSEWHERE;
    const resumed = once(roaming, 'migrated');
    for (const carrier of carriers.splice(0)) carrier.destroy();
    await resumed;
    await exchange(roaming, 'back');
    // Its former place is free, and the other address is over its share, of which nobody suffers.
    const late = await open(cluster);
    assert.equal(await codeOf(dial(cluster, { from: ELSEWHERE })), 'ERR_GODWIT_BUSY');
    for (const socket of [roaming, fixed, late]) await exchange(socket, 'still here');
    for (const socket of [roaming, fixed, late]) socket.destroy();
    relay.close();
  },
);

test(
  'plain connections take places as sessions do, of all and of their address',
  needsTwoAddresses,
  async () => {
    for (const limits of [{ maxSessions: 2 }, { maxSessionsPerAddress: 2 }]) {
      const options: ServerOptions = { plain: 'accept', plainAfterMs: 60_000, limits };
      await using cluster = await startCluster(1, echo, options);
      const [server] = cluster.servers;
      const plainClient = (): net.Socket => {
        const [host, port] = (cluster.addresses[0] as string).split(':') as [string, string];
        const client = net.connect({ host, port: Number(port) });
        client.on('error', () => undefined).resume();
        client.write('x');
        return client;
      };
      const plain = plainClient();
      await once(plain, 'data');
      const session = await open(cluster);
      const refused = once(server as NodeJS.EventEmitter, 'refused') as Promise<[Refusal]>;
      await once(plainClient(), 'close');
      assert.equal((await refused)[0].code, 'ERR_GODWIT_BUSY');
      assert.equal(await codeOf(dial(cluster)), 'ERR_GODWIT_BUSY');
      plain.destroy();
      await until(() => server?.stats.plain === 0);
      const late = await open(cluster);
      for (const socket of [session, late]) socket.destroy();
    }
  },
);

test(
  'an address that opens too often is refused for a while, before any key is made, and others are not',
  needsTwoAddresses,
  async () => {
    let asked = 0;
    const authorize = (): boolean => {
      asked += 1;
      return true;
    };
    await using cluster = await startCluster(1, echo, { limits: { maxOpensPerSecond: 1 }, authorize });
    const sockets = [];
    for (let count = 0; count < 4; count += 1) sockets.push(await open(cluster));
    assert.equal(await codeOf(dial(cluster)), 'ERR_GODWIT_BUSY');
    assert.equal(asked, 4);
    sockets.push(await open(cluster, { from: ELSEWHERE }));
    for (const socket of sockets) await exchange(socket, 'goes on');
    for (;;) {
      const later = dial(cluster);
      const isIn = await once(later, 'connect').then(
        () => true,
        () => false,
      );
      later.destroy();
      if (isIn) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const socket of sockets) socket.destroy();
  },
);

/** Writes as many bytes as it is asked for, at once. */
function writer(socket: ServerSocket): void {
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(Buffer.alloc(Number(chunk), 1)));
}

/** What a client takes of what its application does not read; the rest is its server's to keep. */
const CLIENT_BYTES = 2 * MIB;

/** Whether an honest session is left when somebody at another address fills the memory with smaller ones. */
async function isSpared(endBy: EndBy): Promise<boolean> {
  let hasFilledUp = false;
  const overload: OverloadPolicy = {
    ...overloadPolicy({ endBy }),
    judge: ({ memoryBytes, maxMemoryBytes }) =>
      hasFilledUp && memoryBytes > maxMemoryBytes ? 'end' : 'none',
  };
  await using cluster = await startCluster(1, writer, { limits: { maxMemoryBytes: 16 * MIB }, overload });
  const [server] = cluster.servers as [Server];
  const honest = await open(cluster, { from: ELSEWHERE });
  const crowd = await Promise.all(Array.from({ length: 20 }, () => open(cluster)));
  const ended: (string | undefined)[] = [];
  for (const socket of server.sessions) socket.on('error', () => ended.push(socket.sessionId));
  const fill = (socket: Socket, bytes: number): void => {
    socket.pause();
    socket.write(String(CLIENT_BYTES + bytes));
  };
  fill(honest, 2 * MIB);
  for (const socket of crowd) fill(socket, MIB);
  const isFull = ({ sessionId, heldBytes }: ServerSocket): boolean =>
    sessionId === honest.sessionId ? heldBytes > 1.9 * MIB : heldBytes > 0.9 * MIB && heldBytes < 1.2 * MIB;
  await until(() => [...server.sessions].every(isFull));
  hasFilledUp = true;
  await until(() => ended.length > 0 && server.stats.memoryBytes <= 16 * MIB);
  for (const socket of [honest, ...crowd]) socket.destroy();
  return !ended.includes(honest.sessionId);
}

test(
  'the address that holds most memory in all gives it back first, however small its sessions are',
  needsTwoAddresses,
  async () => {
    assert.equal(await isSpared('address'), true);
  },
);

test(
  'where an operator wants it so, the largest end first, whoever has them',
  needsTwoAddresses,
  async () => {
    assert.equal(await isSpared('connection'), false);
  },
);

test('shares that make no sense are refused', () => {
  for (const limits of [
    { maxSessionsPerAddress: -1 },
    { maxSessionsPerAddress: 1.5 },
    { maxOpensPerSecond: -1 },
    { maxOpensPerSecond: 1e9 },
  ])
    assert.throws(() => createServer({ limits }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => overloadPolicy({ endBy: 'size' as never }), RangeError);
});

test(
  'who freezes his own sessions by DETACH, and reads nothing, drives out nobody at another address',
  needsTwoAddresses,
  async () => {
    const blob = Buffer.alloc(MIB);
    await using cluster = await startCluster(
      1,
      (socket) => {
        socket.onExportState(() => 'nothing');
        socket.on('error', () => undefined);
        socket.on('data', (chunk: Buffer) => socket.write(String(chunk) === 'x' ? blob : chunk));
      },
      { limits: { maxMemoryBytes: 16 * MIB } },
    );
    const [server] = cluster.servers;
    const codes: string[] = [];
    const honest = await Promise.all(Array.from({ length: 20 }, () => open(cluster)));
    for (const socket of honest) socket.on('error', ({ code }: GodwitError) => codes.push(code));
    const { port } = server?.address() as AddressInfo;
    const attackers: RawClient[] = [];
    for (let count = 0; count < 18; count += 1) {
      const socket = net.connect({ host: HERE, port, localAddress: ELSEWHERE });
      await once(socket, 'connect');
      const client = RawClient.over(socket);
      await client.hello();
      await client.openSession();
      attackers.push(client);
    }
    /** Each has what the kernels do not take of 1 MiB kept for it. */
    const growing = async (clients: readonly RawClient[]): Promise<void> => {
      for (const client of clients) {
        const before = server?.stats.memoryBytes ?? 0;
        client.socket.pause();
        client.data(Buffer.from('x'));
        await until(() => (server?.stats.memoryBytes ?? 0) >= before + MIB || server?.stats.relief === 'end');
      }
    };
    await growing(attackers.slice(0, 15));
    for (const client of attackers.slice(0, 15))
      client.bytes(client.maced('detach', { epoch: 2 }, 'detach', { secret: client.secret }));
    const frozen = (): number =>
      [...(server?.sessions ?? [])].filter(({ sessionHere }) => sessionHere?.isFrozen === true).length;
    await until(() => frozen() === 15);
    const sessions = server?.stats.sessions ?? 0;
    const ended = once(server as NodeJS.EventEmitter, 'overload', { signal: AbortSignal.timeout(10_000) });
    await growing(attackers.slice(15));
    await ended;
    await until(() => (server?.stats.sessions ?? sessions) < sessions && server?.stats.relief !== 'end');
    assert.deepEqual(codes, []);
    for (const socket of honest) await exchange(socket, 'goes on');
    for (const socket of honest) socket.destroy();
    for (const client of attackers) client.socket.destroy();
  },
);
