/** Methods and properties of servers. */
import { once } from 'node:events';
import nodeNet from 'node:net';
import type { Check } from './rows.ts';
import { next } from './world.ts';

const countOf = (server: nodeNet.Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });

function codeOf(run: () => unknown): unknown {
  try {
    run();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

export const serverRows: Record<string, Check> = {
  'Server#constructor': ({ net, server }) => {
    const { Server } = net as unknown as { Server: new (...args: unknown[]) => nodeNet.Server };
    const heard = new Server(null, () => undefined).listenerCount('connection');
    return [
      new Server(() => undefined).listenerCount('connection'),
      heard,
      codeOf(() => new Server(5)),
      typeof server,
    ];
  },
  'Server#listen': async (world) => {
    const answers: unknown[] = [];
    const forms: readonly (readonly unknown[])[] = [
      [],
      [null],
      [0],
      ['0'],
      [0, 5],
      [0, '127.0.0.1'],
      [0, '127.0.0.1', 5],
      [{ port: 0 }],
      [{ port: undefined }],
      [{ port: null }],
      [world.path()],
      [world.path(), 5],
      [{ path: world.path(), backlog: 5 }],
    ];
    for (const form of forms) {
      const server = world.server();
      const called = new Promise<void>((resolve) => {
        const self = (server.listen as (...given: unknown[]) => unknown).apply(server, [...form, resolve]);
        answers.push(self === server);
      });
      await called;
      const address = server.address();
      answers.push(typeof address === 'string' ? 'path' : [address?.address, address?.family]);
    }
    const wrong = [{}, { port: 'x' }, { path: 5 }, true, Symbol('x')].map((value) =>
      codeOf(() => (world.server().listen as (given: unknown) => unknown)(value)),
    );
    const twice = world.server();
    await world.listen(twice);
    return [answers, wrong, codeOf(() => twice.listen(0))];
  },
  'Server#listen (a handle)': async (world) => {
    const other = nodeNet.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = await world.listen(world.server(), other);
    other.close();
    return port > 0;
  },
  'Server#listen (a host that does not resolve)': async (world) => {
    const server = world.server().listen(0, '256.256.256.256');
    const [error] = (await next(server, 'error')) as [NodeJS.ErrnoException];
    return [error.syscall, server.listening];
  },
  'Server#close': async (world) => {
    const { server, client, accepted } = await world.pair();
    const order: string[] = [];
    server.on('close', () => order.push('event'));
    const self = server.close((error) => order.push(`callback ${String(error)}`));
    const open = server.listening;
    accepted.resume().end();
    client.resume();
    await next(server, 'close');
    const again = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => server.close(resolve));
    return [self === server, open, order, again?.code];
  },
  'Server#address': async (world) => {
    const server = world.server();
    const before = server.address();
    const { address, family, port } = await world.listen(server);
    server.close();
    return [before, address, family, port > 0, server.address()];
  },
  'Server#getConnections': async (world) => {
    const { server, client, accepted } = await world.pair();
    const counts = [await countOf(server)];
    const gone = next(accepted.resume(), 'close');
    client.end();
    await gone;
    counts.push(await countOf(server));
    return [counts, server.getConnections(() => undefined) === server];
  },
  'Server#getConnections (of clients that have said nothing)': async (world) => {
    const server = world.server();
    const { port } = await world.listen(server);
    // The other one's client is there to show that the first has arrived.
    const silent = nodeNet.connect(port, '127.0.0.1').on('error', () => undefined);
    await once(silent, 'connect');
    await Promise.all([
      next(server, 'connection'),
      next(world.connect({ port, host: '127.0.0.1' }), 'connect'),
    ]);
    const count = await countOf(server);
    silent.destroy();
    return count;
  },
  'Server#ref': (world) => {
    const server = world.server();
    return server.ref() === server;
  },
  'Server#unref': async (world) => {
    const server = world.server();
    const self = server.unref();
    await world.listen(server.ref());
    return [self === server, server.unref().ref().listening];
  },
  'Server#maxConnections': async (world) => {
    const { server, port } = await world.pair();
    const before = server.maxConnections;
    server.maxConnections = 1;
    const late = world.connect({ port, host: '127.0.0.1' });
    late.on('error', () => undefined).resume();
    await Promise.all([next(server, 'drop'), next(late, 'close')]);
    return [before, await countOf(server)];
  },
  'Server#dropMaxConnection': (world) => {
    const server = world.server() as nodeNet.Server & { dropMaxConnection?: boolean };
    const before = server.dropMaxConnection;
    server.dropMaxConnection = true;
    return [before, server.dropMaxConnection];
  },
  'Server#connections': (world) => world.server().connections,
  'Server#listening': async (world) => {
    const server = world.server();
    const values = [server.listening];
    await world.listen(server);
    values.push(server.listening);
    server.close();
    return [...values, server.listening];
  },
  'Server#[Symbol.asyncDispose]': async (world) => {
    const server = world.server();
    await server[Symbol.asyncDispose]();
    await world.listen(server);
    await server[Symbol.asyncDispose]();
    return server.listening;
  },
  'Server#captureRejections': async (world) => {
    // What node's emitter calls when a listener's promise rejects and somebody asked for that.
    const { server, accepted } = await world.pair();
    const capture = Symbol.for('nodejs.rejection');
    const handler = (server as unknown as Record<symbol, (...args: unknown[]) => void>)[capture];
    const failed = next(accepted, 'error');
    handler?.call(server, new Error('rejected'), 'connection', accepted);
    return String((await failed)[0]);
  },
};
