/** What a server says to those who do not speak its language, while it goes on with those who do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer } from 'godwit';
import {
  FrameDecoder,
  PREFACE_BYTES,
  Role,
  WireCode,
  encodePreface,
} from '../../packages/godwit/src/wire/index.ts';

interface Refused {
  readonly code: string;
  readonly message: string;
}

async function startEcho(
  options: Parameters<typeof createServer>[0] = {},
): Promise<ReturnType<typeof createServer>> {
  const server = createServer(options, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: ReturnType<typeof createServer>): number => (server.address() as AddressInfo).port;

async function echoes(server: ReturnType<typeof createServer>): Promise<void> {
  const client = connect(portOf(server), '127.0.0.1');
  client.end('still here');
  let text = '';
  for await (const chunk of client) text += String(chunk);
  assert.equal(text, 'still here');
}

async function everything(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

test('a client of another version is told so in a REFUSE, and the server goes on', async () => {
  await using server = await startEcho();
  const refused = once(server, 'refused') as Promise<[Refused]>;
  const stranger = net.connect(portOf(server), '127.0.0.1');
  const preface = encodePreface(Role.Client);
  preface[8] = 9;
  preface[9] = 9;
  stranger.write(preface);
  const decoder = FrameDecoder.forCarrier('server');
  decoder.push(await everything(stranger));
  const answer = decoder.next();
  assert.equal(answer?.frame, 'refuse');
  assert.equal(answer.frame === 'refuse' && answer.code, WireCode.Version);
  assert.equal((await refused)[0].code, 'ERR_GODWIT_VERSION');
  await echoes(server);
});

for (const [who, bytes] of [
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['TLS', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x00])],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n'],
  [
    'half a preface and then nonsense',
    Buffer.concat([encodePreface(Role.Client).subarray(0, PREFACE_BYTES - 6), Buffer.alloc(20, 1)]),
  ],
] as const) {
  test(`a peer that speaks ${who} is closed with a coded refusal, and the server goes on`, async () => {
    await using server = await startEcho();
    const refused = once(server, 'refused') as Promise<[Refused]>;
    const stranger = net.connect(portOf(server), '127.0.0.1');
    stranger.write(bytes);
    assert.equal((await everything(stranger)).byteLength, 0);
    assert.equal((await refused)[0].code, 'ERR_GODWIT_PROTOCOL');
    await echoes(server);
  });
}

test('a server that is no Godwit server gives the client ERR_GODWIT_PROTOCOL', async () => {
  const stranger = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  stranger.listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  const client = connect((stranger.address() as AddressInfo).port, '127.0.0.1');
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ERR_GODWIT_PROTOCOL');
  stranger.close();
});

test('a service of another name is refused with ERR_GODWIT_WRONG_SERVICE at the client', async () => {
  await using server = await startEcho({ service: 'ledger' });
  const client = connect({ port: portOf(server), host: '127.0.0.1', service: 'mail' });
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ERR_GODWIT_WRONG_SERVICE');
});
