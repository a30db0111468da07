/** A client of the virtual world: the real ClientSession, driven as the real driver would. */
import { crc32 } from '../../packages/godwit/src/crypto/index.ts';
import {
  ClientSession,
  challengeOf,
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  defaultDetectors,
  type Candidate,
  type Challenge,
  type ClientEvent,
  type ClientLimits,
  type ClientTimers,
  type CryptoEvent,
  type Detector,
  type Failure,
  type MigrationReport,
} from '../../packages/godwit/src/session/index.ts';
import {
  FrameDecoder,
  ProtocolError,
  Role,
  concatBytes,
  encodeFrame,
  encodePreface,
  type DataPiece,
  type Frame,
} from '../../packages/godwit/src/wire/index.ts';
import { WORLD_CLOCK, type NodeClock } from './clock.ts';
import type { Pipe } from './pipe.ts';
import type { World, WorldCrypto } from './world.ts';

interface Connection {
  readonly pipe: Pipe;
  readonly to: string;
  readonly decoder: FrameDecoder<Frame | DataPiece>;
}

export interface VirtualClientOptions {
  readonly servers: readonly string[];
  /** What the network calls it. Default: `client`. */
  readonly name?: string;
  readonly clock?: NodeClock;
  readonly service?: string;
  readonly limits?: Partial<ClientLimits>;
  readonly timers?: Partial<ClientTimers>;
  readonly detectors?: readonly Detector[];
  /** How long cryptography takes to answer, in ms. Default: it answers at once. */
  readonly cryptoDelayMs?: () => number;
  /** Reads and keeps output as it comes. Default true. */
  readonly autoRead?: boolean;
  /** Takes the output as it is read, and the end; without it, `received` keeps it. */
  readonly onOutput?: (bytes: Uint8Array | 'end') => void;
}

export class VirtualClient {
  readonly session: ClientSession;
  readonly events: ClientEvent[] = [];
  readonly migrations: MigrationReport[] = [];
  readonly name: string;
  readonly #world: World;
  readonly #clock: NodeClock;
  readonly #dialTimeoutMs: number;
  readonly #onOutput: ((bytes: Uint8Array | 'end') => void) | undefined;
  readonly #crypto: WorldCrypto;
  readonly #cryptoDelayMs: (() => number) | undefined;
  readonly #connections = new Map<number, Connection>();
  readonly #dials = new Map<number, { cancelled: boolean }>();
  readonly #standbys = new Map<string, { connection: Connection; challenge: Challenge }>();
  readonly #received: Uint8Array[] = [];
  #receivedBytes = 0;
  ended = false;
  closed: { failure: Failure | undefined } | undefined;
  autoRead: boolean;
  #nextCarrierId = 1;
  #flushing = false;
  #timerAt: number | undefined;
  readonly #pendingWrites: Uint8Array[] = [];
  #endWanted = false;
  #suspended = false;
  #backlog: (() => void)[] = [];

  constructor(world: World, options: VirtualClientOptions) {
    this.#world = world;
    this.name = options.name ?? 'client';
    this.#clock = options.clock ?? WORLD_CLOCK;
    this.#onOutput = options.onOutput;
    this.#dialTimeoutMs = options.timers?.dialTimeoutMs ?? DEFAULT_CLIENT_TIMERS.dialTimeoutMs;
    this.autoRead = options.autoRead ?? true;
    this.#cryptoDelayMs = options.cryptoDelayMs;
    this.#crypto = world.createCrypto({ now: () => this.now, random: (n) => world.bytes(n) });
    this.session = new ClientSession(
      {
        sessionId: world.bytes(16),
        service: options.service ?? 'test',
        servers: options.servers.map((name) => ({ name: '', host: name, port: 1 })),
        keyShare: this.#crypto.keyShare(),
        random: (n) => world.bytes(n),
        crc32,
        limits: { ...DEFAULT_CLIENT_LIMITS, ...options.limits },
        timers: { ...DEFAULT_CLIENT_TIMERS, ...options.timers },
        detectors: options.detectors ?? defaultDetectors(),
      },
      this.now,
    );
    this.#pump();
  }

