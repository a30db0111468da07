/** Methods and properties of sockets. */
import { once } from 'node:events';
import type nodeNet from 'node:net';
import type { Check } from './rows.ts';
import { handleCalls, next, type Pair, type World } from './world.ts';

/** A property before, while and after: never connected, connecting, connected, ended, closed. */
const throughLife =
  (read: (socket: nodeNet.Socket) => unknown): Check =>
  async (world) => {
    const fresh = world.socket();
    const { client, accepted, port } = await world.pair();
    const connecting = world.connect({ port, host: '127.0.0.1' });
    const values = [read(fresh), read(connecting), read(client), read(accepted)];
    connecting.destroy();
    client.end();
    values.push(read(client));
    accepted.resume();
    client.resume();
    await Promise.all([next(client, 'close'), next(accepted, 'close')]);
    return [...values, read(client), read(accepted)];
  };

/** Addresses without what the system chooses. */
const isSet = (value: unknown): unknown => (typeof value === 'number' ? 'a port' : value);

async function echo({ client, accepted }: Pair): Promise<string> {
  accepted.once('data', (chunk) => accepted.write(chunk));
  client.write('echo');
  return (await next(client, 'data')).toString();
}

/** The code of what is thrown or emitted. */
async function errorOf(socket: nodeNet.Socket, run: () => unknown): Promise<unknown> {
  const error = next(socket, 'error');
  try {
    run();
  } catch (thrown) {
    return ['thrown', (thrown as NodeJS.ErrnoException).code];
  }
  return ['emitted', ((await error)[0] as NodeJS.ErrnoException).code];
}

