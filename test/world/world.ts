/**
 * A virtual world for the real core: servers, clients and the network between them, in one process, under virtual time.
 * One seed draws every random byte, so that a run can be repeated.
 */
import { KeyRing, NodeCrypto, type NodeCryptoOptions } from '../../packages/godwit/src/crypto/index.ts';
import type {
  ClientEvent,
  CryptoRequest,
  CryptoResult,
  ServerEvent,
} from '../../packages/godwit/src/session/index.ts';
import type { DataPiece, Frame, PeerFrame, ServerAddress } from '../../packages/godwit/src/wire/index.ts';
import { PeerNetwork, type PeerProcess } from './peer-network.ts';
import { Pipe, type PipeConditions } from './pipe.ts';
import { Scheduler } from './scheduler.ts';
import { Seeded } from './seeded.ts';
import { VirtualClient, type VirtualClientOptions } from './virtual-client.ts';
import { VirtualServer, type VirtualServerOptions } from './virtual-server.ts';

export interface WorldOptions {
  readonly seed?: number;
  /** One-way latency, in ms. Default 1. */
  readonly latencyMs?: number;
  /** One-way latency between two names, in ms, drawn for each message. Default: `latencyMs`. */
  readonly latencyOf?: (from: string, to: string) => number;
  /** How pipes between two names behave, but for latency and cuts. */
  readonly pipeConditions?: (from: string, to: string) => Omit<PipeConditions, 'latencyMs' | 'isHeld'>;
  readonly ring?: KeyRing;
  readonly observer?: WorldObserver;
  /** Default: that of node:crypto. */
  readonly createCrypto?: (options: WorldCryptoOptions) => WorldCrypto;
}

/** What a process of the world has for the cryptography of its core. */
export type WorldCryptoOptions = NodeCryptoOptions & { readonly random: (bytes: number) => Uint8Array };

export interface WorldCrypto {
  keyShare(): Uint8Array;
  execute(request: CryptoRequest): CryptoResult;
}

/** Sees what happens, as it happens. Nothing it does may change the world at once, but for `frameArrives`. */
export interface WorldObserver {
  /** A frame, or a piece of DATA, is about to be handled. */
  frameArrives?(frame: Frame | DataPiece, from: string, to: string, carrier: CarrierOf): void;
  peerFrameArrives?(frame: PeerFrame, from: string, to: string): void;
  /** These parts leave on a carrier: whole frames, but DATA, whose header and payload are parts of their own. */
  partsLeave?(parts: readonly Uint8Array[], from: string, to: string, carrier: CarrierOf): void;
  peerBytesLeave?(bytes: Uint8Array, from: string, to: string): void;
  serverEvent?(server: VirtualServer, event: ServerEvent): void;
  clientEvent?(client: VirtualClient, event: ClientEvent): void;
  /** The server, or client, has handled what came, and all that followed from it. */
  serverSettled?(server: VirtualServer): void;
  clientSettled?(client: VirtualClient): void;
}

/** The carrier of a frame, as its two ends know it. */
export interface CarrierOf {
  readonly pipe: Pipe;
  /** The id at the end that reports. */
  readonly carrierId: number;
}

/** So many things at one instant are an endless loop. */
const MAX_STEPS_AT_ONCE = 100_000;

type ServerTemplate = Omit<VirtualServerOptions, 'ring' | 'name'> & { readonly ring?: KeyRing };

export class World {
  readonly scheduler = new Scheduler();
  readonly ring: KeyRing;
  readonly servers = new Map<string, VirtualServer>();
  readonly pipes: Pipe[] = [];
  readonly transcript: string[] = [];
  /** How often each frame went which way. */
  readonly frames = new Map<string, number>();
  readonly latencyMs: number;
  readonly observer: WorldObserver | undefined;
  readonly createCrypto: (options: WorldCryptoOptions) => WorldCrypto;
  /** The transcript is kept; off where there are very many worlds. */
  keepsTranscript = true;
  /** Sees every new carrier before a byte is on it. */
  onDial: ((to: string, pipe: Pipe) => void) | undefined;
  /** Sees every frame between servers before the one that it is for. */
  onPeerFrame: ((frame: PeerFrame, from: string, to: string) => void) | undefined;
  readonly #templates = new Map<string, ServerTemplate>();
  /** `a>b`: nothing that a sends to b gets through; how many cuts say so. */
  readonly #cuts = new Map<string, number>();
  /** Dials that wait for the network to be whole. */
  readonly #dials = new Set<() => void>();
  readonly #latencyOf: ((from: string, to: string) => number) | undefined;
  readonly #pipeConditions: WorldOptions['pipeConditions'];
  readonly #peers: PeerNetwork;
  readonly #seeded: Seeded;

