/** A server of the virtual world: the real ServerNode, driven as the real driver would. */
import { crc32, type KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import {
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
  ServerNode,
  type CryptoEvent,
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
import { WORLD_CLOCK, type NodeClock } from './clock.ts';
import type { Pipe } from './pipe.ts';
import type { ServerApp, ServerAppFactory } from './server-apps.ts';
import type { World, WorldCrypto } from './world.ts';

interface Connection {
  readonly pipe: Pipe;
  readonly from: string;
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
  /** Where clients may be sent to. Default: all servers of the world. */
  readonly servers?: readonly ServerAddress[];
  readonly limits?: Partial<ServerLimits>;
  readonly timers?: Partial<ServerTimers>;
  readonly clock?: NodeClock;
  /** How long cryptography takes to answer, in ms. Default: it answers at once. */
  readonly cryptoDelayMs?: () => number;
}

export class VirtualServer {
  readonly address: ServerAddress;
  readonly node: ServerNode;
  readonly events: ServerEvent[] = [];
  readonly #world: World;
  readonly #clock: NodeClock;
  readonly #crypto: WorldCrypto;
  readonly #cryptoDelayMs: (() => number) | undefined;
  readonly #connections = new Map<number, Connection>();
  readonly #apps = new Map<ServerSession, ServerApp>();
  readonly #appFactory: ServerAppFactory;
  #nextCarrierId = 1;
  #flushing = false;
  #timerAt: number | undefined;
  #alive = true;
  #silent = false;
  #suspended = false;
  #backlog: (() => void)[] = [];

  constructor(world: World, options: VirtualServerOptions) {
    this.#world = world;
    this.address = { name: options.name, host: options.name, port: 1 };
    this.#appFactory = options.app;
    const clock = options.clock ?? WORLD_CLOCK;
    this.#clock = clock;
    this.#cryptoDelayMs = options.cryptoDelayMs;
    this.#crypto = world.createCrypto({
      ring: options.ring,
      wallClock: () => clock.wall(world.now),
      now: () => this.now,
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
      wallClock: () => clock.wall(world.now),
      servers: options.servers ?? world.addresses,
    });
  }

  /** What this process's own clock shows. */
  get now(): number {
    return this.#clock.monotonic(this.#world.now);
  }
  get isAlive(): boolean {
    return this.#alive;
  }
  /** Its machine went with it, so that nobody answers for it. */
  get isSilent(): boolean {
    return this.#silent;
  }
  get #isRunning(): boolean {
    return this.#alive && !this.#suspended;
  }
  get isSuspended(): boolean {
    return this.#suspended;
  }
  get apps(): ReadonlyMap<ServerSession, ServerApp> {
    return this.#apps;
  }

  pipe(carrierId: number): Pipe | undefined {
    return this.#connections.get(carrierId)?.pipe;
  }

  /** SIGKILL: all memory is lost; the kernel resets the connections unless the whole machine is gone (`silent`). */
  kill(silent = false): void {
    this.#alive = false;
    this.#silent = silent;
    for (const connection of this.#connections.values()) connection.pipe.abandon(1, silent);
    this.#connections.clear();
    this.#apps.clear();
    this.#backlog = [];
    this.#world.abandonPeer(this, silent);
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
    for (const run of backlog) this.inside(run);
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
    if (!this.#isRunning) return;
    this.#pump();
    this.#world.observer?.serverSettled?.(this);
  }

  /** Runs something later, in the server's process: not at all once that is gone. */
  after(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, () => this.inside(run));
  }

  accept(pipe: Pipe, from: string): void {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    const connection: Connection = {
      pipe,
      from,
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
            this.node.handleCarrierLost(this.now, carrierId, {
              code: 'ECONNRESET',
              message: 'cut',
              reset,
            });
        });
      },
      onWritable: (writable) => {
        this.inside(() => {
          if (this.#connections.has(carrierId)) this.node.setWritable(carrierId, writable);
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
      rest = all.subarray(PREFACE_BYTES);
      connection.preface = undefined;
      try {
        decodePreface(all.subarray(0, PREFACE_BYTES));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#connections.delete(carrierId); // the gate ends what is no preface, without a word
        connection.pipe.close(1);
        return;
      }
      this.node.handleCarrier(this.now, carrierId, {});
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
        this.#world.note(frame.frame, `${connection.from} → ${this.address.name}`);
        this.#world.observer?.frameArrives?.(frame, connection.from, this.address.name, {
          pipe: connection.pipe,
          carrierId,
        });
        if (!this.#alive) return;
        this.node.handleFrame(this.now, carrierId, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.node.handleCarrierError(this.now, carrierId, error);
    }
  }

  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void {
    this.inside(() => {
      this.#world.note(frame.frame, `${peer.name} → ${this.address.name}`);
      this.#world.observer?.peerFrameArrives?.(frame, peer.name, this.address.name);
      if (!this.#alive) return;
      this.node.handlePeerFrame(this.now, peer, frame);
    });
  }

  handlePeerLost(name: string): void {
    this.inside(() => {
      this.node.handlePeerLost(this.now, name);
    });
  }

  /** To be called after anything touched the node from outside. */
  poke(): void {
    this.inside(() => undefined);
  }

  #events(): void {
    for (let event = this.node.pollEvent(); event && this.#alive; event = this.node.pollEvent())
      this.#handle(event);
  }

  #pump(): void {
    this.#events();
    if (!this.#flushing) {
      this.#flushing = true;
      this.#world.scheduler.after(0, () => {
        this.#flushing = false;
        if (!this.#isRunning) return;
        this.#flush();
        this.#events();
        this.#arm();
        this.#world.observer?.serverSettled?.(this);
      });
    }
    this.#arm();
  }

  #flush(): void {
    for (
      let transmit = this.node.pollTransmit(this.now);
      transmit;
      transmit = this.node.pollTransmit(this.now)
    ) {
      this.#events();
      this.#send(transmit.carrierId, this.#connections.get(transmit.carrierId), transmit.parts);
    }
  }

  #send(carrierId: number, connection: Connection | undefined, parts: readonly Uint8Array[]): void {
    if (!connection || parts.length === 0) return;
    const { pipe, from } = connection;
    this.#world.observer?.partsLeave?.(parts, this.address.name, from, { pipe, carrierId });
    pipe.sendParts(1, parts);
  }

  #arm(): void {
    const due = this.node.pollTimeout();
    if (due === undefined) return;
    const at = this.#clock.worldTime(due);
    if (this.#timerAt !== undefined && this.#timerAt <= at && this.#timerAt > this.#world.now) return;
    this.#timerAt = at;
    this.#world.scheduler.at(at, () => {
      if (this.#timerAt === at) this.#timerAt = undefined;
      this.inside(() => {
        this.node.handleTimeout(this.now);
      });
    });
  }

  /** At once, or as late as Web Crypto would. */
  #answer(event: CryptoEvent): void {
    const result = this.#crypto.execute(event.request);
    if (this.#cryptoDelayMs === undefined) {
      this.node.handleCrypto(this.now, event.id, result);
      return;
    }
    this.after(this.#cryptoDelayMs(), () => {
      this.node.handleCrypto(this.now, event.id, result);
      for (const [carrierId, connection] of [...this.#connections])
        if (!connection.preface) this.#decode(carrierId, connection);
    });
  }

  #handle(event: ServerEvent): void {
    this.#world.observer?.serverEvent?.(this, event);
    switch (event.type) {
      case 'crypto':
        this.#answer(event);
        return;
      case 'authenticated':
        this.#connections.get(event.carrierId)?.decoder.setAuthenticated();
        return;
      case 'hangUp': {
        const connection = this.#connections.get(event.carrierId);
        this.#connections.delete(event.carrierId);
        this.#send(event.carrierId, connection, event.last);
        connection?.pipe.close(1);
        return;
      }
      case 'peerSend':
        this.#world.sendPeer(this, event.peer, event.bytes);
        return;
      case 'session':
        this.events.push(event);
        this.#apps.set(
          event.session,
          this.#appFactory(event.session, event.restart, {
            now: () => this.now,
            server: this.address.name,
            after: (delayMs, run) => this.after(delayMs, run),
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