export const socketRows: Record<string, Check> = {
  'Socket#constructor': ({ net }) => new net.Socket() instanceof net.Socket,
  'Socket#connect': async (world) => {
    const { port } = await world.listen(world.server());
    const socket = world.socket();
    const order: string[] = [];
    for (const event of ['connect', 'ready']) socket.on(event, () => order.push(event));
    const self = socket.connect(port, '127.0.0.1', () => order.push('callback'));
    await next(socket, 'ready');
    const wrong = await errorOf(world.socket(), () =>
      world.socket().connect({} as nodeNet.TcpNetConnectOpts),
    );
    return [self === socket, order, wrong];
  },
  'Socket#connect (a second time, while it connects)': async (world) => {
    const { port } = await world.listen(world.server());
    const socket = world.socket().connect(port, '127.0.0.1');
    return errorOf(socket, () => socket.connect(port, '127.0.0.1'));
  },
  'Socket#connect (a second time, once it is connected)': async (world) => {
    const { client, port } = await world.pair();
    const first = Promise.race([
      once(client, 'connect').then(() => 'connect'),
      next(client, 'error').then(() => 'error'),
    ]);
    client.connect(port, '127.0.0.1');
    return first.catch(() => 'error');
  },
  'Socket#connect (again, once it is closed)': async (world) => {
    const { client, port, accepted } = await world.pair();
    accepted.resume().end();
    await next(client.resume(), 'close');
    client.connect(port, '127.0.0.1');
    await next(client, 'connect');
    return [client.readyState, client.destroyed];
  },
  'Socket#write': async (world) => {
    const { client, accepted } = await world.pair();
    const order: unknown[] = [];
    const small = client.write('ü', 'utf8', () => order.push('written'));
    const [chunk] = (await next(accepted, 'data')) as [Buffer];
    const large = client.write(Buffer.alloc(16 << 20));
    await next(accepted.resume(), 'data');
    const wrong = await errorOf(client, () => client.write(5 as unknown as string));
    return [small, large, [...chunk], order, wrong];
  },
  'Socket#end': async (world) => {
    const { client, accepted } = await world.pair();
    let finished = 0;
    const self = client.end('the', 'utf8', () => (finished += 1));
    const [chunk] = (await next(accepted, 'data')) as [Buffer];
    await next(accepted, 'end');
    return [self === client, chunk.toString(), finished, client.writableEnded];
  },
  'Socket#destroySoon': async (world) => {
    const { client, accepted } = await world.pair();
    const closed = next(client, 'close');
    client.write('last');
    client.destroySoon();
    const [chunk] = (await next(accepted, 'data')) as [Buffer];
    return [chunk.toString(), await closed];
  },
  'Socket#destroyed': throughLife(({ destroyed }) => destroyed),
  'Socket#resetAndDestroy': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.resume();
    const gone = next(accepted, 'error');
    const self = client.resetAndDestroy();
    const [error] = (await gone) as [NodeJS.ErrnoException];
    const fresh = world.socket();
    return [self === client, error.code, await errorOf(fresh, () => fresh.resetAndDestroy())];
  },
  'Socket#resetAndDestroy (on a path)': async (world) => {
    const path = world.path();
    await world.listen(world.server(), path);
    const client = world.connect({ path });
    await next(client, 'connect');
    client.resetAndDestroy();
    return next(client, 'close');
  },
  'Socket#pause': async (world) => {
    const { client, accepted } = await world.pair();
    let bytes = 0;
    client.on('data', (chunk) => (bytes += chunk.byteLength));
    const self = client.pause();
    accepted.write('abc');
    await echo(await world.pair());
    const before = bytes;
    const data = next(client, 'data');
    client.resume();
    await data;
    return [self === client, before, bytes, client.isPaused()];
  },
  'Socket#resume': async (world) => {
    const { client, accepted } = await world.pair();
    const self = client.resume();
    accepted.end('thrown away');
    await next(client, 'end');
    return [self === client, client.readableFlowing];
  },
  'Socket#read': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.write('abcd');
    await next(client, 'readable');
    return [client.read(1), client.read(), client.read()].map(String);
  },
  'Socket#setEncoding': async (world) => {
    const { client, accepted } = await world.pair();
    const self = client.setEncoding('hex');
    accepted.write('az');
    return [self === client, await next(client, 'data')];
  },
  'Socket#setTimeout': async (world) => {
    const { client } = await world.pair();
    let fired = 0;
    const listener = (): void => void (fired += 1);
    const self = client.setTimeout(10, listener);
    const keepAlive = setInterval(() => undefined, 1_000);
    await next(client, 'timeout');
    clearInterval(keepAlive);
    client.setTimeout(0, listener);
    const wrong: unknown[] = [];
    for (const value of ['1', -1, NaN, Infinity])
      wrong.push(await errorOf(client, () => client.setTimeout(value as number)));
    wrong.push(await errorOf(client, () => client.setTimeout(5, 'x' as never)));
    return [self === client, fired, client.listenerCount('timeout'), wrong];
  },
  'Socket#setNoDelay': async (world) => {
    const { client } = await world.pair({ client: { noDelay: true } });
    const calls = await handleCalls('setNoDelay', () =>
      Promise.resolve(client.setNoDelay(false).setNoDelay()),
    );
    return [calls, client.setNoDelay(false) === client];
  },
  'Socket#setKeepAlive': async (world) => {
    const { client } = await world.pair();
    const calls = await handleCalls('setKeepAlive', () =>
      Promise.resolve(client.setKeepAlive(true, 2_000, 3_000, 4).setKeepAlive(false)),
    );
    return calls.map(([enable, delay, interval, count]) =>
      enable === true ? [delay, interval, count] : enable,
    );
  },
  'Socket#setTypeOfService': async (world) => {
    const { client } = await world.pair();
    const self = client.setTypeOfService(8);
    const wrong: unknown[] = [];
    for (const value of [-1, 256, '1', NaN, 1.5])
      wrong.push(await errorOf(client, () => client.setTypeOfService(value as number)));
    return [self === client, client.getTypeOfService(), wrong];
  },
  'Socket#getTypeOfService': async (world) => {
    const { client } = await world.pair();
    const fresh = world.socket();
    return [
      fresh.getTypeOfService(),
      fresh.setTypeOfService(24).getTypeOfService(),
      client.getTypeOfService(),
    ];
  },
  'Socket#address': throughLife((socket) => {
    const { address, family, port } = socket.address() as nodeNet.AddressInfo;
    return [address, family, isSet(port)];
  }),
  'Socket#ref': async (world) => {
    const { client } = await world.pair();
    return client.ref() === client;
  },
  'Socket#unref': async (world) => {
    const { client } = await world.pair();
    const self = client.unref();
    client.ref();
    return [self === client, world.socket().unref() instanceof world.net.Socket];
  },
  'Socket#autoSelectFamilyAttemptedAddresses': async (world) => {
    const { client, port } = await world.pair();
    const lookup: nodeNet.LookupFunction = (_host, _options, callback) => {
      const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
      setImmediate(callback, null, addresses);
    };
    const several = world.connect({ port, host: 'several', lookup });
    await next(several, 'connect');
    const tried = several.autoSelectFamilyAttemptedAddresses.map((address) =>
      address.replace(`${port}`, 'port'),
    );
    return [client.autoSelectFamilyAttemptedAddresses, tried];
  },
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- it is still there
  'Socket#bufferSize': throughLife(({ bufferSize }) => bufferSize),
  'Socket#bytesRead': async (world) => {
    const both = await world.pair();
    await echo(both);
    const counts = [both.client.bytesRead, both.accepted.bytesRead, world.socket().bytesRead];
    both.client.destroy();
    await next(both.client, 'close');
    return [...counts, both.client.bytesRead];
  },
  'Socket#bytesWritten': async (world) => {
    const both = await world.pair();
    await echo(both);
    both.client.cork();
    both.client.write('ü');
    const counts = [both.client.bytesWritten, both.accepted.bytesWritten, world.socket().bytesWritten];
    both.client.uncork();
    both.client.end();
    both.accepted.resume();
    await next(both.client.resume(), 'close');
    return [...counts, both.client.bytesWritten];
  },
  'Socket#connecting': throughLife(({ connecting }) => connecting),
  'Socket#pending': throughLife(({ pending }) => pending),
  'Socket#readyState': throughLife(({ readyState }) => readyState),
  'Socket#timeout': async (world) => {
    const { client } = await world.pair();
    const before = client.timeout;
    client.setTimeout(5_000);
    return [before, client.timeout, world.socket().setTimeout(5).timeout];
  },
  'Socket#localAddress': throughLife(({ localAddress }) => localAddress),
  'Socket#localPort': throughLife(({ localPort }) => isSet(localPort)),
  'Socket#localFamily': throughLife(({ localFamily }) => localFamily),
  'Socket#remoteAddress': (world) => remoteOf(world, ({ remoteAddress }) => remoteAddress),
  'Socket#remotePort': (world) => remoteOf(world, ({ remotePort }) => isSet(remotePort)),
  'Socket#remoteFamily': (world) => remoteOf(world, ({ remoteFamily }) => remoteFamily),
  'Socket#remoteAddress (read for the first time when it is closed)': async (world) => {
    const { client, accepted } = await world.pair();
    accepted.resume().end();
    await next(client.resume(), 'close');
    return client.remoteAddress;
  },
  'Socket#_handle': async (world) => {
    const { client } = await world.pair();
    return typeof (client as unknown as { _handle: unknown })._handle;
  },
  'Socket#postMessage (to a worker)': async (world) => {
    const { client } = await world.pair();
    const { port1, port2 } = new MessageChannel();
    try {
      port1.postMessage(client, [client as never]);
      return 'posted';
    } catch {
      return 'refused';
    } finally {
      port1.close();
      port2.close();
    }
  },
};

/** As `throughLife`, but read once before the end, when net looks it up. */
async function remoteOf(world: World, read: (socket: nodeNet.Socket) => unknown): Promise<unknown> {
  const { client, accepted } = await world.pair();
  const values = [read(world.socket()), read(client), read(accepted)];
  accepted.resume().end();
  await next(client.resume(), 'close');
  return [...values, read(client)];
}
