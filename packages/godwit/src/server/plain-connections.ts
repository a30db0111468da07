/** Clients that do not speak Godwit, served as what they are: connections that cannot move (protocol.md §3.5). */
import { networkOf } from '../carriers/address.ts';
import type { Carrier } from '../carriers/carrier.ts';
import type { Candidate, Failure } from '../session/client-events.ts';
import { Deadline, now } from '../socket/timers.ts';
import type { Places } from '../session/index.ts';
import { MemoryAccount } from '../session/memory-account.ts';
import { addressesOf, type PortListener, type SessionPort } from '../socket/port.ts';
import { ProtocolError } from '../wire/index.ts';
import { PlainPort, type PlainPortOptions } from './plain-port.ts';
import type { ServerSettings } from './server-options.ts';
import type { ServerSocket, ServerSocketSource } from './server-socket.ts';
import { SlowPeers } from './slow-peers.ts';

export interface PlainHooks {
  node(): { readonly address: Candidate; readonly isDraining: boolean; readonly places: Places };
  createSocket(source: ServerSocketSource): ServerSocket;
  announce(socket: ServerSocket): void;
  refused(carrier: Carrier, failure: Failure): void;
  /** It is decided what becomes of the carrier, or it is closed. */
  settled(carrier: Carrier): void;
}

type PlainConnectionSettings = Pick<ServerSettings, 'authorization' | 'schema' | 'limits' | 'timers'>;

export class PlainConnections {
  readonly #settings: PlainConnectionSettings;
  readonly #hooks: PlainHooks;
  /** Connections of which anything is left: of a socket that is over, perhaps its last bytes. */
  readonly #ports = new Set<PlainPort>();
  readonly #memory = new MemoryAccount();
  /** Of these it must be looked what they hold: the others hold what they did. */
  readonly #touched = new Set<PlainPort>();
  readonly #slowPeers: SlowPeers<PlainPort>;
  #open = 0;

  constructor(settings: PlainConnectionSettings, hooks: PlainHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.#slowPeers = new SlowPeers<PlainPort>(settings, {
      peers: () => this.#ports,
      outputOf: ({ output }) => output,
      // What its client has yet to say, nobody but the application knows.
      inputOf: () => undefined,
      evict: (port, { code, message }) => port.fail({ code, message }),
    });
  }

  /** Connections whose sockets are open. */
  get size(): number {
    return this.#open;
  }

  /** All that take memory. */
  get all(): Iterable<PlainPort> {
    return this.#ports;
  }

  /** What all of them hold, in bytes. */
  get heldBytes(): number {
    for (const port of this.#touched) {
      this.#memory.note(port);
      // What waits in it leaves without a word; one in which nothing waits says when that changes.
      if (!port.isEmpty) continue;
      port.isTouched = false;
      this.#touched.delete(port);
    }
    return this.#memory.totalBytes;
  }

  /** A carrier whose client is none of ours; `unread` was read to tell. */
  accept(carrier: Carrier, unread: Uint8Array): void {
    const node = this.#hooks.node();
    if (node.isDraining) {
      this.#refuse(carrier, { code: 'ERR_GODWIT_DRAINING', message: 'this server is draining' });
      return;
    }
    const { remoteAddress } = carrier;
    const network = remoteAddress === undefined ? undefined : networkOf(remoteAddress);
    if (!this.#hasPlace(carrier, network, node.places)) return;
    // Unread until the application has said that it wants it.
    let isGone = false;
    const { authenticateTimeoutMs } = this.#settings.timers;
    const late = new Deadline(() => {
      isGone = true;
      const message = `the application did not say within ${authenticateTimeoutMs} ms whether it wants the client`;
      this.#refuse(carrier, { code: 'ERR_GODWIT_TIMEOUT', message });
    });
    late.setReferenced(false);
    late.set(now() + authenticateTimeoutMs);
    carrier.start({
      onData: (chunk) => {
        unread = Buffer.concat([unread, chunk]);
      },
      onDrain: () => undefined,
      onEnd: () => true,
      onClose: () => {
        isGone = true;
        late.set(undefined);
        this.#hooks.settled(carrier);
      },
    });
    carrier.pause();
    const question = { kind: 'plain', sessionId: new Uint8Array(0) } as const;
    this.#settings.authorization.decide(question, carrier, ({ denied }) => {
      if (isGone) return;
      late.set(undefined);
      if (denied) {
        this.#refuse(carrier, { code: 'ERR_GODWIT_DENIED', message: denied.message });
        return;
      }
      // Others may have come meanwhile.
      if (!this.#hasPlace(carrier, network, node.places)) return;
      const stream = carrier.takeStream?.();
      if (stream === undefined) {
        const message = 'a carrier of this kind serves sessions only';
        this.#refuse(carrier, { code: 'ERR_GODWIT_UNSUPPORTED', message });
        return;
      }
      this.#begin({ carrier, stream, unread, currentServer: node.address }, network, node.places);
    });
  }

  /** Refuses the carrier where there is no place for it. */
  #hasPlace(carrier: Carrier, network: string | undefined, places: Places): boolean {
    try {
      places.check(network);
      return true;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(carrier, { code: error.code, message: error.message });
      return false;
    }
  }

  /** Ends one for want of memory. */
  giveUp(port: PlainPort): void {
    port.fail({ code: 'ERR_GODWIT_OVERLOADED', message: 'the server uses more memory than it may' });
  }

  /** All are gone at once, as after `kill -9`. */
  kill(): void {
    this.#slowPeers.stop();
    for (const port of this.#ports) port.kill();
  }

  #begin(
    connection: Omit<PlainPortOptions, 'onTouched' | 'onGone' | 'onClosed'>,
    network: string | undefined,
    places: Places,
  ): void {
    const options = {
      ...connection,
      onTouched: (port: PlainPort): void => {
        if (this.#ports.has(port)) this.#touched.add(port);
      },
      onGone: (): void => void (this.#open -= 1),
      onClosed: (port: PlainPort): void => {
        places.leave(port);
        this.#forget(port);
      },
    };
    let port: PlainPort | undefined;
    const socket = this.#hooks.createSocket({
      session: undefined,
      restart: undefined,
      addresses: addressesOf(connection.carrier),
      schema: this.#settings.schema,
      bind: (listener: PortListener): SessionPort => {
        port = new PlainPort(options, listener);
        places.take(port, network);
        this.#enter(port);
        return port;
      },
      wake: () => undefined,
    });
    if (port !== undefined) port.buffers = socket;
    this.#hooks.settled(connection.carrier);
    try {
      this.#hooks.announce(socket);
    } catch (error) {
      // As for a session: the client must not wait for an application that never started.
      socket.resetAndDestroy();
      throw error;
    }
  }

  #enter(port: PlainPort): void {
    this.#open += 1;
    this.#ports.add(port);
    this.#memory.enter(port);
    port.touch();
    this.#slowPeers.watch();
  }

  #forget(port: PlainPort): void {
    this.#ports.delete(port);
    this.#touched.delete(port);
    this.#memory.leave(port);
  }

  #refuse(carrier: Carrier, failure: Failure): void {
    this.#hooks.refused(carrier, failure);
    carrier.end();
  }
}
