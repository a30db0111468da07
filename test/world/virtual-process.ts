/**
 * A process of the virtual world that drives one sans-I/O core, as the real drivers do: what clients and servers share.
 * It has a clock of its own, can be stopped and go on, and its cryptography may take its time.
 */
import type {
  CryptoEvent,
  CryptoResult,
  FenceAnswer,
  FenceQuestion,
} from '../../packages/godwit/src/session/index.ts';
import {
  ProtocolError,
  type DataPiece,
  type Frame,
  type FrameDecoder,
} from '../../packages/godwit/src/wire/index.ts';
import { WORLD_CLOCK, type NodeClock } from './clock.ts';
import type { Pipe } from './pipe.ts';
import type { World, WorldCrypto, WorldCryptoOptions } from './world.ts';

/** Who is at an end of a pipe: 0 dialled, 1 accepted. */
type End = 0 | 1;

/** What both cores have in common. */
export interface Core<E> {
  isBusy(carrierId: number): boolean;
  setWritable(carrierId: number, writable: boolean): void;
  handleFrame(now: number, carrierId: number, frame: Frame | DataPiece): void;
  handleCarrierError(now: number, carrierId: number, error: ProtocolError): void;
  handleCarrierLost(
    now: number,
    carrierId: number,
    failure: { code: string; message: string; reset: boolean },
  ): void;
  handleCrypto(now: number, id: number, result: CryptoResult): void;
  handleTimeout(now: number): void;
  pollTimeout(): number | undefined;
  pollEvent(): E | undefined;
  pollTransmit(
    now: number,
  ): { readonly carrierId: number; readonly parts: readonly Uint8Array[] } | undefined;
}

/** A carrier, as the process at one end knows it. */
export interface Connection {
  readonly pipe: Pipe;
  /** The name at the other end. */
  readonly peer: string;
  readonly decoder: FrameDecoder<Frame | DataPiece>;
  /** So many bytes of the preface came; undefined when it is whole, or none is awaited. */
  preface?: Uint8Array | undefined;
  /** It is gone, while what came before waits for an answer of cryptography. */
  lost?: { readonly reset: boolean } | undefined;
}

export interface VirtualProcessOptions {
  readonly clock?: NodeClock;
  /** How long cryptography takes to answer, in ms. Default: it answers at once. */
  readonly cryptoDelayMs?: () => number;
}

export abstract class VirtualProcess<E extends { readonly type: string }> {
  readonly name: string;
  protected readonly world: World;
  protected readonly clock: NodeClock;
  protected readonly crypto: WorldCrypto;
  protected readonly connections = new Map<number, Connection>();
  readonly #end: End;
  readonly #cryptoDelayMs: (() => number) | undefined;
  #nextCarrierId = 1;
  #flushing = false;
  #timerAt: number | undefined;
  #alive = true;
  #suspended = false;
  #backlog: (() => void)[] = [];

  constructor(
    world: World,
    options: VirtualProcessOptions & {
      readonly name: string;
      readonly end: End;
      readonly crypto?: Partial<WorldCryptoOptions>;
    },
  ) {
    this.world = world;
    this.name = options.name;
    this.#end = options.end;
    this.clock = options.clock ?? WORLD_CLOCK;
    this.#cryptoDelayMs = options.cryptoDelayMs;
    this.crypto = world.createCrypto({
      wallClock: () => this.clock.wall(world.now),
      now: () => this.now,
      random: (n) => world.bytes(n),
      ...options.crypto,
    });
  }

  protected abstract get core(): Core<E>;
  /** Does as an event of the core says; cryptography has been seen to. */
  protected abstract handle(event: E): void;
  /** An event of the core comes, cryptography included. */
  protected abstract observe(event: E): void;
  /** Everything that could be done at present is done. */
  protected abstract settled(): void;

