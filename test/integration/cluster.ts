/** Several servers of one cluster in this process. */
import { once } from 'node:events';
import { KeyRing, createServer, type Server, type ServerOptions, type ServerSocket } from 'godwit';
import { freePorts } from './free-ports.ts';

export interface Cluster extends AsyncDisposable {
  readonly servers: readonly Server[];
  /** `host:port` of each. */
  readonly addresses: readonly string[];
  /** The socket that has the session, wherever that is. */
  socketOf(sessionId: string | undefined): ServerSocket;
}

/** Servers called `s0`, `s1`, … that all run `serve`. */
export async function startCluster(
  size: number,
  serve: (socket: ServerSocket, name: string) => void,
  options: ServerOptions | ((name: string) => ServerOptions) = {},
): Promise<Cluster> {
  const optionsOf = typeof options === 'function' ? options : () => options;
  const ports = await freePorts(size);
  const keys = KeyRing.generateKey();
  const members = ports.map((port, index) => ({ name: `s${index}`, host: '127.0.0.1', port: Number(port) }));
  const servers = members.map(({ name, port }) => {
    const server = createServer({ keys, members, name, ...optionsOf(name) }, (socket) => serve(socket, name));
    return server.listen(port, '127.0.0.1');
  });
  await Promise.all(servers.map((server) => once(server, 'listening')));
  return {
    servers,
    addresses: members.map(({ host, port }) => `${host}:${port}`),
    socketOf: (sessionId) => {
      for (const server of servers)
        for (const socket of server.sessions) if (socket.sessionId === sessionId) return socket;
      throw new Error(`no server has session ${sessionId}`);
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    },
  };
}
