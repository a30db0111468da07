/** HTTP with Range: the client asks for the rest of the same resource, from the byte at which it stopped. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { fail } from '../harness/program.ts';
import { Arrival, type PeerReader, type ReadPeer, type ServePeer } from './peer.ts';
import { stream, tick, type Sink } from './work.ts';

/** Larger than anything that is read of it. */
const RESOURCE_BYTES = 2 ** 45;

export const serveHttp: ServePeer = async ({ work, port }) => {
  const server = http.createServer((request, response) => {
    response.on('error', () => undefined);
    if (request.method === 'POST') {
      response.writeHead(200, { 'content-length': request.headers['content-length'] });
      request.pipe(response);
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(206, {
      'content-length': RESOURCE_BYTES - from,
      'content-range': `bytes ${from}-${RESOURCE_BYTES - 1}/${RESOURCE_BYTES}`,
    });
    const sink: Sink = {
      write: (bytes, done) => response.write(bytes, done),
      isClosed: () => response.destroyed,
    };
    if (work === 'stream') stream(sink);
    else tick(sink, from);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

export const readHttp: ReadPeer = async ({ work, ports }, { deliver }) => {
  const arrival = new Arrival();
  let place = 0;
  let received = 0;
  const get = (): void => {
    let over = false;
    const goOn = (): void => {
      if (over) return;
      over = true;
      place = (place + 1) % ports.length;
      get();
    };
    const request = http.get(
      { host: '127.0.0.1', port: ports[place], agent: false, headers: { range: `bytes=${received}-` } },
      (response) => {
        if (response.statusCode !== 206) fail(`status ${response.statusCode} for a range`);
        response.once('data', arrival.happen);
        response.on('data', (chunk: Buffer) => {
          received += chunk.length;
          deliver(chunk);
        });
        response.on('error', goOn).on('close', goOn);
      },
    );
    request.on('error', goOn);
  };
  if (work !== 'echo') {
    get();
    await arrival.happened;
  }

  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ask: PeerReader['ask'] = (bytes, answered) => {
    const headers = { 'content-length': bytes.length };
    const request = http.request(
      { host: '127.0.0.1', port: ports[0], agent, method: 'POST', headers },
      (response) => response.resume().on('end', answered),
    );
    request.on('error', (error) => fail(`a request failed: ${error.message}`));
    request.end(bytes);
  };
  return { port: () => ports[place] ?? 0, moved: () => arrival.again(), ask };
};