  constructor(options: WorldOptions = {}) {
    this.#seeded = new Seeded(options.seed ?? 1);
    this.latencyMs = options.latencyMs ?? 1;
    this.#latencyOf = options.latencyOf;
    this.#pipeConditions = options.pipeConditions;
    this.ring = options.ring ?? KeyRing.generate();
    this.createCrypto = options.createCrypto ?? ((asked) => new NodeCrypto(asked));
    this.observer = options.observer;
    this.#peers = new PeerNetwork({
      scheduler: this.scheduler,
      latencyOf: (from, to) => this.latencyOf(from, to),
      isCut: (from, to) => this.isCut(from, to),
      process: (name) => this.servers.get(name),
      beforeFrame: (frame, from, to) => this.onPeerFrame?.(frame, from, to),
    });
  }

  get now(): number {
    return this.scheduler.now;
  }

  get addresses(): readonly ServerAddress[] {
    return [...this.#templates.keys()].map((name) => ({ name, host: name, port: 1 }));
  }

  /** 0 … 1, from the seed. */
  random(): number {
    return this.#seeded.random();
  }

  bytes(length: number): Uint8Array {
    return this.#seeded.bytes(length);
  }

  note(frame: string, way: string): void {
    this.frames.set(frame, (this.frames.get(frame) ?? 0) + 1);
    if (this.keepsTranscript && frame !== 'data' && frame !== 'ack')
      this.transcript.push(`${this.now} ${way} ${frame}`);
  }

  /** All servers are told of each other, so declare them before any client connects. */
  addServers(names: readonly string[], template: ServerTemplate): void {
    for (const name of names) this.#templates.set(name, template);
    for (const name of names) this.start(name);
  }

  /** The same for one that is unlike the others; it starts with `start`. */
  declareServer(name: string, template: ServerTemplate): void {
    this.#templates.set(name, template);
  }

  start(name: string, change: Partial<ServerTemplate> = {}): VirtualServer {
    const template = this.#templates.get(name);
    if (!template) throw new Error(`no server ${name}`);
    const server = new VirtualServer(this, { ring: this.ring, ...template, ...change, name });
    this.servers.set(name, server);
    for (const dial of [...this.#dials]) dial(); // those that a silent machine did not answer
    return server;
  }

  server(name: string): VirtualServer {
    const server = this.servers.get(name);
    if (!server) throw new Error(`no server ${name}`);
    return server;
  }

  /** The server that has the session, as its client sees it. */
  serving(client: VirtualClient): VirtualServer {
    return this.server(client.session.serverName);
  }

  connect(options: VirtualClientOptions): VirtualClient {
    return new VirtualClient(this, options);
  }

  /** Nothing gets through either way, until `heal`. */
  partition(from: string, to: string): void {
    this.cut(from, to);
    this.cut(to, from);
  }

  /** Nothing that `from` sends gets through to `to`. Answers what ends this cut: others may cut the same way. */
  cut(from: string, to: string): () => void {
    const key = `${from}>${to}`;
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.#cuts.get(key) ?? 0) - 1;
      if (left > 0) this.#cuts.set(key, left);
      else {
        this.#cuts.delete(key);
        this.#release();
      }
    };
  }

  heal(): void {
    if (this.#cuts.size === 0) return;
    this.#cuts.clear();
    this.#release();
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`);
  }

  #release(): void {
    for (const pipe of this.pipes) if (!pipe.isClosed) pipe.release();
    this.#peers.release();
    for (const dial of [...this.#dials]) dial();
  }

  latencyOf(from: string, to: string): number {
    return this.#latencyOf?.(from, to) ?? this.latencyMs;
  }

  /** SYNs that are lost are sent again, until the dialler gives up, which is its own affair. */
  dial(from: string, to: string, done: (pipe: Pipe | undefined) => void): void {
    const attempt = (): void => {
      this.#dials.delete(attempt);
      if (this.isCut(from, to) || this.isCut(to, from)) {
        this.#dials.add(attempt);
        return;
      }
      this.scheduler.after(this.latencyOf(from, to) + this.latencyOf(to, from), () => {
        const server = this.servers.get(to);
        if (server?.isAlive) done(this.#connect(from, to, server));
        else if (server?.isSilent) this.#dials.add(attempt);
        else done(undefined);
      });
    };
    attempt();
  }

  #connect(from: string, to: string, server: VirtualServer): Pipe {
    const pipe = new Pipe(this.scheduler, {
      ...this.#pipeConditions?.(from, to),
      latencyMs: (end) => (end === 0 ? this.latencyOf(from, to) : this.latencyOf(to, from)),
      isHeld: (end) => (end === 0 ? this.isCut(from, to) : this.isCut(to, from)),
    });
    this.pipes.push(pipe);
    this.onDial?.(to, pipe);
    server.accept(pipe, from);
    return pipe;
  }

  sendPeer(from: PeerProcess, to: ServerAddress, bytes: Uint8Array): void {
    this.observer?.peerBytesLeave?.(bytes, from.address.name, to.name);
    this.#peers.send(from, to, bytes);
  }

  /** The link between two servers breaks; both are told. */
  breakPeerLink(a: string, b: string): void {
    this.#peers.break(a, b);
  }

  /** A server process is gone. */
  abandonPeer(process: PeerProcess, silent: boolean): void {
    this.#peers.abandon(process, silent);
  }

  /** Runs until `condition` holds; throws with the transcript when it does not within `limitMs` of virtual time. */
  until(condition: () => boolean, limitMs = 60_000, what = 'the condition'): void {
    const end = this.now + limitMs;
    while (!condition())
      if (!this.step(end)) throw new Error(`${what} did not come true within ${limitMs} ms\n${this.story()}`);
  }

  run(forMs: number): void {
    const end = this.now + forMs;
    this.scheduler.at(end, () => undefined); // time passes though nothing happens
    while (this.step(end));
  }

  /** The last frames that came. */
  story(): string {
    return this.transcript.slice(-60).join('\n');
  }

  /** Answers false when nothing is left to do by `end`. */
  step(end: number): boolean {
    const next = this.scheduler.nextAt;
    if (next === undefined || next > end) return false;
    this.#stepsAtOnce = next > this.now ? 0 : this.#stepsAtOnce + 1;
    if (this.#stepsAtOnce > MAX_STEPS_AT_ONCE)
      throw new Error(`time stands still at ${this.now}\n${this.story()}`);
    this.scheduler.step();
    return true;
  }
  #stepsAtOnce = 0;
}
