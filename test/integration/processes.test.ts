/** What only whole processes show: that they end by themselves, and that a killed server is not missed. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { KeyRing, connect, createServer } from 'godwit';
import { freePorts } from './free-ports.ts';
import { closeAll, listen, type Net } from './implementations.ts';

function start(file: string, ...args: readonly string[]): ChildProcess {
  const options = ['--conditions=godwit-source', `${import.meta.dirname}/${file}`, ...args];
  return spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  const [line] = (await once(createInterface(child.stdout as NodeJS.ReadableStream), 'line')) as [string];
  return line;
}

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
      const startedMs = performance.now();
      const child = start('children/client.ts', task, ...ports);
      const [code] = (await once(child, 'exit')) as [number];
      assert.equal(code, 0);
      assert.ok(performance.now() - startedMs < 5_000);
      for (const server of servers) {
        server.closeAllConnections();
        await closeAll(server as unknown as InstanceType<Net['Server']>);
      }
    });
  }

  test('an idle connection keeps it alive, as with net', async () => {
    const server = createServer((socket) => socket.resume());
    const port = await listen(server as unknown as InstanceType<Net['Server']>);
    const child = start('children/client.ts', 'idle', String(port));
    assert.equal(await firstLine(child), 'connected');
    const later = await Promise.race([
      once(child, 'exit'),
      new Promise((resolve) => setTimeout(resolve, 300, 'alive')),
    ]);
    assert.equal(later, 'alive');
    const exit = once(child, 'exit');
    for (const socket of server.sessions) socket.end();
    assert.deepEqual((await exit)[0], 0);
    await closeAll(server as unknown as InstanceType<Net['Server']>);
  });

  test('when nobody listens it fails like net, within two seconds', async () => {
    const startedMs = performance.now();
    const child = start('children/client.ts', 'fail', ...(await freePorts(1)));
    const exit = once(child, 'exit');
    assert.equal(await firstLine(child), 'ECONNREFUSED');
    assert.equal((await exit)[0], 0);
    assert.ok(performance.now() - startedMs < 2_000);
  });
});

describe('a server process is killed', () => {
  test('its only client fails within two seconds, with the code of net', async () => {
    const [port = ''] = await freePorts(1);
    const child = start('children/counter.ts', '0', KeyRing.generateKey(), port);
    assert.equal(await firstLine(child), 'listening');
    const client = connect(Number(port), '127.0.0.1');
    await once(client, 'connect');
    client.resume();
    const killedMs = performance.now();
    child.kill('SIGKILL');
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
    assert.ok(performance.now() - killedMs < 2_000);
  });

  test('and nobody notices: every number comes once, in order', async () => {
    const ports = await freePorts(3);
    const key = KeyRing.generateKey();
    const children = ports.map((_, place) => start('children/counter.ts', String(place), key, ...ports));
    await Promise.all(children.map(firstLine));
    const client = connect({ servers: ports.map((port) => `127.0.0.1:${port}`) });
    const lines = createInterface(client);
    const total = 3_000;
    let next = 0;
    let kills = 0;
    client.write('x');
    for await (const line of lines) {
      assert.equal(line, String(next));
      next += 1;
      if (next === total) break;
      if (next % 1_000 === 0) {
        const place = Number(client.currentServer?.name.slice(1));
        children[place]?.kill('SIGKILL');
        kills += 1;
      }
      client.write('x');
    }
    assert.equal(kills, 2);
    assert.equal(client.migrations, 2);
    client.destroy();
    for (const child of children) child.kill('SIGKILL');
  });
});
