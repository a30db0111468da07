/** Nothing that an application could log tells a key, a session's secret or a ticket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { KeyRing, connect, createServer, type Refusal, type ServerSocket } from 'godwit';
import { startCluster } from './cluster.ts';

const STATE = 'the state that only servers may read';

function echo(socket: ServerSocket): void {
  socket.onExportState(() => STATE);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
}

/** What a careless logger would write of something. */
function logged(...things: unknown[]): string {
  const shown = things.map((thing) => inspect(thing, { depth: 12, showHidden: true, maxArrayLength: null }));
  const encoded = things.map((thing) => {
    try {
      return JSON.stringify(thing);
    } catch {
      return ''; // cyclic, as sockets are
    }
  });
  return [...shown, ...encoded].join('\n');
}

function spellings(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret);
  const list = [...bytes].join(', ');
  const spaced = bytes.toString('hex').replace(/..(?=.)/g, '$& ');
  return [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url'), list, spaced].flatMap(
    (text) => [text, text.toUpperCase()],
  );
}

test('servers, sockets, rings, errors and refusals can be logged', async () => {
  const key = KeyRing.generateKey();
  const ring = new KeyRing(key);
  await using cluster = await startCluster(2, echo, { keys: ring });
  const [server] = cluster.servers;
  const refusals: Refusal[] = [];
  for (const each of cluster.servers)
    each.on('refused', (refusal: Refusal) => {
      refusals.push(refusal);
    });
  const socket = connect({ servers: cluster.addresses });
  await once(socket, 'connect');
  socket.write('hello');
  await once(socket, 'data');
  const report = await socket.migrate({ to: 's1' });
  socket.write('again');
  await once(socket, 'data');

  // Another cluster's ticket is refused, and the refusal is logged.
  const stranger = createServer({ keys: KeyRing.generateKey() }, echo);
  await once(stranger.listen(0, '127.0.0.1'), 'listening');
  const { port } = stranger.address() as { port: number };
  const failure: unknown = await socket.migrate({ to: `127.0.0.1:${port}` }).catch((error: unknown) => error);
  assert.ok(failure instanceof Error);

  const wrong = key.slice(1);
  let mistyped: unknown;
  try {
    createServer({ keys: wrong });
  } catch (error) {
    mistyped = error;
  }
  assert.ok(mistyped instanceof Error);

  const text = logged(
    server,
    ring,
    ring.newest,
    socket,
    ...cluster.servers,
    report,
    failure,
    mistyped,
    refusals,
  );
  assert.ok(text.includes(ring.newest.idText), 'the name of the key is no secret, and helps');
  for (const secret of spellings(Buffer.from(key, 'base64url')))
    assert.ok(!text.includes(secret), 'a key of the cluster is in the log');
  assert.ok(!text.includes(wrong), 'most of a mistyped key is in the log');
  assert.ok(!text.includes(STATE), 'the state of the application is in the log');
  assert.doesNotMatch(text, /secret['"]?: (?!undefined|\[Function)/i);

  // The search finds what is there.
  const raw = Buffer.from(key, 'base64url');
  for (const leak of [{ nested: { key } }, { raw }, { raw: new Uint8Array(raw) }])
    assert.ok(
      spellings(raw).some((secret) => logged(leak).replace(/\s+/g, ' ').includes(secret)),
      inspect(leak),
    );
  socket.destroy();
  stranger.close();
});
