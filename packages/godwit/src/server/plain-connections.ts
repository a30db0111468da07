/** Clients that do not speak Godwit, served as what they are: connections that cannot move (protocol.md §3.5). */
import type { Carrier } from '../carriers/carrier.ts';
import type { Candidate, Failure } from '../session/client-events.ts';
import { addressesOf, type PortListener, type SessionPort } from '../socket/port.ts';
import { PlainPort, type PlainPortOptions } from './plain-port.ts';
import type { ServerSettings } from './server-options.ts';
import type { ServerSocket, ServerSocketSource } from './server-socket.ts';

export interface PlainHooks {
  node(): { readonly address: Candidate; readonly isDraining: boolean; readonly isFull: boolean };
  createSocket(source: ServerSocketSource): ServerSocket;
  announce(socket: ServerSocket): void;
  refused(carrier: Carrier, failure: Failure): void;
  /** It is decided what becomes of the carrier, or it is closed. */
  settled(carrier: Carrier): void;
}

export class PlainConnections {
  readonly #settings: Pick<ServerSettings, 'authorization' | 'schema'>;
  readonly #hooks: PlainHooks;
  readonly #ports = new Set<PlainPort>();

  constructor(settings: Pick<ServerSettings, 'authorization' | 'schema'>, hooks: PlainHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
  }

  /** Connections whose sockets are open. */
  get size(): number {
    return this.#ports.size;
  }

  /** A carrier whose client is none of ours; `unread` was read to tell. */
  accept(carrier: Carrier, unread: Uint8Array): void {
    const node = this.#hooks.node();
    if (node.isDraining) {
      this.#refuse(carrier, { code: 'ERR_GODWIT_DRAINING', message: 'this server is draining' });
      return;
    }
    if (node.isFull) {
      this.#refuse(carrier, { code: 'ERR_GODWIT_BUSY', message: 'this server has too much to do' });
      return;
    }
    // Unread until the application has said that it wants it.
    let isGone = false;
    carrier.start({
      onData: (chunk) => {
        unread = Buffer.concat([unread, chunk]);
      },
      onDrain: () => undefined,
      onEnd: () => true,
      onClose: () => {
        isGone = true;
        this.#hooks.settled(carrier);
      },
    });
    carrier.pause();
    const question = { kind: 'plain', sessionId: new Uint8Array(0) } as const;
    this.#settings.authorization.decide(question, carrier, ({ denied }) => {
      if (isGone) return;
      const stream = denied ? undefined : carrier.takeStream?.();
      if (stream !== undefined) this.#begin({ carrier, stream, unread, currentServer: node.address });
      else if (denied) this.#refuse(carrier, { code: 'ERR_GODWIT_DENIED', message: denied.message });
      else {
        const message = 'a carrier of this kind serves sessions only';
        this.#refuse(carrier, { code: 'ERR_GODWIT_UNSUPPORTED', message });
      }
    });
  }

  /** All are gone at once, as after `kill -9`. */
  kill(): void {
    for (const port of this.#ports) port.kill();
  }

  #begin(connection: Omit<PlainPortOptions, 'onGone'>): void {
    const socket = this.#hooks.createSocket({
      session: undefined,
      restart: undefined,
      addresses: addressesOf(connection.carrier),
      schema: this.#settings.schema,
      bind: (listener: PortListener): SessionPort => {
        const onGone = (): void => void this.#ports.delete(port);
        const port: PlainPort = new PlainPort({ ...connection, onGone }, listener);
        this.#ports.add(port);
        return port;
      },
      wake: () => undefined,
    });
    this.#hooks.settled(connection.carrier);
    try {
      this.#hooks.announce(socket);
    } catch (error) {
      // As for a session: the client must not wait for an application that never started.
      socket.resetAndDestroy();
      throw error;
    }
  }

  #refuse(carrier: Carrier, failure: Failure): void {
    this.#hooks.refused(carrier, failure);
    carrier.end();
  }
}
