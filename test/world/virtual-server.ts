/** A server of the virtual world: the real ServerNode, driven as the real driver would. */
import { NodeCrypto, crc32, type KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import {
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
  ServerNode,
  type ServerEvent,
  type ServerLimits,
  type ServerSession,
  type ServerTimers,
} from '../../packages/godwit/src/session/index.ts';
import {
  FrameDecoder,
  PREFACE_BYTES,
  ProtocolError,
  concatBytes,
  decodePreface,
  type DataPiece,
  type Delivery,
  type Frame,
  type PeerFrame,
  type ServerAddress,
} from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from './pipe.ts';
import type { ServerApp, ServerAppFactory } from './server-apps.ts';
import type { World } from './world.ts';

interface Connection {
  readonly pipe: Pipe;
  readonly decoder: FrameDecoder<Frame | DataPiece>;
  preface: Uint8Array | undefined;
}

export interface VirtualServerOptions {
  readonly name: string;
  readonly ring: KeyRing;
  readonly delivery: Delivery;
  readonly app: ServerAppFactory;
  readonly service?: string;
  readonly schema?: number;
  readonly canRestore?: (schema: number) => boolean;
  readonly limits?: Partial<ServerLimits>;
  readonly timers?: Partial<ServerTimers>;
}

export class VirtualServer {
  readonly address: ServerAddress;
  readonly node: ServerNode;
  readonly events: ServerEvent[] = [];
  readonly #world: World;
  readonly #crypto: NodeCrypto;
  readonly #connections = new Map<number, Connection>();
  readonly #apps = new Map<ServerSession, ServerApp>();
  readonly #appFactory: ServerAppFactory;
  #nextCarrierId = 1;
  #flushing = false;
  #timerAt: number | undefined;
  #alive = true;
  #suspended = false;
  #backlog: (() => void)[] = [];

  constructor(world: World, options: VirtualServerOptions) {
    this.#world = world;
    this.address = { name: options.name, host: options.name, port: 1 };
    this.#appFactory = options.app;
    this.#crypto = new NodeCrypto({
      ring: options.ring,
      wallClock: () => world.wallClock(),
      now: () => world.now,
      random: (n) => world.bytes(n),
    });
    this.node = new ServerNode({
      name: options.name,
      host: options.name,
      port: 1,
      service: options.service ?? 'test',
      delivery: options.delivery,
      schema: options.schema ?? 1,
      canRestore: options.canRestore,
      keyShare: () => this.#crypto.keyShare(),
      random: (n) => world.bytes(n),
      crc32,
      limits: { ...DEFAULT_SERVER_LIMITS, ...options.limits },
      timers: { ...DEFAULT_SERVER_TIMERS, ...options.timers },
      wallClock: () => world.wallClock(),
      servers: world.addresses,
    });
  }

  get isAlive(): boolean {
    return this.#alive;
  }
  get apps(): ReadonlyMap<ServerSession, ServerApp> {
    return this.#apps;
  }

  /** SIGKILL: all memory is lost; the kernel resets the connections unless the whole machine is gone (`silent`). */
  kill(silent = false): void {
    this.#alive = false;
    for (const connection of this.#connections.values()) connection.pipe.abandon(1, silent);
    this.#connections.clear();
    this.#apps.clear();
  }

  /** SIGSTOP: connections stay, nothing is answered. */
  suspend(): void {
    this.#suspended = true;
  }

  /** SIGCONT: everything that came meanwhile is seen now. */
  resume(): void {
    this.#suspended = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) run();
    this.poke();
  }

  /** Runs something in the server's process, when it runs at all. */
  inside(run: () => void): void {
    if (!this.#alive) return;
    if (this.#suspended) {
      this.#backlog.push(run);
      return;
    }
    run();
    this.#pump();
  }

  accept(pipe: Pipe): void {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    const connection: Connection = {
      pipe,
      decoder: FrameDecoder.forCarrier('client'),
      preface: new Uint8Array(0),
    };
    this.#connections.set(carrierId, connection);
    pipe.attach(1, {
      onData: (bytes) => {
        this.inside(() => {
          this.#receive(carrierId, connection, bytes);
        });
      },
      onClose: (reset) => {
        this.inside(() => {
          if (this.#connections.delete(carrierId))
            this.node.handleCarrierLost(this.#world.now, carrierId, {
              code: 'ECONNRESET',
              message: 'cut',
              reset,
            });
        });
      },
    });
  }

  #receive(carrierId: number, connection: Connection, bytes: Uint8Array): void {
    let rest = bytes;
    if (connection.preface) {
      const all = concatBytes([connection.preface, bytes]);
      connection.preface = all;
      if (all.byteLength < PREFACE_BYTES) return;
      decodePreface(all.subarray(0, PREFACE_BYTES));
      rest = all.subarray(PREFACE_BYTES);
      connection.preface = undefined;
      this.node.handleCarrier(this.#world.now, carrierId, {});
    }
    connection.decoder.push(rest);
    this.#decode(carrierId, connection);
  }

  #decode(carrierId: number, connection: Connection): void {
    try {
      for (;;) {
        this.#events();
        if (this.node.isBusy(carrierId) || this.#connections.get(carrierId) !== connection) return;
        const frame = connection.decoder.next();
        if (!frame) return;
        this.#world.note(frame.frame, `client → ${this.address.name}`);
        this.node.handleFrame(this.#world.now, carrierId, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.node.handleCarrierError(this.#world.now, carrierId, error);
    }
  }

  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void {
    this.inside(() => {
      this.#world.note(frame.frame, `${peer.name} → ${this.address.name}`);
      this.node.handlePeerFrame(this.#world.now, peer, frame);
    });
  }

  handlePeerLost(name: string): void {
    this.inside(() => {
      this.node.handlePeerLost(this.#world.now, name);
    });
  }

  /** To be called after anything touched the node from outside. */
  poke(): void {
    this.inside(() => undefined);
  }

  #events(): void {
    for (let event = this.node.pollEvent(); event; event = this.node.pollEvent()) this.#handle(event);
  }

  #pump(): void {
    this.#events();
    if (!this.#flushing) {
      this.#flushing = true;
      this.#world.scheduler.after(0, () => {
        this.#flushing = false;
        if (!this.#alive || this.#suspended) return;
        this.#flush();
        this.#events();
        this.#arm();
      });
    }
    this.#arm();
  }

  #flush(): void {
    for (
      let transmit = this.node.pollTransmit(this.#world.now);
      transmit;
      transmit = this.node.pollTransmit(this.#world.now)
    ) {
      this.#events();
      const connection = this.#connections.get(transmit.carrierId);
      for (const part of transmit.parts) connection?.pipe.send(1, part);
    }
  }

  #arm(): void {
    const at = this.node.pollTimeout();
    if (
      at === undefined ||
      (this.#timerAt !== undefined && this.#timerAt <= at && this.#timerAt > this.#world.now)
    )
      return;
    this.#timerAt = at;
    this.#world.scheduler.at(at, () => {
      if (this.#timerAt === at) this.#timerAt = undefined;
      this.inside(() => {
        this.node.handleTimeout(this.#world.now);
      });
    });
  }

  #handle(event: ServerEvent): void {
    const now = this.#world.now;
    switch (event.type) {
      case 'crypto':
        this.node.handleCrypto(now, event.id, this.#crypto.execute(event.request));
        return;
      case 'authenticated':
        this.#connections.get(event.carrierId)?.decoder.setAuthenticated();
        return;
      case 'hangUp': {
        const connection = this.#connections.get(event.carrierId);
        this.#connections.delete(event.carrierId);
        for (const part of event.last) connection?.pipe.send(1, part);
        connection?.pipe.close(1);
        return;
      }
      case 'peerSend':
        this.#world.sendPeer(this.address, event.peer, event.bytes);
        return;
      case 'session':
        this.events.push(event);
        this.#apps.set(
          event.session,
          this.#appFactory(event.session, event.restart, {
            now: () => this.#world.now,
            server: this.address.name,
          }),
        );
        return;
      default: {
        this.events.push(event);
        if (!('session' in event)) return;
        const app = this.#apps.get(event.session);
        app?.handle(event);
        if (event.type === 'closed' || event.type === 'moved') this.#apps.delete(event.session);
      }
    }
  }
}
