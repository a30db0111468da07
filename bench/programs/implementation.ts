/** The two things compared, in one shape: Godwit, with all that protects a session, and plain node:net. */
import { constants } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { Server, ServerSocket } from 'godwit';
import { fail } from '../harness/program.ts';
import { CERTIFICATE, KEY, TLS_SERVER_NAME } from './tls-files.ts';

export type Implementation = 'godwit' | 'net';

/** Undefined in the processes of plain net (`Bench.start`): a program that uses that does not load Godwit either. */
const godwit = process.argv[2] === 'net' ? undefined : await import('godwit');

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
  /** Over TLS, both of them. */
  readonly tls?: boolean;
  /** Whether clients may resume their TLS sessions here, those begun at other servers included. Default true. */
  readonly resumption?: boolean;
}

type Choices = Omit<ServerChoices, 'implementation' | 'port'>;

export interface ClientChoices {
  readonly implementation: Implementation;
  /** Where to connect; plain net takes the first. */
  readonly ports: readonly number[];
  readonly standby?: boolean;
  /** Over TLS, both of them. */
  readonly tls?: boolean;
}

/** A server that listens on this machine, and the port it has. */
export interface Listening {
  readonly server: net.Server;
  readonly port: number;
}

/** What Godwit's server has and net's has not. */
export type GodwitServer = Server;

/** Calls `onSocket` with each connection. Whatever leaves a session unprotected fails the run: such a figure would not count. */
export async function listen(
  { implementation, port = 0, ...choices }: ServerChoices,
  onSocket: (socket: net.Socket) => void,
): Promise<Listening> {
  const server = implementation === 'net' ? createPlain(choices, onSocket) : createGodwit(choices, onSocket);
  server.listen({ port, host: '127.0.0.1', backlog: 4_096 });
  await once(server, 'listening');
  return { server, port: (server.address() as net.AddressInfo).port };
}

function createPlain(
  { allowHalfOpen = false, tls: overTls = false }: Choices,
  onSocket: (socket: net.Socket) => void,
): net.Server {
  if (overTls) return tls.createServer({ key: KEY, cert: CERTIFICATE, allowHalfOpen }, onSocket);
  return net.createServer({ allowHalfOpen }, onSocket);
}

function createGodwit(
  { allowHalfOpen = false, members, delivery, tls: overTls = false, resumption = true }: Choices,
  onSocket: (socket: net.Socket) => void,
): net.Server {
  const options = {
    keys: CLUSTER_KEY,
    allowHalfOpen,
    ...(members !== undefined && { members }),
    ...(delivery !== undefined && { delivery }),
    ...(overTls && {
      tls: { key: KEY, cert: CERTIFICATE, secureOptions: resumption ? 0 : constants.SSL_OP_NO_TICKET },
    }),
  };
  const server = loaded().createServer(options, (socket) => {
    socket.on('unprotected', (reason) => failUnprotected('server', reason));
    onSocket(socket as unknown as net.Socket);
  });
  return server;
}

/** Connects; 'connect' follows. */
export function dial({
  implementation,
  ports,
  standby = true,
  tls: overTls = false,
}: ClientChoices): net.Socket {
  const secure = { ca: CERTIFICATE, servername: TLS_SERVER_NAME };
  if (implementation === 'net') {
    const [port = 0] = ports;
    return overTls ? tls.connect({ port, host: '127.0.0.1', ...secure }) : net.connect(port, '127.0.0.1');
  }
  const servers = ports.map((port) => `127.0.0.1:${port}`);
  const socket = loaded().connect({ servers, standby, ...(overTls && { tls: secure }) });
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
  return godwit !== undefined && socket instanceof godwit.ServerSocket ? socket : undefined;
}

function loaded(): NonNullable<typeof godwit> {
  return godwit ?? fail('this process was started for plain net');
}

function failUnprotected(end: string, reason: string): never {
  return fail(`the session became unprotected at the ${end}, so the figure does not count: ${reason}`);
}