  /** What this process's own clock shows. */
  get now(): number {
    return this.clock.monotonic(this.world.now);
  }
  get isAlive(): boolean {
    return this.#alive;
  }
  get isSuspended(): boolean {
    return this.#suspended;
  }
  get #isRunning(): boolean {
    return this.#alive && !this.#suspended;
  }
  get openCarriers(): number {
    return this.connections.size;
  }
  pipe(carrierId: number): Pipe | undefined {
    return this.connections.get(carrierId)?.pipe;
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

  /** SIGKILL: all memory is lost; the kernel resets the connections unless the whole machine is gone (`silent`). */
  protected die(silent: boolean): void {
    this.#alive = false;
    for (const connection of this.connections.values()) connection.pipe.abandon(this.#end, silent);
    this.connections.clear();
    this.#backlog = [];
  }

  /** Runs something in the process, when it runs at all. */
  inside(run: () => void): void {
    if (!this.#alive) return;
    if (this.#suspended) {
      this.#backlog.push(run);
      return;
    }
    run();
    if (!this.#isRunning) return;
    this.pump();
    this.settled();
  }

  /** Runs something later, in the process: not at all once that is gone. */
  after(delayMs: number, run: () => void): void {
    this.world.scheduler.after(delayMs, () => this.inside(run));
  }

  /** To be called after anything touched the core from outside. */
  poke(): void {
    this.inside(() => undefined);
  }

  // --- Carriers -------------------------------------------------------------------------------------------------

  /** A carrier is there: what comes on it goes to the core, from `receive` on. */
  protected attach(connection: Connection, receive: (carrierId: number, bytes: Uint8Array) => void): number {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    this.connections.set(carrierId, connection);
    connection.pipe.attach(this.#end, {
      onData: (bytes) => this.inside(() => receive(carrierId, bytes)),
      onClose: (reset) =>
        this.inside(() => {
          connection.lost = { reset };
          this.#lose(carrierId, connection);
        }),
      onWritable: (writable) =>
        this.inside(() => {
          if (this.connections.has(carrierId)) this.core.setWritable(carrierId, writable);
        }),
    });
    return carrierId;
  }

  /** What came before the end of a carrier is handled first. */
  #lose(carrierId: number, connection: Connection): void {
    if (!connection.lost || this.connections.get(carrierId) !== connection) return;
    this.#events();
    if (this.core.isBusy(carrierId) || !this.connections.delete(carrierId)) return;
    const { reset } = connection.lost;
    const code = reset ? 'ECONNRESET' : 'ETIMEDOUT';
    this.core.handleCarrierLost(this.now, carrierId, { code, message: 'cut', reset });
  }

  /** The core takes what has come, frame by frame, as far as it is not busy. */
  protected decode(carrierId: number, connection: Connection): void {
    try {
      for (;;) {
        this.#events();
        if (this.core.isBusy(carrierId) || this.connections.get(carrierId) !== connection) return;
        const frame = connection.decoder.next();
        if (!frame) return;
        this.noteArrival(frame, connection, carrierId);
        if (!this.#alive) return;
        this.core.handleFrame(this.now, carrierId, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.core.handleCarrierError(this.now, carrierId, error);
    }
  }

  protected noteArrival(frame: Frame | DataPiece, connection: Connection, carrierId: number): void {
    const { peer, pipe } = connection;
    this.world.note(frame.frame, `${peer} → ${this.name}`);
    this.world.observer?.frameArrives?.(frame, peer, this.name, { pipe, carrierId });
  }

  protected send(carrierId: number, connection: Connection | undefined, parts: readonly Uint8Array[]): void {
    if (!connection || parts.length === 0) return;
    const { pipe, peer } = connection;
    this.world.observer?.partsLeave?.(parts, this.name, peer, { pipe, carrierId });
    pipe.sendParts(this.#end, parts);
  }

  /** `last` still goes out. */
  protected hangUp(carrierId: number, last: readonly Uint8Array[]): void {
    const connection = this.connections.get(carrierId);
    this.connections.delete(carrierId);
    this.send(carrierId, connection, last);
    connection?.pipe.close(this.#end);
  }

  // --- The core -------------------------------------------------------------------------------------------------

  #events(): void {
    for (let event = this.core.pollEvent(); event && this.#alive; event = this.core.pollEvent()) {
      this.observe(event);
      if (isCrypto(event)) this.#answer(event);
      else this.handle(event);
    }
  }

  /** At once, or as late as Web Crypto would. */
  #answer(event: CryptoEvent): void {
    const { request } = event;
    if (request.op === 'fence') {
      let isLate = false;
      this.askFence(request.question, (answer) => {
        if (!isLate) this.core.handleCrypto(this.now, event.id, answer);
        else
          this.inside(() => {
            this.core.handleCrypto(this.now, event.id, answer);
            this.#decodeAll();
          });
      });
      isLate = true;
      return;
    }
    const result = this.crypto.execute(request);
    if (this.#cryptoDelayMs === undefined) {
      this.core.handleCrypto(this.now, event.id, result);
      return;
    }
    this.after(this.#cryptoDelayMs(), () => {
      this.core.handleCrypto(this.now, event.id, result);
      this.#decodeAll();
    });
  }

  /** Carriers that were busy have frames to be taken. */
  #decodeAll(): void {
    for (const [carrierId, connection] of [...this.connections]) {
      if (!connection.preface) this.decode(carrierId, connection);
      this.#lose(carrierId, connection);
    }
  }

  /** Servers of a world with a fence only. */
  protected askFence(_question: FenceQuestion, _then: (answer: FenceAnswer) => void): void {
    throw new Error('there is no fence');
  }

  /** What the core wants is done; what it has to send leaves at the end of the tick. */
  protected pump(): void {
    this.#events();
    if (!this.#flushing) {
      this.#flushing = true;
      this.world.scheduler.after(0, () => {
        this.#flushing = false;
        if (!this.#isRunning) return;
        this.#flush();
        this.#events();
        this.#arm();
        this.settled();
      });
    }
    this.#arm();
  }

  #flush(): void {
    for (
      let transmit = this.core.pollTransmit(this.now);
      transmit;
      transmit = this.core.pollTransmit(this.now)
    ) {
      this.#events();
      this.send(transmit.carrierId, this.connections.get(transmit.carrierId), transmit.parts);
    }
  }

  #arm(): void {
    const due = this.core.pollTimeout();
    if (due === undefined) return;
    const at = this.clock.worldTime(due);
    if (this.#timerAt !== undefined && this.#timerAt <= at && this.#timerAt > this.world.now) return;
    this.#timerAt = at;
    this.world.scheduler.at(at, () => {
      if (this.#timerAt === at) this.#timerAt = undefined;
      this.inside(() => this.core.handleTimeout(this.now));
    });
  }
}

function isCrypto(event: { readonly type: string }): event is CryptoEvent {
  return event.type === 'crypto';
}