  /** What this process's own clock shows. */
  get now(): number {
    return this.#clock.monotonic(this.#world.now);
  }
  get isSuspended(): boolean {
    return this.#suspended;
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
    this.#inside(() => undefined);
  }

  /** Runs something in the client's process, when it runs at all. */
  #inside(run: () => void): void {
    if (this.#suspended) {
      this.#backlog.push(run);
      return;
    }
    run();
    this.#pump();
    this.#world.observer?.clientSettled?.(this);
  }

  /** Runs something later, in the client's process. */
  after(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, () => this.#inside(run));
  }

  get received(): Uint8Array {
    return concatBytes(this.#received);
  }
  get receivedBytes(): number {
    return this.#receivedBytes;
  }
  get openCarriers(): number {
    return this.#connections.size;
  }
  /** The pipe the session lives on at present. */
  pipesTo(server: string): Pipe[] {
    return [...this.#connections.values()]
      .filter((connection) => connection.to === server)
      .map((connection) => connection.pipe);
  }

  /** Writes as the application would: everything is taken, but only as `wantsWrite` allows. */
  write(bytes: Uint8Array): void {
    this.#inside(() => {
      this.#pendingWrites.push(bytes.slice());
      this.#feed();
    });
  }

  end(): void {
    this.#inside(() => {
      this.#endWanted = true;
      this.#feed();
    });
  }

  #feed(): void {
    while (this.#pendingWrites.length > 0 && this.session.wantsWrite) {
      const bytes = this.#pendingWrites.shift() as Uint8Array;
      const piece = bytes.subarray(0, 64 * 1024);
      this.session.write(this.now, piece);
      if (piece.byteLength < bytes.byteLength) this.#pendingWrites.unshift(bytes.subarray(piece.byteLength));
    }
    if (this.#endWanted && this.#pendingWrites.length === 0) {
      this.#endWanted = false;
      this.session.end(this.now);
    }
  }

  /** Anything else that touches the session. */
  do(action: (session: ClientSession, now: number) => void): void {
    this.#inside(() => action(this.session, this.now));
  }

  /** All there is, or up to so many pieces of it. Answers whether there may be more. */
  read(mostPieces = Infinity): boolean {
    let pieces = 0;
    for (; pieces < mostPieces; pieces += 1) {
      const chunk = this.session.read();
      if (chunk === undefined) break;
      if (chunk === 'end') {
        this.ended = true;
        this.#onOutput?.('end');
        continue;
      }
      if (this.#onOutput) this.#onOutput(chunk);
      else this.#received.push(chunk.slice());
      this.#receivedBytes += chunk.byteLength;
      this.session.consumed(this.now, chunk.byteLength);
    }
    this.#pump();
    return pieces === mostPieces;
  }

  hasStandby(server: string): boolean {
    return this.#standbys.has(server);
  }

  /** Sets a standby up to a server, as the hub of a client process does. */
  standby(server: string): void {
    this.#world.dial(this.name, server, (pipe) => {
      if (!pipe || this.closed) return;
      const connection: Connection = { pipe, to: server, decoder: FrameDecoder.forCarrier('server') };
      pipe.send(0, encodePreface(Role.Client));
      pipe.attach(0, {
        onData: (bytes) =>
          this.#inside(() => {
            connection.decoder.push(bytes);
            for (let frame = connection.decoder.next(); frame; frame = connection.decoder.next())
              this.#standbyFrame(server, connection, frame);
          }),
        onClose: () =>
          this.#inside(() => {
            if (this.#standbys.get(server)?.connection !== connection) return;
            this.#standbys.delete(server);
            this.session.handleStandby({ host: server, port: 1 }, false);
          }),
      });
    });
  }

  /** The server of each standby is told of the session's present epoch. */
  #watch(connection: Connection): void {
    this.#send(undefined, connection, [
      encodeFrame('watch', {
        add: [{ sessionId: this.session.sessionId, epoch: this.session.epoch }],
        remove: [],
      }),
    ]);
  }

  #standbyFrame(server: string, connection: Connection, frame: Frame | DataPiece): void {
    this.#noteArrival(frame, connection, -1);
    if (frame.frame === 'challenge') {
      const challenge = challengeOf(frame);
      this.session.standbyProof(challenge, (proof) => {
        if (!proof || this.closed) {
          connection.pipe.close(0);
          return;
        }
        this.#send(undefined, connection, [proof]);
        this.#watch(connection);
        this.#standbys.get(server)?.connection.pipe.close(0);
        this.#standbys.set(server, { connection, challenge });
        this.session.handleStandby({ host: server, port: 1 }, true);
      });
      this.#pump();
    } else if (frame.frame === 'trigger') this.session.handleTrigger(this.now, frame);
    else if (frame.frame === 'ping')
      this.#send(undefined, connection, [encodeFrame('pong', { token: frame.token })]);
  }

  #dial(dialId: number, candidate: Candidate): void {
    const dial = { cancelled: false };
    this.#dials.set(dialId, dial);
    const standby = this.#standbys.get(candidate.host);
    if (standby) {
      this.#standbys.delete(candidate.host);
      this.session.handleStandby({ host: candidate.host, port: 1 }, false);
      this.after(0, () => {
        this.#dials.delete(dialId);
        if (dial.cancelled || this.closed) standby.connection.pipe.close(0);
        else this.#connected(dialId, standby.connection, standby.challenge);
      });
      return;
    }
    this.#world.dial(this.name, candidate.host, (pipe) =>
      this.#inside(() => {
        const isWanted = this.#dials.delete(dialId) && !dial.cancelled;
        if (!isWanted) pipe?.close(0);
        else if (!pipe)
          this.session.handleDialFailed(this.now, dialId, {
            code: 'ECONNREFUSED',
            message: `connect ECONNREFUSED ${candidate.host}`,
          });
        else {
          pipe.send(0, encodePreface(Role.Client));
          this.#connected(
            dialId,
            { pipe, to: candidate.host, decoder: FrameDecoder.forCarrier('server') },
            undefined,
          );
        }
      }),
    );
    this.after(this.#dialTimeoutMs, () => {
      if (!this.#dials.delete(dialId) || dial.cancelled) return;
      const message = `connect ETIMEDOUT ${candidate.host}`;
      this.session.handleDialFailed(this.now, dialId, { code: 'ETIMEDOUT', message });
    });
  }

  #connected(dialId: number, connection: Connection, challenge: Challenge | undefined): void {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    this.#connections.set(carrierId, connection);
    connection.pipe.attach(0, {
      onData: (bytes) =>
        this.#inside(() => {
          connection.decoder.push(bytes);
          this.#decode(carrierId, connection);
        }),
      onClose: (reset) =>
        this.#inside(() => {
          if (!this.#connections.delete(carrierId)) return;
          this.session.handleCarrierLost(this.now, carrierId, {
            code: reset ? 'ECONNRESET' : 'ETIMEDOUT',
            message: 'cut',
            reset,
          });
        }),
      onWritable: (writable) =>
        this.#inside(() => {
          if (this.#connections.has(carrierId)) this.session.setWritable(carrierId, writable);
        }),
    });
    this.session.handleConnected(this.now, dialId, carrierId, challenge);
  }

  #decode(carrierId: number, connection: Connection): void {
    try {
      for (;;) {
        this.#events();
        if (this.session.isBusy(carrierId) || this.#connections.get(carrierId) !== connection) return;
        const frame = connection.decoder.next();
        if (!frame) return;
        this.#noteArrival(frame, connection, carrierId);
        this.session.handleFrame(this.now, carrierId, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.session.handleCarrierError(this.now, carrierId, error);
    }
  }

  #noteArrival(frame: Frame | DataPiece, connection: Connection, carrierId: number): void {
    this.#world.note(frame.frame, `${connection.to} → ${this.name}`);
    const carrier = { pipe: connection.pipe, carrierId };
    this.#world.observer?.frameArrives?.(frame, connection.to, this.name, carrier);
  }

  #events(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) this.#handle(event);
  }

  #handle(event: ClientEvent): void {
    this.#world.observer?.clientEvent?.(this, event);
    switch (event.type) {
      case 'crypto':
        this.#answer(event);
        return;
      case 'dial':
        this.#dial(event.dialId, event.candidate);
        return;
      case 'cancelDial': {
        const dial = this.#dials.get(event.dialId);
        if (dial) dial.cancelled = true;
        return;
      }
      case 'hangUp': {
        const connection = this.#connections.get(event.carrierId);
        this.#connections.delete(event.carrierId);
        this.#send(event.carrierId, connection, event.last);
        connection?.pipe.close(0);
        return;
      }
      case 'readable':
        if (this.autoRead) this.read();
        return;
      case 'drain':
        this.#feed();
        return;
      case 'connected':
        this.#trustServers();
        break;
      case 'migrated':
        this.#trustServers();
        this.migrations.push(event.report);
        for (const { connection: standby } of this.#standbys.values()) this.#watch(standby);
        break;
      case 'closed':
        this.closed = { failure: event.failure };
        if (this.autoRead) this.read();
        for (const { connection } of this.#standbys.values()) connection.pipe.close(0);
        break;
      default:
    }
    this.events.push(event);
  }

  /** At once, or as late as Web Crypto would. */
  #answer(event: CryptoEvent): void {
    const result = this.#crypto.execute(event.request);
    if (this.#cryptoDelayMs === undefined) {
      this.session.handleCrypto(this.now, event.id, result);
      return;
    }
    this.after(this.#cryptoDelayMs(), () => {
      this.session.handleCrypto(this.now, event.id, result);
      for (const [carrierId, connection] of [...this.#connections]) this.#decode(carrierId, connection);
    });
  }

  /** The server has proved itself: larger frames may come. */
  #trustServers(): void {
    for (const { decoder } of this.#connections.values()) decoder.setAuthenticated();
  }

  #pump(): void {
    this.#events();
    if (!this.#flushing) {
      this.#flushing = true;
      this.#world.scheduler.after(0, () => {
        this.#flushing = false;
        if (this.#suspended) return;
        this.#flush();
        this.#events();
        this.#arm();
        this.#world.observer?.clientSettled?.(this);
      });
    }
    this.#arm();
  }

  #flush(): void {
    for (
      let transmit = this.session.pollTransmit(this.now);
      transmit;
      transmit = this.session.pollTransmit(this.now)
    ) {
      this.#events();
      this.#send(transmit.carrierId, this.#connections.get(transmit.carrierId), transmit.parts);
    }
  }

  /** On a standby there is no carrier id yet. */
  #send(
    carrierId: number | undefined,
    connection: Connection | undefined,
    parts: readonly Uint8Array[],
  ): void {
    if (!connection || parts.length === 0) return;
    const { pipe, to } = connection;
    this.#world.observer?.partsLeave?.(parts, this.name, to, { pipe, carrierId: carrierId ?? -1 });
    pipe.sendParts(0, parts);
  }

  #arm(): void {
    const due = this.session.pollTimeout();
    if (due === undefined) return;
    const at = this.#clock.worldTime(due);
    if (this.#timerAt !== undefined && this.#timerAt <= at && this.#timerAt > this.#world.now) return;
    this.#timerAt = at;
    this.#world.scheduler.at(at, () => {
      if (this.#timerAt === at) this.#timerAt = undefined;
      this.#inside(() => this.session.handleTimeout(this.now));
    });
  }
}
