/** Where an attack takes place: servers of one cluster with an application, and everybody who talks to them. */
import { once } from 'node:events';
import type { Refusal, Server, ServerOptions, ServerSocket } from 'godwit';
import { freePorts } from '../../bench/harness/free-ports.ts';
import type { Library } from './patched-library.ts';

/** The keys of the cluster, in the order in which they came. */
export const CLUSTER_KEY = 'c1'.repeat(32);
export const NEXT_CLUSTER_KEY = 'c2'.repeat(32);

export interface Member {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

export interface SceneServer extends Member {
  readonly server: Server;
  /** What it said of those it turned away. */
  readonly refusals: Refusal[];
  /** States from which it restored sessions. */
  readonly restored: string[];
}

export interface SceneServerOptions extends ServerOptions {
  /** States are made so long, in bytes: a short one travels in the head of its ticket. Default: as short as they are. */
  readonly stateBytes?: number;
}

export class Scene implements AsyncDisposable {
  readonly library: Library;
  readonly isDefended: boolean;
  readonly #cleanups: (() => void | Promise<void>)[] = [];

  constructor(library: Library, isDefended: boolean) {
    this.library = library;
    this.isDefended = isDefended;
  }

  /** Called when the attack is over, the last first. */
  defer(cleanup: () => void | Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  /** Members to be: names, and ports that are free. */
  async members(...names: readonly string[]): Promise<Member[]> {
    const ports = await freePorts(names.length);
    return names.map((name, index) => ({ name, host: '127.0.0.1', port: ports[index] as number }));
  }

  /** One cluster of servers with these names; `options` may depend on the name. */
  async cluster(
    names: readonly string[],
    options: (name: string) => SceneServerOptions = () => ({}),
  ): Promise<SceneServer[]> {
    const members = await this.members(...names);
    return Promise.all(members.map((member) => this.listen(member, { members, ...options(member.name) })));
  }

  /** A server of an account: each message is an amount, the answer and the state are the balance. */
  async listen(member: Member, { stateBytes, ...options }: SceneServerOptions): Promise<SceneServer> {
    const restored: string[] = [];
    const refusals: Refusal[] = [];
    const server = this.library.createServer(
      { keys: CLUSTER_KEY, name: member.name, delivery: 'commit', ...options },
      (socket) => serveAccount(socket, restored, stateBytes ?? 0),
    );
    server.on('refused', (refusal) => refusals.push(refusal));
    server.listen(member.port, member.host);
    await once(server, 'listening');
    this.defer(() => server.kill());
    return { ...member, server, refusals, restored };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }
}

function serveAccount(socket: ServerSocket, restored: string[], stateBytes: number): void {
  const saved = socket.importState<string>((bytes) => Buffer.from(bytes).toString().trim());
  let balance = Number(saved ?? '0');
  if (saved !== undefined) restored.push(saved);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    balance += Number(chunk.toString());
    socket.write(`${balance};`);
    socket.exportState(String(balance).padEnd(stateBytes));
  });
}
