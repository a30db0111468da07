/** Servers that send back what they get, and sessions with them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  connect,
  createServer,
  type ConnectOptions,
  type Server,
  type ServerOptions,
  type ServerSocket,
  type Socket,
} from 'godwit';

export function echo(socket: ServerSocket): void {
  socket.importState();
  socket.onExportState(() => '');
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
}

export async function start(options: ServerOptions = {}, serve = echo): Promise<Server> {
  const server = createServer(options, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export function addressOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sessions of a client. Ended before the servers are, which wait for them. */
export class Clients extends Array<Socket> {
  [Symbol.dispose](): void {
    for (const client of this) client.destroy();
  }
}

/** So many sessions, all connected. */
export async function open(
  sessions: number,
  servers: readonly string[],
  options: ConnectOptions = {},
): Promise<Clients> {
  const clients = new Clients();
  for (let count = 0; count < sessions; count += 1)
    clients.push(connect({ servers, standby: false, ...options }));
  await Promise.all(Array.from(clients, (client) => once(client, 'connect')));
  return clients;
}

export async function echoes(client: Socket, text: string): Promise<void> {
  client.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(client, 'data'))[0]);
  assert.equal(received, text);
}

export async function allEcho(clients: readonly Socket[], text: string): Promise<void> {
  await Promise.all(Array.from(clients, (client, index) => echoes(client, `${text} ${index}`)));
}
