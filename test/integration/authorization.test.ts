/** The application's word on who may begin a session, and who may bring one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  connect,
  type AuthorizationAnswer,
  type AuthorizationRequest,
  type Refusal,
  type Server,
  type ServerSocket,
  type Socket,
} from 'godwit';
import { startCluster, type Cluster } from './cluster.ts';

function echo(socket: ServerSocket): void {
  let count = Number(socket.importState() ?? 0);
  socket.onExportState(() => String(count));
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    count += chunk.byteLength;
    socket.write(chunk);
  });
}

async function exchange(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(socket, 'data'))[0]);
  assert.equal(received, text);
}

type Answer = AuthorizationAnswer | Promise<AuthorizationAnswer>;

interface Asked {
  readonly cluster: Cluster;
  readonly requests: AuthorizationRequest[];
  readonly refusals: Refusal[];
}

async function startAsking(answer: (request: AuthorizationRequest) => Answer): Promise<Asked> {
  const requests: AuthorizationRequest[] = [];
  const refusals: Refusal[] = [];
  const cluster = await startCluster(2, echo, {
    service: 'chat',
    authorize: (request) => {
      requests.push(request);
      return answer(request);
    },
  });
  for (const server of cluster.servers)
    server.on('refused', (refusal: Refusal) => {
      refusals.push(refusal);
    });
  return { cluster, requests, refusals };
}

async function failureOf(socket: Socket): Promise<string | undefined> {
  return ((await once(socket, 'error')) as [NodeJS.ErrnoException])[0].code;
}

for (const { when, wrap } of [
  { when: 'at once', wrap: (answer: AuthorizationAnswer): Answer => answer },
  {
    when: 'later',
    wrap: (answer: AuthorizationAnswer): Answer => new Promise((resolve) => setImmediate(resolve, answer)),
  },
]) {
  test(`the application is asked of each OPEN and each migration, and answers ${when}`, async () => {
    const { cluster, requests } = await startAsking(() => wrap(true));
    await using _cluster = cluster;
    const socket = connect({ servers: cluster.addresses, service: 'chat' });
    await once(socket, 'connect');
    await exchange(socket, 'one');
    await socket.migrate({ to: 's1' });
    await exchange(socket, 'two');
    assert.deepEqual(
      requests.map(({ kind, service, sessionId }) => [kind, service, sessionId]),
      [
        ['open', 'chat', socket.sessionId],
        ['migrate', 'chat', socket.sessionId],
      ],
    );
    assert.ok(
      requests.every(
        ({ remoteAddress, remotePort }) => remoteAddress === '127.0.0.1' && Number(remotePort) > 0,
      ),
    );
    socket.destroy();
  });

  test(`a session that the application does not want never begins, and the next server is not asked (${when})`, async () => {
    const { cluster, requests, refusals } = await startAsking(() => wrap(false));
    await using _cluster = cluster;
    const socket = connect({ servers: cluster.addresses, service: 'chat' });
    assert.equal(await failureOf(socket), 'ERR_GODWIT_DENIED');
    assert.equal(requests.length, 1);
    assert.equal(refusals[0]?.code, 'ERR_GODWIT_DENIED');
  });

  test(`"elsewhere" sends a new session to the next server (${when})`, async () => {
    const { cluster, requests } = await startAsking((): Answer =>
      wrap(requests.length === 1 ? 'elsewhere' : true),
    );
    await using _cluster = cluster;
    const socket = connect({ servers: cluster.addresses, service: 'chat' });
    await once(socket, 'connect');
    await exchange(socket, 'there');
    assert.equal(requests.length, 2);
    socket.destroy();
  });

  test(`a session that may not come stays where it is, and its state is not fetched (${when})`, async () => {
    const { cluster } = await startAsking(({ kind }) => wrap(kind === 'open'));
    await using _cluster = cluster;
    const socket = connect({ servers: cluster.addresses, service: 'chat' });
    await once(socket, 'connect');
    await exchange(socket, 'one');
    const at = cluster.socketOf(socket.sessionId);
    await assert.rejects(socket.migrate({ to: 's1' }), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
    assert.equal(socket.currentServer?.name, 's0');
    assert.equal(cluster.socketOf(socket.sessionId), at);
    await exchange(socket, 'two');
    socket.destroy();
  });
}

for (const { what, answer } of [
  {
    what: 'throws',
    answer: (): Answer => {
      throw new Error('the directory is down');
    },
  },
  { what: 'rejects', answer: (): Answer => Promise.reject(new Error('the directory is down')) },
]) {
  test(`an authorization that ${what} lets nobody in, says why, and leaves the server up`, async () => {
    const { cluster, refusals } = await startAsking(answer);
    await using _cluster = cluster;
    const socket = connect({ servers: cluster.addresses, service: 'chat' });
    assert.equal(await failureOf(socket), 'ERR_GODWIT_DENIED');
    assert.match(refusals[0]?.message ?? '', /the directory is down/);
    assert.equal(cluster.servers[0]?.listening, true);
  });
}

test('a client that left while the application was thinking leaves no session behind', async () => {
  const { promise, resolve } = Promise.withResolvers<AuthorizationAnswer>();
  const asked = Promise.withResolvers<undefined>();
  const { cluster } = await startAsking(() => {
    asked.resolve(undefined);
    return promise;
  });
  await using _cluster = cluster;
  const server = cluster.servers[0] as Server;
  const socket = connect({ servers: [cluster.addresses[0] as string], service: 'chat' });
  await asked.promise;
  socket.destroy();
  await once(socket, 'close');
  const begun = once(server, 'connection');
  resolve(true);
  const [session] = (await begun) as [ServerSocket];
  if (!session.closed) await once(session, 'close');
  assert.equal(server.stats.sessions, 0);
});
