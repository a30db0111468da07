/** As `thrower.ts`, with the events that net does not have: prints what is caught, and that what had to follow followed. */
import { once } from 'node:events';
import nodeNet, { type AddressInfo } from 'node:net';
import { KeyRing, connect, createServer } from 'godwit';

process.on('uncaughtException', (error) => console.log(`caught: ${error.message}`));
const [event = ''] = process.argv.slice(2);
const fail = (): never => {
  throw new Error(`a listener of ${event}`);
};

const keys = KeyRing.generateKey();
const servers = [0, 1].map((place) =>
  createServer({ keys, name: `s${place}` }, (socket) => {
    socket.onExportState(() => 'state').resume();
    socket.on('close', () => console.log(`the socket of s${place} is closed`));
    if (event === 'migrated' && place === 0) socket.on('migrated', fail);
  }).listen(0, '127.0.0.1'),
);
await Promise.all(servers.map((server) => once(server, 'listening')));
const [first, second] = servers.map((server) => (server.address() as AddressInfo).port);

if (event === 'refused') {
  servers[0]?.on('refused', fail);
  const stranger = nodeNet.connect(first ?? 0, '127.0.0.1').end('GET / HTTP/1.1\r\n\r\n');
  stranger.on('close', () => console.log('the stranger is closed')).resume();
  await once(stranger, 'close');
} else {
  const client = connect({ servers: [`127.0.0.1:${first}`, `127.0.0.1:${second}`] });
  await once(client, 'connect');
  if (event === 'migrating') client.on('migrating', fail);
  if (event === 'client migrated') client.on('migrated', fail);
  await client.migrate({ to: `127.0.0.1:${second}` });
  client.end();
  await once(client, 'close');
  console.log('the client is closed');
}
for (const server of servers) server.close();
