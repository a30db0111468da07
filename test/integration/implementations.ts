/** The two implementations that one test body is run against. */
import { once } from 'node:events';
import nodeNet from 'node:net';
import godwit from 'godwit';

/** What the test bodies use: net's own types, since that is the promise. */
export type Net = Pick<
  typeof nodeNet,
  'createServer' | 'connect' | 'createConnection' | 'Socket' | 'Server' | 'isIP'
>;

export const IMPLEMENTATIONS: readonly { readonly name: string; readonly net: Net }[] = [
  { name: 'node:net', net: nodeNet },
  { name: 'godwit', net: godwit as unknown as Net },
];

/** Clients of net at a server of Godwit that serves such: what its application sees is to be net too. */
export const PLAIN = {
  name: 'clients of node:net at a server of Godwit',
  net: { ...nodeNet, createServer: createPlainServer as typeof nodeNet.createServer } satisfies Net,
};

/** Clients that wait for the server to speak are not kept waiting for long. */
const PLAIN_AFTER_MS = 10;

function createPlainServer(
  options?: nodeNet.ServerOpts | ((socket: nodeNet.Socket) => void),
  listener?: (socket: nodeNet.Socket) => void,
): nodeNet.Server {
  if (typeof options === 'function') return createPlainServer({}, options);
  const plain = { ...options, plain: 'accept', plainAfterMs: PLAIN_AFTER_MS };
  return godwit.createServer(plain as object, listener as never);
}

/** A server on a free port of the loopback, and that port. */
export async function listen(server: nodeNet.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return portOf(server);
}

export function portOf(server: nodeNet.Server): number {
  return (server.address() as nodeNet.AddressInfo).port;
}

/** Both ends of one connection. */
export async function pair(
  net: Net,
  options: {
    readonly server?: nodeNet.ServerOpts;
    readonly client?: Partial<nodeNet.TcpNetConnectOpts> & Record<string, unknown>;
  } = {},
): Promise<{ server: nodeNet.Server; client: nodeNet.Socket; accepted: nodeNet.Socket; port: number }> {
  const server = net.createServer(options.server ?? {});
  const port = await listen(server);
  const connection = once(server, 'connection');
  const client = net.connect({ host: '127.0.0.1', port, ...options.client });
  const [[accepted]] = (await Promise.all([connection, once(client, 'connect')])) as [
    [nodeNet.Socket],
    unknown,
  ];
  return { server, client, accepted, port };
}

/** All bytes until the end. */
export async function readAll(socket: nodeNet.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Closes what a test has opened and waits for the server's 'close'. */
export async function closeAll(server: nodeNet.Server, ...sockets: nodeNet.Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}
