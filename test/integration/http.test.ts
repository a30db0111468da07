/** node:http, unmodified, at both ends of migratory connections. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type nodeNet from 'node:net';
import { text, buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import { IMPLEMENTATIONS, PLAIN, closeAll, listen, readAll, type Net } from './implementations.ts';

/** A web server behind a server of `net`, and an agent that reaches it. */
async function serve(
  net: Net,
  handler: http.RequestListener,
): Promise<{
  server: nodeNet.Server;
  web: http.Server;
  agent: http.Agent;
  port: number;
  connections: () => number;
}> {
  const web = http.createServer(handler);
  let accepted = 0;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    accepted += 1;
    web.emit('connection', socket);
  });
  const port = await listen(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  // The agent's own way to make a connection, with net's replaced.
  Object.assign(agent, {
    createConnection: (options: nodeNet.NetConnectOpts) => net.createConnection(options),
  });
  return { server, web, agent, port, connections: () => accepted };
}

function request(
  agent: http.Agent,
  port: number,
  options: http.RequestOptions,
  body?: Buffer,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ agent, host: '127.0.0.1', port, ...options }, resolve);
    sent.on('error', reject);
    sent.end(body);
  });
}

for (const { name, net } of [...IMPLEMENTATIONS, PLAIN]) {
  describe(`node:http over ${name}`, () => {
    test('requests share a kept connection', async () => {
      const { server, agent, port, connections } = await serve(net, (incoming, response) =>
        response.end(incoming.url),
      );
      for (let number = 0; number < 5; number += 1) {
        const response = await request(agent, port, { path: `/${number}` });
        assert.equal(await text(response), `/${number}`);
      }
      assert.equal(connections(), 1);
      agent.destroy();
      await closeAll(server);
    });

    test('10 MB go up and come back', async () => {
      const { server, agent, port } = await serve(net, (incoming, response) => {
        pipeline(incoming, response).catch(() => undefined);
      });
      const body = randomBytes(10_000_000);
      const response = await request(agent, port, { method: 'POST' }, body);
      assert.ok((await buffer(response)).equals(body));
      agent.destroy();
      await closeAll(server);
    });

    test('pipelined requests are answered in order', async () => {
      const { server, agent, port } = await serve(net, (incoming, response) =>
        response.end(`<${incoming.url}>`),
      );
      const client = net.connect(port, '127.0.0.1');
      const paths = Array.from({ length: 20 }, (_, number) => `/${number}`);
      client.write(
        paths
          .map(
            (path) =>
              `GET ${path} HTTP/1.1\r\nHost: x\r\n${path === '/19' ? 'Connection: close\r\n' : ''}\r\n`,
          )
          .join(''),
      );
      const answer = (await readAll(client)).toString();
      assert.deepEqual(
        answer.match(/<[^>]+>/g),
        paths.map((path) => `<${path}>`),
      );
      agent.destroy();
      await closeAll(server, client);
    });

    test('Expect: 100-continue is answered before the body is sent', async () => {
      const { server, agent, port } = await serve(net, (incoming, response) => {
        pipeline(incoming, response).catch(() => undefined);
      });
      const sent = http.request({
        agent,
        host: '127.0.0.1',
        port,
        method: 'PUT',
        headers: { Expect: '100-continue' },
      });
      sent.flushHeaders();
      await once(sent, 'continue');
      sent.end('the body');
      const [response] = (await once(sent, 'response')) as [http.IncomingMessage];
      assert.equal(await text(response), 'the body');
      agent.destroy();
      await closeAll(server);
    });

    test('an upgrade hands the raw socket over', async () => {
      const { server, web, agent, port } = await serve(net, (_incoming, response) => response.end());
      web.on('upgrade', (_request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.on('data', (chunk: Buffer) => socket.write(chunk));
        socket.on('end', () => socket.end());
      });
      const sent = http.request({
        agent,
        host: '127.0.0.1',
        port,
        headers: { Connection: 'Upgrade', Upgrade: 'echo' },
      });
      sent.end();
      const [, socket] = (await once(sent, 'upgrade')) as [http.IncomingMessage, nodeNet.Socket];
      socket.end('raw bytes');
      assert.equal((await readAll(socket)).toString(), 'raw bytes');
      agent.destroy();
      await closeAll(server, socket);
    });

    test('a request that the server resets fails with ECONNRESET', async () => {
      const { server, agent, port } = await serve(net, (incoming) => {
        incoming.socket.resetAndDestroy();
      });
      await assert.rejects(request(agent, port, {}), { code: 'ECONNRESET' });
      agent.destroy();
      await closeAll(server);
    });

    test('an idle kept connection that the server closes is replaced', async () => {
      const { server, agent, port, connections } = await serve(net, (_incoming, response) =>
        response.end('ok'),
      );
      let latest: nodeNet.Socket | undefined;
      server.on('connection', (socket: nodeNet.Socket) => (latest = socket));
      assert.equal(await text(await request(agent, port, {})), 'ok');
      const [kept] = Object.values(agent.freeSockets).flat();
      // The agent has listened for it before us, so by then it has forgotten the socket.
      const gone = once(kept as nodeNet.Socket, 'close');
      latest?.destroy();
      await gone;
      assert.equal(await text(await request(agent, port, {})), 'ok');
      assert.equal(connections(), 2);
      agent.destroy();
      await closeAll(server);
    });
  });
}
