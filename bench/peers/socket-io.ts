/**
 * Socket.IO with connection-state recovery over Redis streams. A server keeps what it sent in Redis, and when it loses a
 * client, also the session; any server can then send what was missed. A server that is killed keeps no session: then the
 * client is a new one, unless it says where it stands.
 */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { fail } from '../harness/program.ts';
import { Arrival, type PeerReader, type ReadPeer, type ServePeer } from './peer.ts';
import { stream, tick, type Sink } from './work.ts';

/** Messages that Redis keeps for recovery. */
const MESSAGES_KEPT = 1_024;

const RECOVERY_MS = 120_000;

export const serveSocketIo: ServePeer = async ({ work, port, redis }) => {
  if (redis === undefined) fail('this peer needs a Redis server');
  const adapter = createAdapter(new Redis(redis), { maxLen: MESSAGES_KEPT });
  const web = http.createServer();
  const server = new Server(web, {
    adapter,
    connectionStateRecovery: { maxDisconnectionDuration: RECOVERY_MS },
  });
  server.on('connection', (socket) => {
    const waiting: (() => void)[] = [];
    // Nothing else says that a message is through: emit() takes what it is given.
    socket.on('taken', (count: number) => waiting.splice(0, count).forEach((done) => done()));
    const sink: Sink = {
      write: (bytes, done) => {
        waiting.push(done);
        socket.emit('bytes', bytes);
      },
      isClosed: () => !socket.connected,
    };
    const { from = 0 } = socket.handshake.auth as { readonly from?: number };
    if (work === 'stream') stream(sink);
    else if (work === 'tick') tick(sink, from);
    else socket.on('ask', (bytes: Buffer) => socket.emit('bytes', bytes));
  });
  web.listen(port, '127.0.0.1');
  await once(web, 'listening');
  return (web.address() as AddressInfo).port;
};

export const readSocketIo: ReadPeer = async ({ peer, work, ports }, { deliver, counter }) => {
  const arrival = new Arrival();
  let place = 0;
  let received = 0;
  let taken = 0;
  let answered: (() => void) | undefined;
  const url = (): string => `http://127.0.0.1:${ports[place]}`;
  const socket = io(url(), {
    transports: ['websocket'],
    // The library's own pauses begin at a second; without them it is at its fastest.
    reconnectionDelay: 1,
    reconnectionDelayMax: 50,
    randomizationFactor: 0,
    auth: (answer) => answer(peer === 'socketioOffsets' ? { from: received } : {}),
  });
  // It knows one address. In place of a balancer, which would cost it time, the next server is put there by hand.
  const tryNext = (): void => {
    place = (place + 1) % ports.length;
    (socket.io as unknown as { uri: string }).uri = url();
  };
  socket.on('disconnect', tryNext);
  socket.io.on('reconnect_error', tryNext);
  let isFirst = true;
  socket.on('connect', () => {
    isFirst = true;
    if (!socket.recovered) counter.restart();
    if (work === 'echo') arrival.happen();
  });
  const acknowledge = (): void => {
    socket.emit('taken', taken);
    taken = 0;
  };
  socket.on('bytes', (bytes: Buffer) => {
    received += bytes.length;
    if (isFirst) arrival.happen();
    isFirst = false;
    if (work === 'echo') {
      answered?.();
      return;
    }
    // Once a turn of the event loop, for all that came in it.
    if (taken++ === 0) setImmediate(acknowledge);
    deliver(bytes);
  });
  await arrival.happened;

  const ask: PeerReader['ask'] = (bytes, onAnswer) => {
    answered = onAnswer;
    socket.emit('ask', bytes);
  };
  return { port: () => ports[place] ?? 0, moved: () => arrival.again(), ask };
};
