/** The options of everything that takes some. */
import { statSync } from 'node:fs';
import nodeNet from 'node:net';
import type { Check } from './rows.ts';
import { handleCalls, next, type World } from './world.ts';

/** The last value that was set on any handle of a connection with these options. */
async function lastCall(world: World, method: string, options: object): Promise<unknown[] | undefined> {
  return (await handleCalls(method, () => world.pair(options))).at(-1);
}

/** Codes of the errors that these values of an option cause at once; null for none. */
function codesOf(values: readonly unknown[], use: (value: unknown) => unknown): unknown[] {
  return values.map((value) => {
    try {
      use(value);
      return null;
    } catch (error) {
      return [(error as Error).name, (error as NodeJS.ErrnoException).code];
    }
  });
}

/** What `connect` throws at once. Nothing is listened to, so nothing comes of it. */
const refused =
  (option: string, ...values: readonly unknown[]): Check =>
  (world) =>
    codesOf(values, (value) => world.connect({ port: 1, host: 'localhost', [option]: value }).destroy());

async function firstByte(world: World, options: object): Promise<unknown> {
  const { client, accepted } = await world.pair(options);
  accepted.write('x');
  return (await next(client, 'data')).toString();
}

export const optionRows: Record<string, Check> = {
  // --- new Socket() ---
  'option of Socket: fd': (world) => codesOf([-1, 0], (fd) => world.socket({ fd })),
  'option of Socket: handle': (world) =>
    codesOf(['BoundSocket' in nodeNet ? new nodeNet.BoundSocket() : {}], (handle) =>
      world.socket({ handle }),
    ),
  'option of Socket: allowHalfOpen': async (world) => {
    const { client, accepted } = await world.pair({ client: { allowHalfOpen: true } });
    accepted.end();
    await next(client.resume(), 'end');
    return [client.allowHalfOpen, client.writable, world.socket().allowHalfOpen];
  },
  'option of Socket: onread': async (world) => {
    const lengths: number[] = [];
    const onread = { buffer: Buffer.alloc(2), callback: (length: number) => lengths.push(length) > 0 };
    const { client, accepted } = await world.pair({ client: { onread } });
    accepted.end('abc');
    await next(client, 'end');
    return lengths;
  },
  'option of Socket: readable': (world) =>
    [false, true].map((readable) => world.socket({ readable }).readable),
  'option of Socket: writable': (world) =>
    [false, true].map((writable) => world.socket({ writable }).writable),
  'option of Socket: signal': async (world) => {
    const controller = new AbortController();
    const { client } = await world.pair({ client: { signal: controller.signal } });
    const error = next(client, 'error');
    controller.abort();
    const [{ name, code }] = (await error) as [NodeJS.ErrnoException];
    return [name, code, await next(client, 'close'), codesOf([{}], (signal) => world.socket({ signal }))];
  },
  'option of Socket: noDelay': async (world) => [
    await lastCall(world, 'setNoDelay', { client: { noDelay: true } }),
    await lastCall(world, 'setNoDelay', {}),
  ],
  'option of Socket: keepAlive': async (world) => [
    await lastCall(world, 'setKeepAlive', { client: { keepAlive: true } }),
    await lastCall(world, 'setKeepAlive', {}),
  ],
  'option of Socket: keepAliveInitialDelay': async (world) => [
    await lastCall(world, 'setKeepAlive', { client: { keepAlive: true, keepAliveInitialDelay: 5_000 } }),
    codesOf(['5', -5], (keepAliveInitialDelay) => world.socket({ keepAliveInitialDelay })),
  ],
  'option of Socket: blockList': async (world) => {
    const blockList = new nodeNet.BlockList();
    blockList.addAddress('127.0.0.1');
    const [error] = (await next(world.connect({ port: 1, host: '127.0.0.1', blockList }), 'error')) as [
      Error,
    ];
    return [error.message, codesOf([{}, null], (list) => world.socket({ blockList: list }))];
  },
  'option of Socket: typeOfService': async (world) => {
    const { client } = await world.pair({ client: { typeOfService: 16 } });
    return [
      client.getTypeOfService(),
      codesOf([-1, 256, 1.5, '1'], (typeOfService) => world.socket({ typeOfService })),
    ];
  },

  // --- connect() ---
  'option of connect: port': async (world) => [
    refused('port', '1', '0x1', -1, 65_536, 1.5, '', ' ', 'http', null, true, {})(world),
    await firstByte(world, {}),
  ],
  'option of connect: host': async (world) => {
    const { port } = await world.listen(world.server(), { port: 0, host: 'localhost' });
    const client = world.connect({ port });
    await next(client, 'connect');
    return [client.remoteAddress, refused('host', 5, '', null, 'a\0b')(world)];
  },
  'option of connect: localAddress': async (world) => {
    const { accepted } = await world.pair({ client: { localAddress: '127.0.0.1' } });
    return [accepted.remoteAddress, refused('localAddress', 'here', '', null)(world)];
  },
  'option of connect: localPort': refused('localPort', '1', 0, null, true),
  'option of connect: hints': async (world) => askedOfResolver(world, { hints: 32 }),
  'option of connect: family': async (world) => askedOfResolver(world, { family: 6 }),
  'option of connect: lookup': async (world) => [
    await askedOfResolver(world, {}),
    refused('lookup', 5, null, 'x')(world),
  ],
  'option of connect: autoSelectFamily': async (world) => [
    await askedOfResolver(world, { autoSelectFamily: false }),
    refused('autoSelectFamily', 1, 'no', null)(world),
  ],
  'option of connect: autoSelectFamilyAttemptTimeout': refused(
    'autoSelectFamilyAttemptTimeout',
    0,
    -1,
    1.5,
    2 ** 31,
    '5',
    null,
    5,
  ),
  'option of connect: path': async (world) => {
    const path = world.path();
    await world.listen(world.server(), path);
    const client = world.connect({ path });
    await next(client, 'connect');
    return [
      client.remoteAddress,
      client.address(),
      codesOf([5, {}], (wrong) => world.connect({ path: wrong })),
    ];
  },
  'option of connect: timeout': async (world) => {
    const { client } = await world.pair({ client: { timeout: 20 } });
    const fired = next(client, 'timeout');
    const keepAlive = setInterval(() => undefined, 1_000);
    await fired;
    clearInterval(keepAlive);
    return [client.timeout, codesOf(['20', -1], (timeout) => world.connect({ port: 1, timeout }).destroy())];
  },

  // --- createServer() ---
  'option of createServer: allowHalfOpen': async (world) => {
    const { client, accepted } = await world.pair({ server: { allowHalfOpen: true } });
    client.end();
    await next(accepted.resume(), 'end');
    return [accepted.allowHalfOpen, accepted.writable];
  },
  'option of createServer: pauseOnConnect': async (world) => {
    const { accepted } = await world.pair({ server: { pauseOnConnect: true } });
    return accepted.isPaused();
  },
  'option of createServer: noDelay': async (world) => [
    (await lastCall(world, 'setNoDelay', { client: { noDelay: false }, server: { noDelay: true } })) ?? [
      true,
    ],
    await lastCall(world, 'setNoDelay', { client: { noDelay: false } }),
  ],
  'option of createServer: keepAlive': async (world) =>
    (await handleCalls('setKeepAlive', () => world.pair({ server: { keepAlive: true } }))).map(
      ([enable]) => enable,
    ),
  'option of createServer: keepAliveInitialDelay': async (world) => {
    const server = { keepAlive: true, keepAliveInitialDelay: 5_000 };
    const calls = await handleCalls('setKeepAlive', () => world.pair({ server }));
    const wrong = codesOf(['5', -5], (keepAliveInitialDelay) => world.server({ keepAliveInitialDelay }));
    return [calls.map(([enable, delay]) => [enable, delay]), wrong];
  },
  'option of createServer: highWaterMark': async (world) => {
    const { accepted } = await world.pair({ server: { highWaterMark: 1_000 } });
    const wrong = codesOf(['5'], (highWaterMark) => world.server({ highWaterMark }));
    return [accepted.readableHighWaterMark, accepted.writableHighWaterMark, wrong];
  },
  'option of createServer: blockList': async (world) => {
    const blockList = new nodeNet.BlockList();
    blockList.addAddress('127.0.0.1');
    const server = world.server({ blockList });
    let connections = 0;
    server.on('connection', () => (connections += 1));
    const { port } = await world.listen(server);
    const client = world.connect({ port, host: '127.0.0.1' });
    client.on('error', () => undefined).resume();
    await next(client, 'close');
    return [connections, codesOf([{}, null], (list) => world.server({ blockList: list }))];
  },
  'option of createServer: blockList (at the client)': async (world) => {
    const blockList = new nodeNet.BlockList();
    blockList.addAddress('127.0.0.1');
    const { port } = await world.listen(world.server({ blockList }));
    const client = world.connect({ port, host: '127.0.0.1' });
    const seen: string[] = [];
    for (const event of ['connect', 'error']) client.on(event, () => seen.push(event));
    client.resume();
    await next(client, 'close');
    return seen.includes('connect');
  },
  'option of createServer: unknown ones': (world) =>
    codesOf([1], (value) => [
      world.server({ requestTimeout: value, colour: value }),
      world.connect({ port: 1, colour: value }).destroy(),
    ]),
  "option of createServer: unknown ones (that are nearly Godwit's)": (world) =>
    codesOf(['delivry', 'key'], (option) => world.server({ [option as string]: '' })),

  // --- listen() ---
  'option of listen: port': (world) =>
    codesOf(['x', -1, 65_536, 1.5], (port) => world.server().listen({ port } as nodeNet.ListenOptions)),
  'option of listen: host': async (world) =>
    (await world.listen(world.server(), { port: 0, host: 'localhost' })).address,
  'option of listen: backlog': async (world) => {
    const backlogs = await handleCalls('listen', async () => {
      await world.listen(world.server(), { port: 0, host: '127.0.0.1', backlog: 7 });
      await world.listen(world.server(), 0, '127.0.0.1', 8);
    });
    return backlogs;
  },
  'option of listen: exclusive': async (world) =>
    (await world.listen(world.server(), { port: 0, host: '127.0.0.1', exclusive: true })).family,
  'option of listen: handle': async (world) => {
    if (!('BoundSocket' in nodeNet)) return 'this Node has none';
    const handle = new nodeNet.BoundSocket({ host: '127.0.0.1' });
    const { port } = handle.address();
    return (await world.listen(world.server(), { handle })).port === port;
  },
  'option of listen: ipv6Only': async (world) => {
    const { port } = await world.listen(world.server(), { port: 0, host: '::', ipv6Only: true });
    const [error] = (await next(world.connect({ port, host: '127.0.0.1' }), 'error')) as [
      NodeJS.ErrnoException,
    ];
    return error.code;
  },
  'option of listen: reusePort': async (world) => {
    if (process.platform !== 'linux') return 'not on every system';
    const first = await world.listen(world.server(), { port: 0, host: '127.0.0.1', reusePort: true });
    const second = await world.listen(world.server(), { ...first, host: '127.0.0.1', reusePort: true });
    return first.port === second.port;
  },
  'option of listen: path': async (world) => {
    const path = world.path();
    const server = world.server();
    await world.listen(server, { path });
    return server.address() === path;
  },
  'option of listen: readableAll': (world) => modeOf(world, { readableAll: true }),
  'option of listen: writableAll': (world) => modeOf(world, { writableAll: true }),
  'option of listen: signal': async (world) => {
    const controller = new AbortController();
    const server = world.server();
    await world.listen(server, { port: 0, host: '127.0.0.1', signal: controller.signal });
    const closed = next(server, 'close');
    controller.abort();
    await closed;
    return codesOf([5, null, {}], (signal) =>
      world.server().listen({ port: 0, signal } as nodeNet.ListenOptions),
    );
  },

  // --- setKeepAlive() ---
  ...Object.fromEntries(
    Object.entries({
      enable: { enable: true },
      initialDelay: { enable: true, initialDelay: 3_000 },
      interval: { enable: true, interval: 4_000 },
      count: { enable: true, count: 5 },
    }).map(([name, options]): [string, Check] => [
      `option of setKeepAlive: ${name}`,
      async (world) => {
        const { client } = await world.pair();
        return handleCalls('setKeepAlive', () =>
          Promise.resolve(client.setKeepAlive(options as nodeNet.SetKeepAliveOptions)),
        );
      },
    ]),
  ),

  // --- onread ---
  'option of onread: buffer': async (world) => {
    const sizes: number[] = [];
    const onread = {
      buffer: () => Buffer.alloc(3),
      callback: (_length: number, { byteLength }: Buffer) => sizes.push(byteLength) > 0,
    };
    const { client, accepted } = await world.pair({ client: { onread } });
    accepted.end('abcd');
    await next(client, 'end');
    return sizes;
  },
  'option of onread: callback': async (world) => {
    const onread = { buffer: Buffer.alloc(3), callback: 'none' };
    return firstByte(world, { client: { onread } });
  },
};

async function askedOfResolver(world: World, options: object): Promise<unknown> {
  const { port } = await world.listen(world.server());
  const asked: unknown[] = [];
  const lookup: nodeNet.LookupFunction = (host, { family, hints, all }, callback) => {
    asked.push(host, family, hints, all);
    if (all === true) setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }]);
    else setImmediate(callback, null, '127.0.0.1', 4);
  };
  await next(world.connect({ port, host: 'somewhere', lookup, ...options }), 'connect');
  return asked;
}

async function modeOf(world: World, options: object): Promise<unknown> {
  const path = world.path();
  await world.listen(world.server(), { path, ...options });
  return process.platform === 'win32' ? 'has none' : statSync(path).mode.toString(8);
}
