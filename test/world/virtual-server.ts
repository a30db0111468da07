/** A server of the virtual world: the real ServerNode, driven as the real driver would. */
import { crc32, type KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import {
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
  ServerNode,
  type FenceAnswer,
  type FenceConfig,
  type FenceQuestion,
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
  type Delivery,
  type PeerFrame,
  type ServerAddress,
} from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from './pipe.ts';
import type { VirtualFence } from './virtual-fence.ts';
import type { ServerApp, ServerAppFactory } from './server-apps.ts';
import { VirtualProcess, type Connection, type Core, type VirtualProcessOptions } from './virtual-process.ts';
import type { World } from './world.ts';

export interface VirtualServerOptions extends VirtualProcessOptions {
  readonly name: string;
  readonly ring: KeyRing;
  readonly delivery: Delivery;
  readonly app: ServerAppFactory;
  readonly service?: string;
  readonly schema?: number;
  readonly canRestore?: (schema: number) => boolean;
  /** Where clients may be sent to. Default: all servers of the world. */
  readonly servers?: readonly ServerAddress[];
  readonly fence?: { readonly config: FenceConfig; readonly store: VirtualFence };
  readonly limits?: Partial<ServerLimits>;
  readonly timers?: Partial<ServerTimers>;
}

export class VirtualServer extends VirtualProcess<ServerEvent> {
  readonly address: ServerAddress;
  readonly node: ServerNode;
  readonly events: ServerEvent[] = [];
  readonly #apps = new Map<ServerSession, ServerApp>();
  readonly #appFactory: ServerAppFactory;
  readonly #fence: VirtualFence | undefined;
  #silent = false;

  constructor(world: World, options: VirtualServerOptions) {
    super(world, { ...options, end: 1, crypto: { ring: options.ring } });
    this.address = { name: options.name, host: options.name, port: 1 };
    this.#appFactory = options.app;
    this.node = new ServerNode({
      name: options.name,
      host: options.name,
      port: 1,
      service: options.service ?? 'test',
      delivery: options.delivery,
      schema: options.schema ?? 1,
      canRestore: options.canRestore,
      keyShare: () => this.crypto.keyShare(),
      random: (n) => world.bytes(n),
      crc32,
      limits: { ...DEFAULT_SERVER_LIMITS, ...options.limits },
      timers: { ...DEFAULT_SERVER_TIMERS, ...options.timers },
      wallClock: () => this.clock.wall(world.now),
      servers: options.servers ?? world.addresses,
      fence: options.fence?.config,
    });
    this.#fence = options.fence?.store;
  }

  protected override askFence(question: FenceQuestion, then: (answer: FenceAnswer) => void): void {
    this.#fence?.ask(this.world.scheduler, this.address.name, question, then);
  }

  protected get core(): Core<ServerEvent> {
    return this.node;
  }
  protected observe(event: ServerEvent): void {
    this.world.observer?.serverEvent?.(this, event);
  }
  protected settled(): void {
    this.world.observer?.serverSettled?.(this);
  }

  /** Its machine went with it, so that nobody answers for it. */
  get isSilent(): boolean {
    return this.#silent;
  }
  get apps(): ReadonlyMap<ServerSession, ServerApp> {
    return this.#apps;
  }

  /** SIGKILL: all memory is lost; the kernel resets the connections unless the whole machine is gone (`silent`). */
  kill(silent = false): void {
    this.#silent = silent;
    this.die(silent);
    this.#apps.clear();
    this.world.abandonPeer(this, silent);
  }

  accept(pipe: Pipe, from: string): void {
    const decoder = FrameDecoder.forCarrier('client');
    const connection: Connection = { pipe, peer: from, decoder, preface: new Uint8Array(0) };
    this.attach(connection, (carrierId, bytes) => this.#receive(carrierId, connection, bytes));
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
        this.connections.delete(carrierId); // the gate ends what is no preface, without a word
        connection.pipe.close(1);
        return;
      }
      this.node.handleCarrier(this.now, carrierId, {});
    }
    connection.decoder.push(rest);
    this.decode(carrierId, connection);
  }

  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void {
    this.inside(() => {
      this.world.note(frame.frame, `${peer.name} → ${this.address.name}`);
      this.world.observer?.peerFrameArrives?.(frame, peer.name, this.address.name);
      if (!this.isAlive) return;
      this.node.handlePeerFrame(this.now, peer, frame);
    });
  }

  handlePeerLost(name: string): void {
    this.inside(() => {
      this.node.handlePeerLost(this.now, name);
    });
  }

  protected handle(event: ServerEvent): void {
    switch (event.type) {
      case 'authenticated':
        this.connections.get(event.carrierId)?.decoder.setAuthenticated();
        return;
      case 'hangUp':
        this.hangUp(event.carrierId, event.last);
        return;
      case 'peerSend':
        this.world.sendPeer(this, event.peer, event.bytes);
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
