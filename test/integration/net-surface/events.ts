/** Events of sockets and servers, with their arguments. */
import nodeNet from 'node:net';
import type { Check } from './rows.ts';
import { next, type World } from './world.ts';

/** The arguments of an event of a client that is connected to a name. */
const whileConnecting =
  (event: string): Check =>
  async (world) => {
    const { port } = await world.listen(world.server());
    const client = world.connect({ port, host: 'somewhere', lookup });
    return (await next(client, event)).map((argument) => (argument === port ? 'port' : argument));
  };

const lookup: nodeNet.LookupFunction = (_host, { all }, callback) => {
  if (all === true) setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }]);
  else setImmediate(callback, null, '127.0.0.1', 4);
};

/** What a socket says when nobody listens where it connects to. */
async function refusal(world: World): Promise<{ events: unknown[][]; error: NodeJS.ErrnoException }> {
  const server = world.server();
  const { port } = await world.listen(server);
  await new Promise((resolve) => server.close(resolve));
  const client = world.connect({ port, host: '127.0.0.1' });
  const events: unknown[][] = [];
  let error: NodeJS.ErrnoException = new Error('none');
  const plain = (argument: unknown): unknown => {
    if (argument === port) return 'port';
    if (!(argument instanceof Error)) return argument;
    const { message, syscall, address, code, errno } = argument as NodeJS.ErrnoException & {
      address: string;
    };
    return { message: message.replace(`${port}`, 'port'), syscall, address, code, errno };
  };
  for (const event of ['connectionAttempt', 'connectionAttemptFailed', 'error', 'close'])
    client.on(event, (...args: unknown[]) => events.push([event, ...args.map(plain)]));
  client.on('error', (given) => (error = given));
  await next(client, 'close');
  return { events, error };
}

export const eventRows: Record<string, Check> = {
  'Socket event close': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.resume().end();
    const orderly = await next(client.resume(), 'close');
    const failed = (await world.pair()).client.destroy(new Error('mine'));
    const never = world.socket().destroy();
    const neverFailed = world
      .socket()
      .on('error', () => undefined)
      .destroy(new Error('mine'));
    const rest = [failed, never, neverFailed].map((socket) => next(socket, 'close'));
    return [orderly, ...(await Promise.all(rest))];
  },
  'Socket event connect': whileConnecting('connect'),
  'Socket event ready': whileConnecting('ready'),
  'Socket event lookup': whileConnecting('lookup'),
  'Socket event connectionAttempt': whileConnecting('connectionAttempt'),
  'Socket event connectionAttemptFailed': async (world) => (await refusal(world)).events,
  // That it comes, and when, is in net-options.test.ts: it needs a server that is silent.
  'Socket event connectionAttemptTimeout': (world) =>
    world.socket().listenerCount('connectionAttemptTimeout'),
  'Socket event data': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.write('abc');
    const [chunk] = await next(client, 'data');
    return [Buffer.isBuffer(chunk), String(chunk)];
  },
  'Socket event drain': async (world) => {
    const { client, accepted } = await world.pair();
    while (client.write(Buffer.alloc(1 << 16)));
    accepted.resume();
    return next(client, 'drain');
  },
  'Socket event end': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.end();
    const args = await next(client.resume(), 'end');
    return [args, client.readableEnded, client.writable];
  },
  'Socket event error': async (world) => {
    const { error } = await refusal(world);
    return [error instanceof Error, Object.keys(error).includes('code')];
  },
  'Socket event error (its class)': async (world) => (await refusal(world)).error.constructor.name,
  'Socket event timeout': async (world) => {
    const { client } = await world.pair();
    const fired = next(client.setTimeout(10), 'timeout');
    const keepAlive = setInterval(() => undefined, 1_000);
    const args = await fired;
    clearInterval(keepAlive);
    return [args, client.destroyed];
  },

  'Server event close': async (world) => {
    const server = world.server();
    await world.listen(server);
    const closed = next(server, 'close');
    server.close();
    return closed;
  },
  'Server event connection': async (world) => {
    const server = world.server();
    const { port } = await world.listen(server);
    const connection = next(server, 'connection');
    world.connect({ port, host: '127.0.0.1' });
    const [socket, ...rest] = (await connection) as [nodeNet.Socket & { server: unknown }];
    return [socket instanceof world.net.Socket, socket.server === server, socket.readyState, rest];
  },
  'Server event connection (for a client that speaks no Godwit)': async (world) => {
    const server = world.server();
    const { port } = await world.listen(server);
    const connection = next(server, 'connection').then(() => 'connection');
    const stranger = nodeNet
      .connect(port, '127.0.0.1')
      .on('error', () => undefined)
      .resume();
    stranger.write('GET / HTTP/1.1\r\n\r\n');
    const first = await Promise.race([connection, next(stranger, 'close').then(() => 'closed')]);
    stranger.destroy();
    return first;
  },
  'Server event error': async (world) => {
    const { port } = await world.listen(world.server());
    const second = world.server();
    second.listen(port, '127.0.0.1');
    const [error] = (await next(second, 'error')) as [NodeJS.ErrnoException];
    return [error.code, error.syscall, second.listening];
  },
  'Server event listening': async (world) => {
    const server = world.server();
    const listening = next(server, 'listening');
    server.listen(0, '127.0.0.1');
    const before = server.address() === null;
    return [await listening, server.listening, before];
  },
  'Server event drop': dropped((argument) => Object.keys(argument).sort()),
  'argument of drop: localAddress': dropped(({ localAddress }) => localAddress),
  'argument of drop: localPort': dropped(({ localPort }, port) => localPort === port),
  'argument of drop: localFamily': dropped(({ localFamily }) => localFamily),
  'argument of drop: remoteAddress': dropped(({ remoteAddress }) => remoteAddress),
  'argument of drop: remotePort': dropped(({ remotePort }) => typeof remotePort),
  'argument of drop: remoteFamily': dropped(({ remoteFamily }) => remoteFamily),
};

function dropped(read: (argument: nodeNet.DropArgument, port: number) => unknown): Check {
  return async (world) => {
    const server = world.server();
    server.maxConnections = 0;
    const { port } = await world.listen(server);
    const drop = next(server, 'drop');
    world
      .connect({ port, host: '127.0.0.1' })
      .on('error', () => undefined)
      .resume();
    const [argument] = (await drop) as [nodeNet.DropArgument];
    return read(argument, port);
  };
}
