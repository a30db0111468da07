/**
 * A process in which a listener throws, once: told by which `net`, at which end and in which event, and whether anybody
 * handles uncaught exceptions. It prints what is caught, and how its two connections fare.
 */
import { once } from 'node:events';
import nodeNet from 'node:net';
import godwit from 'godwit';
import type { Net } from '../implementations.ts';

const [implementation, end, event, handled] = process.argv.slice(2);
const net = (implementation === 'godwit' ? godwit : nodeNet) as Net;

const caught = Promise.withResolvers<undefined>();
if (handled === 'handled')
  process.on('uncaughtException', (error) => {
    console.log(`caught: ${error.message}`);
    caught.resolve(undefined);
  });

let hasThrown = false;
function mayThrow(side: string, name: string): void {
  if (side !== end || name !== event || hasThrown) return;
  hasThrown = true;
  throw new Error(`${name} at the ${side}`);
}

function listen(socket: nodeNet.Socket, side: string, onData: (chunk: Buffer) => void): void {
  mayThrow(side, 'connection');
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    mayThrow(side, 'data');
    onData(chunk);
  });
  for (const name of ['connect', 'end', 'close']) socket.on(name, () => mayThrow(side, name));
}

let accepted = new net.Socket();
const server = net.createServer((socket) => {
  accepted = socket;
  listen(socket, 'server', (chunk) => socket.write(chunk));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

// The second one shows that it was the first one's affair alone.
for (const name of ['first', 'second']) {
  const client = net.connect((server.address() as nodeNet.AddressInfo).port, '127.0.0.1');
  const closed = new Promise((resolve) => client.on('close', resolve));
  client.on('error', (error: NodeJS.ErrnoException) => console.log(`${name} fails: ${error.code}`));
  const connected = once(client, 'connect');
  listen(client, 'client', () => undefined);
  await connected;
  // In two frames, which the server reads at once: what follows the one whose listener throws is here already.
  client.write('a');
  setImmediate(() => client.end('b'));
  if (event === 'connection' && name === 'first') {
    await caught.promise;
    if (implementation !== 'godwit') client.destroy();
  }
  await closed;
  const read = { client: client.bytesRead, server: accepted.bytesRead };
  console.log(`${name} is closed; its ${end} has read ${read[end as 'client' | 'server']} bytes`);
}
server.close(() => console.log('the server is closed'));
