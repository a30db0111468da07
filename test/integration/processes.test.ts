/** What only whole processes show: that they end by themselves, and that a killed server is not missed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { KeyRing, connect, createServer } from 'godwit';
import { count, nextLine, start, startCounters } from './counters.ts';
import { freePorts } from './free-ports.ts';
import { closeAll, listen } from './implementations.ts';

describe('a client process ends by itself', () => {
  for (const task of ['end', 'destroy', 'unref']) {
    test(`after ${task}, with standbys to a second server`, async () => {
      const key = KeyRing.generateKey();
      const ports = await freePorts(2);
      const members = ports.map((port) => `127.0.0.1:${port}`);
      const servers = ports.map((port) =>
        createServer({ keys: key, members }, (socket) => socket.resume()).listen(Number(port), '127.0.0.1'),
      );
      await Promise.all(servers.map((server) => once(server, 'listening')));
      const child = start('children/client.ts', task, ...ports);
      const exit = once(child, 'exit');
      assert.equal(await nextLine(child), 'done');
      const doneMs = performance.now();
      assert.equal((await exit)[0], 0);
      assert.ok(performance.now() - doneMs < 5_000);
      for (const server of servers) {
        server.closeAllConnections();
        await closeAll(server);
      }
    });
  }

  test('an idle connection keeps it alive, as with net', async () => {
    const server = createServer((socket) => socket.resume());
    const port = await listen(server);
    const child = start('children/client.ts', 'idle', String(port));
    const exit = once(child, 'exit');
    // Without anything else to do, a process that nothing keeps alive would be gone before the answer comes.
    assert.equal(await nextLine(child), 'connected');
    for (const socket of server.sessions) socket.write('still there?');
    assert.equal(await nextLine(child), 'still there?');
    for (const socket of server.sessions) socket.end();
    assert.equal((await exit)[0], 0);
    await closeAll(server);
  });

  test('when nobody listens it fails like net, within two seconds', async () => {
    const child = start('children/client.ts', 'fail', ...(await freePorts(1)));
    const exit = once(child, 'exit');
    const [code, elapsedMs] = (await nextLine(child)).split(' ');
    assert.equal(code, 'ECONNREFUSED');
    assert.ok(Number(elapsedMs) < 2_000, `${elapsedMs} ms`);
    assert.equal((await exit)[0], 0);
  });
});

describe('a server process is killed', () => {
  test('its only client fails within two seconds, with the code of net', async (t) => {
    const [port = ''] = await freePorts(1);
    const counters = await startCounters(t, [`127.0.0.1:${port}`]);
    const client = connect(Number(port), '127.0.0.1');
    await once(client, 'connect');
    client.resume();
    const killedMs = performance.now();
    await counters.kill('s0');
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
    assert.ok(performance.now() - killedMs < 2_000);
  });

  test('and nobody notices: every number comes once, in order', async (t) => {
    const ports = await freePorts(3);
    const counters = await startCounters(
      t,
      ports.map((port) => `127.0.0.1:${port}`),
    );
    const client = connect({ servers: counters.addresses });
    await count(client, counters, { to: 3_000, killEvery: 1_000 });
    assert.equal(client.migrations, 2);
    client.destroy();
  });
});
