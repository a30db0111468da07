/** The two things compared, in one shape: Godwit, with all that protects a session, and plain node:net. */
import { once } from 'node:events';
import net from 'node:net';
import * as godwit from 'godwit';
import type { ServerSocket } from 'godwit';
import { fail } from '../harness/program.ts';

export type Implementation = 'godwit' | 'net';

/** The same on all servers of all benchmarks: it protects nothing but them. */
const CLUSTER_KEY = 'ab'.repeat(32);

export interface ServerChoices {
  readonly implementation: Implementation;
  /** Default: one that is free. */
  readonly port?: number;
  /** Addresses of the other servers, where there are any. */
  readonly members?: readonly string[];
  readonly delivery?: 'replay' | 'commit';
  readonly allowHalfOpen?: boolean;
}

export interface ClientChoices {
  readonly implementation: Implementation;
  /** Where to connect; plain net takes the first. */
  readonly ports: readonly number[];
  readonly standby?: boolean;
}

/** A server that listens on this machine, and the port it has. */
export interface Listening {
  readonly server: net.Server;
  readonly port: number;
}

/** What Godwit's server has and net's has not. */
export type GodwitServer = InstanceType<typeof godwit.Server>;

/** Serves `onSocket`. Whatever leaves a session unprotected fails the run: such a figure would not count. */
export async function listen(
  { implementation, port = 0, members, delivery, allowHalfOpen = false }: ServerChoices,
  onSocket: (socket: net.Socket) => void,
): Promise<Listening> {
  const server =
    implementation === 'net'
      ? net.createServer({ allowHalfOpen }, onSocket)
      : (godwit.createServer(
          {
            keys: CLUSTER_KEY,
            allowHalfOpen,
            ...(members !== undefined && { members }),
            ...(delivery !== undefined && { delivery }),
          },
          (socket) => {
            socket.on('unprotected', (reason) => failUnprotected('server', reason));
            onSocket(socket as unknown as net.Socket);
          },
        ) as unknown as net.Server);
  server.listen({ port, host: '127.0.0.1', backlog: 4_096 });
  await once(server, 'listening');
  return { server, port: (server.address() as net.AddressInfo).port };
}

/** Connects; 'connect' follows. */
export function dial({ implementation, ports, standby = true }: ClientChoices): net.Socket {
  if (implementation === 'net') return net.connect(ports[0] as number, '127.0.0.1');
  const servers = ports.map((port) => `127.0.0.1:${port}`);
  const socket = godwit.connect({ servers, standby });
  socket.on('unprotected', (reason) => failUnprotected('client', reason));
  return socket as unknown as net.Socket;
}

/** Connects and waits for it. */
export async function dialled(choices: ClientChoices): Promise<net.Socket> {
  const socket = dial(choices);
  await once(socket, 'connect');
  return socket;
}

/**
 * Lets a session be restored: the engine asks for the state when one is due, at its default cadence. Answers the state
 * that a restored session goes on from. Plain net has nothing of the kind.
 */
export function protect(socket: net.Socket, state: () => Uint8Array | string): Buffer | undefined {
  return asServerSocket(socket)?.onExportState(state).importState();
}

/** The server's end of a Godwit session, for what only that has. */
export function asServerSocket(socket: net.Socket): ServerSocket | undefined {
  return socket instanceof godwit.ServerSocket ? socket : undefined;
}

function failUnprotected(end: string, reason: string): never {
  return fail(`the session became unprotected at the ${end}, so the figure does not count: ${reason}`);
}
