/** What a server makes of those who are not its clients, and of options that net does not have. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import nodeNet from 'node:net';
import { describe, test } from 'node:test';
import { KeyRing, MemoryNetwork, connect, createServer, type Refusal, type Server } from 'godwit';

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as nodeNet.AddressInfo).port;
}

describe('a server', () => {
  test('closes on whoever does not speak Godwit, says so, and goes on', async () => {
    await using server = createServer((socket) => socket.end('hello'));
    const port = await listen(server);
    const refused = once(server, 'refused');
    const stranger = nodeNet.connect(port, '127.0.0.1');
    stranger.write('GET / HTTP/1.1\r\n\r\n');
    stranger.resume();
    await once(stranger, 'close');
    assert.equal(((await refused) as [Refusal])[0].code, 'ERR_GODWIT_PROTOCOL');
    assert.equal(server.stats.refused, 1);
    const client = connect(port, '127.0.0.1');
    client.setEncoding('utf8');
    const [text] = (await once(client, 'data')) as [string];
    assert.equal(text, 'hello');
    client.destroy();
  });

  test('closes on whoever says nothing', async () => {
    await using server = createServer({ limits: { prefaceTimeoutMs: 50 } });
    const port = await listen(server);
    const refused = once(server, 'refused');
    const silent = nodeNet.connect(port, '127.0.0.1').resume();
    assert.equal(((await refused) as [Refusal])[0].code, 'ERR_GODWIT_TIMEOUT');
    await once(silent, 'close');
  });

  test('holds only so many carriers that have said nothing', async () => {
    await using server = createServer({ limits: { maxHalfOpen: 2 } });
    const port = await listen(server);
    const refused = once(server, 'refused');
    const silent = [0, 1, 2].map(() => nodeNet.connect(port, '127.0.0.1').on('error', () => undefined));
    assert.equal(((await refused) as [Refusal])[0].code, 'ERR_GODWIT_LIMIT_EXCEEDED');
    assert.equal(server.stats.halfOpen, 2);
    for (const socket of silent) socket.destroy();
  });

  test('serves only the service it is for', async () => {
    await using server = createServer({ service: 'files' }, (socket) => socket.end());
    const port = await listen(server);
    const wrong = connect({ port, host: '127.0.0.1', service: 'mail' });
    await assert.rejects(once(wrong, 'connect'), { code: 'ERR_GODWIT_WRONG_SERVICE' });
    const right = connect({ port, host: '127.0.0.1', service: 'files' });
    await once(right, 'connect');
    right.destroy();
  });

  test('tells clients of members that come later', async () => {
    let members = ['127.0.0.1:1'];
    await using server = createServer({ keys: KeyRing.generateKey(), members: () => members });
    const port = await listen(server);
    const client = connect({ port, host: '127.0.0.1', standby: false });
    await once(client, 'connect');
    members = ['127.0.0.1:1', '127.0.0.1:2'];
    assert.equal(client.currentServer?.name, `127.0.0.1:${port}`);
    client.destroy();
  });

  test('refuses options that make no sense', () => {
    assert.throws(() => createServer({ delivery: 'maybe' as never }), { code: 'ERR_INVALID_ARG_VALUE' });
    assert.throws(() => createServer({ schema: -1 }), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => createServer({ name: 'x'.repeat(65) }), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => createServer({ members: ['nonsense'] }), TypeError);
    assert.throws(() => connect({ port: 1, fd: 3 } as never), { code: 'ERR_GODWIT_UNSUPPORTED' });
  });

  test('refuses options that are nearly its own, and ignores others as net does', () => {
    const unknown = { code: 'ERR_GODWIT_OPTION_UNKNOWN' };
    assert.throws(() => createServer({ delivry: 'commit' } as never), unknown);
    assert.throws(() => createServer({ limits: { maxStatebytes: 1 } } as never), unknown);
    assert.throws(() => createServer({ timers: { attachTimeout: 1 } } as never), unknown);
    assert.throws(() => connect({ port: 1, serves: [] } as never), unknown);
    createServer({ requestTimeout: 1, cert: '', backlog: 3 } as never);
  });

  test('runs over any transport, and its sessions move there too', async () => {
    const transport = new MemoryNetwork();
    const keys = KeyRing.generateKey();
    const members = ['a:1', 'b:1'];
    const servers = ['a', 'b'].map((host) =>
      createServer({ transport, keys, members, advertise: `${host}:1` }, (socket) => {
        let count = socket.importState((state) => Number(state.toString())) ?? 0;
        socket.onExportState(() => String(count));
        socket.on('data', () => socket.write(`${count++}`));
      }).listen({ host, port: 1 }),
    );
    await Promise.all(servers.map((server) => once(server, 'listening')));
    const client = connect({ transport, servers: members });
    client.setEncoding('utf8');
    await once(client, 'connect');
    const answers: unknown[] = [];
    for (let round = 0; round < 3; round += 1) {
      client.write('x');
      answers.push(...((await once(client, 'data')) as string[]));
      await client.migrate();
    }
    assert.deepEqual(answers, ['0', '1', '2']);
    assert.equal(client.migrations, 3);
    client.destroy();
    for (const server of servers) server.closeAllConnections();
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  });
});
