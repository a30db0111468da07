/**
 * A virtual world for the real core: servers, clients and the network between them, in one process, under virtual time.
 * One seed draws every random byte, so that a run can be repeated.
 */
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import { FrameDecoder, type Delivery, type ServerAddress } from '../../packages/godwit/src/wire/index.ts';
import { Pipe } from './pipe.ts';
import { Scheduler } from './scheduler.ts';
import { VirtualClient, type VirtualClientOptions } from './virtual-client.ts';
import { VirtualServer, type VirtualServerOptions } from './virtual-server.ts';

export interface WorldOptions {
  readonly seed?: number;
  /** One-way latency, in ms. Default 1. */
  readonly latencyMs?: number;
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
  /** Sees every new carrier before a byte is on it. */
  onDial: ((to: string, pipe: Pipe) => void) | undefined;
  readonly #templates = new Map<string, ServerTemplate>();
  /** Pairs of names that can't reach each other: `a>b` drops what a sends to b. */
  readonly #partitions = new Set<string>();
  #random: number;

  constructor(options: WorldOptions = {}) {
    this.#random = (options.seed ?? 1) >>> 0;
    this.latencyMs = options.latencyMs ?? 1;
    this.ring = KeyRing.generate();
  }

  get now(): number {
    return this.scheduler.now;
  }

  wallClock(): number {
    return 1_700_000_000_000 + this.now;
  }

  get addresses(): readonly ServerAddress[] {
    return [...this.#templates.keys()].map((name) => ({ name, host: name, port: 1 }));
  }

  /** 0 … 1, from the seed. */
  random(): number {
    this.#random = (this.#random + 0x6d2b79f5) >>> 0;
    let t = this.#random;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 1) bytes[i] = Math.floor(this.random() * 256);
    return bytes;
  }

  note(frame: string, way: string): void {
    const key = `${frame}`;
    this.frames.set(key, (this.frames.get(key) ?? 0) + 1);
    if (frame !== 'data' && frame !== 'ack') this.transcript.push(`${this.now} ${way} ${frame}`);
  }

  /** All servers are told of each other, so declare them before any client connects. */
  addServers(names: readonly string[], template: ServerTemplate): void {
    for (const name of names) this.#templates.set(name, template);
    for (const name of names) this.start(name);
  }

  start(name: string, change: Partial<ServerTemplate> = {}): VirtualServer {
    const template = this.#templates.get(name);
    if (!template) throw new Error(`no server ${name}`);
    const server = new VirtualServer(this, { ring: this.ring, ...template, ...change, name });
    this.servers.set(name, server);
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

  partition(from: string, to: string): void {
    this.#partitions.add(`${from}>${to}`);
    this.#partitions.add(`${to}>${from}`);
  }
  heal(): void {
    this.#partitions.clear();
  }
  isCut(from: string, to: string): boolean {
    return this.#partitions.has(`${from}>${to}`);
  }

  dial(from: string, to: string, done: (pipe: Pipe | undefined) => void): void {
    if (this.isCut(from, to)) return; // the SYN is lost; the dialler has its own deadline
    this.scheduler.after(2 * this.latencyMs, () => {
      const server = this.servers.get(to);
      if (!server?.isAlive) {
        done(undefined);
        return;
      }
      const pipe = new Pipe(this.scheduler, () => this.latencyMs);
      this.pipes.push(pipe);
      this.onDial?.(to, pipe);
      server.accept(pipe);
      done(pipe);
    });
  }

  sendPeer(from: ServerAddress, to: ServerAddress, bytes: Uint8Array): void {
    const copy = bytes.slice();
    if (this.isCut(from.name, to.name)) return; // its own deadline tells the sender
    this.scheduler.after(this.latencyMs, () => {
      const server = this.servers.get(to.name);
      if (!server?.isAlive) {
        this.servers.get(from.name)?.handlePeerLost(to.name);
        return;
      }
      const decoder = FrameDecoder.forPeerLink();
      decoder.push(copy);
      for (let frame = decoder.next(); frame; frame = decoder.next()) server.handlePeerFrame(from, frame);
    });
  }

  /** Runs until `condition` holds; throws with the transcript when it does not within `limitMs` of virtual time. */
  until(condition: () => boolean, limitMs = 60_000, what = 'the condition'): void {
    const end = this.now + limitMs;
    while (!condition())
      if (!this.#step(end))
        throw new Error(`${what} did not come true within ${limitMs} ms\n${this.story()}`);
  }

  run(forMs: number): void {
    const end = this.now + forMs;
    this.scheduler.at(end, () => undefined); // time passes though nothing happens
    while (this.#step(end));
  }

  /** The last frames that came. */
  story(): string {
    return this.transcript.slice(-60).join('\n');
  }

  /** Answers false when nothing is left to do by `end`. */
  #step(end: number): boolean {
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

export type { Delivery };
