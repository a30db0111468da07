/** What a check of `rows.ts` works with: one of both implementations, and connections that end with the check. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import nodeNet from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type godwit from 'godwit';
import type { Net } from '../implementations.ts';

type Options = Readonly<Record<string, unknown>>;

export interface Pair {
  readonly server: nodeNet.Server;
  readonly client: nodeNet.Socket;
  /** The client's connection, at the server. */
  readonly accepted: nodeNet.Socket;
  readonly port: number;
}

export class World implements AsyncDisposable {
  static #folder = '';
  static #paths = 0;
  /** All that is exported, beyond the types. */
  readonly exports: Readonly<Record<string, unknown>>;
  readonly net: Net;
  readonly #sockets: nodeNet.Socket[] = [];
  readonly #servers: nodeNet.Server[] = [];

  constructor(net: typeof nodeNet | typeof godwit) {
    this.net = net as unknown as Net;
    this.exports = net;
  }

  socket(options?: Options): nodeNet.Socket {
    return this.#keep(new this.net.Socket(options));
  }

  connect(options: Options): nodeNet.Socket {
    return this.#keep(this.net.connect(options as unknown as nodeNet.NetConnectOpts));
  }

  /** A server that listens nowhere yet. */
  server(options: Options = {}, listener?: (socket: nodeNet.Socket) => void): nodeNet.Server {
    const server = this.net.createServer(options, listener);
    this.#servers.push(server);
    server.on('connection', (socket) => this.#keep(socket).on('error', () => undefined));
    return server;
  }

  async listen(server: nodeNet.Server, ...args: readonly unknown[]): Promise<nodeNet.AddressInfo> {
    const listening = once(server, 'listening');
    const target = args.length === 0 ? [0, '127.0.0.1'] : args;
    (server.listen as (...given: unknown[]) => unknown).apply(server, [...target]);
    await listening;
    return server.address() as nodeNet.AddressInfo;
  }

  /** Both ends of a connection; whatever it comes to later is the check's affair. */
  async pair({
    server: given = {},
    client = {},
  }: { server?: Options; client?: Options } = {}): Promise<Pair> {
    const server = this.server(given);
    const { port } = await this.listen(server);
    const connection = once(server, 'connection') as Promise<[nodeNet.Socket]>;
    const socket = this.connect({ host: '127.0.0.1', port, ...client });
    const [[accepted]] = await Promise.all([connection, once(socket, 'connect')]);
    socket.on('error', () => undefined);
    return { server, client: socket, accepted, port };
  }

  /** A path for a server of one implementation. */
  path(): string {
    World.#folder ||= mkdtempSync(join(tmpdir(), 'godwit-surface-'));
    World.#paths += 1;
    return process.platform === 'win32'
      ? `\\\\.\\pipe\\godwit-surface-${process.pid}-${World.#paths}`
      : join(World.#folder, `${World.#paths}.sock`);
  }

  static removeFolder(): void {
    if (World.#folder !== '') rmSync(World.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.on('error', () => undefined).destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #keep(socket: nodeNet.Socket): nodeNet.Socket {
    this.#sockets.push(socket);
    return socket;
  }
}

/** The arguments of the next event of that name. */
export async function next(emitter: NodeJS.EventEmitter, event: string): Promise<readonly unknown[]> {
  return new Promise((resolve) => emitter.once(event, (...args: unknown[]) => resolve(args)));
}

/** Calls of a method on the operating system's handles while `run` runs; each with the arguments. */
export async function handleCalls(method: string, run: () => Promise<unknown>): Promise<unknown[][]> {
  const probe = nodeNet.createServer();
  await once(probe.listen(0, '127.0.0.1'), 'listening');
  const socket = nodeNet.connect((probe.address() as nodeNet.AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const { _handle } = socket as unknown as { _handle: object };
  const prototype = Object.getPrototypeOf(_handle) as Record<string, (...args: unknown[]) => unknown>;
  socket.destroy();
  probe.close();
  const original = prototype[method] as (...args: unknown[]) => unknown;
  const calls: unknown[][] = [];
  prototype[method] = function record(this: unknown, ...args: unknown[]) {
    calls.push(args);
    return original.apply(this, args);
  };
  try {
    await run();
  } finally {
    prototype[method] = original;
  }
  return calls;
}
