/**
 * WebSockets by `ws`, with a client that reconnects by itself. What that is worth depends on what is said behind a
 * reconnect: by default nothing, so the server begins anew; with offsets, the client says where it stands.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import ReconnectingWebSocket from 'partysocket/ws';
import { WebSocket, WebSocketServer } from 'ws';
import { Arrival, type PeerReader, type ReadPeer, type ServePeer } from './peer.ts';
import { stream, tick, type Sink } from './work.ts';

export const serveWebSocket: ServePeer = async ({ work, port }) => {
  const server = new WebSocketServer({ port, host: '127.0.0.1', perMessageDeflate: false });
  server.on('connection', (socket, request) => {
    socket.on('error', () => undefined);
    const sink: Sink = {
      write: (bytes, done) => socket.send(bytes, () => done()),
      isClosed: () => socket.readyState !== WebSocket.OPEN,
    };
    const from = Number(new URL(request.url ?? '/', 'http://server').searchParams.get('from') ?? 0);
    if (work === 'stream') stream(sink);
    else if (work === 'tick') tick(sink, from);
    else socket.on('message', (message: Buffer) => socket.send(message));
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

export const readWebSocket: ReadPeer = async ({ peer, work, ports }, { deliver, counter }) => {
  const arrival = new Arrival();
  let place = -1;
  let received = 0;
  let answered: (() => void) | undefined;
  const socket = new ReconnectingWebSocket(
    // Asked at every attempt: the next server.
    () => {
      place = (place + 1) % ports.length;
      const from = peer === 'wsOffsets' ? `?from=${received}` : '';
      return `ws://127.0.0.1:${ports[place]}/${from}`;
    },
    [],
    // The library's own pauses begin at a second; without them it is at its fastest.
    { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 50, minUptime: 1 },
  );
  socket.binaryType = 'arraybuffer';
  let isFirst = true;
  socket.addEventListener('open', () => {
    isFirst = true;
    counter.restart();
    if (work === 'echo') arrival.happen();
  });
  socket.addEventListener('message', ({ data: message }) => {
    const data = message as ArrayBuffer;
    received += data.byteLength;
    if (isFirst) arrival.happen();
    isFirst = false;
    if (work === 'echo') answered?.();
    else deliver(Buffer.from(data));
  });
  await arrival.happened;

  const ask: PeerReader['ask'] = (bytes, onAnswer) => {
    answered = onAnswer;
    socket.send(bytes as Buffer<ArrayBuffer>);
  };
  return { port: () => ports[place] ?? 0, moved: () => arrival.again(), ask };
};
