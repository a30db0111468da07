/** A client of the virtual world: the real ClientSession, driven as the real driver would. */
import { NodeCrypto, crc32 } from '../../packages/godwit/src/crypto/index.ts';
import {
  ClientSession,
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
import type { Pipe } from './pipe.ts';
import type { World } from './world.ts';

interface Connection {
  readonly pipe: Pipe;
  readonly to: string;
  readonly decoder: FrameDecoder<Frame | DataPiece>;
}

export interface VirtualClientOptions {
  readonly servers: readonly string[];
  readonly service?: string;
  readonly limits?: Partial<ClientLimits>;
  readonly timers?: Partial<ClientTimers>;
  readonly detectors?: readonly Detector[];
  /** How long cryptography takes to answer, in ms. Default: it answers at once. */
  readonly cryptoDelayMs?: () => number;
  /** Reads and keeps output as it comes. Default true. */
  readonly autoRead?: boolean;
}

export class VirtualClient {
  readonly session: ClientSession;
  readonly events: ClientEvent[] = [];
  readonly migrations: MigrationReport[] = [];
  readonly #world: World;
  readonly #crypto: NodeCrypto;
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

  constructor(world: World, options: VirtualClientOptions) {
    this.#world = world;
    this.autoRead = options.autoRead ?? true;
    this.#cryptoDelayMs = options.cryptoDelayMs;
    this.#crypto = new NodeCrypto({ now: () => world.now, random: (n) => world.bytes(n) });
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
      world.now,
    );
    this.#pump();
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
    this.#pendingWrites.push(bytes.slice());
    this.#feed();
    this.#pump();
  }

  end(): void {
    this.#endWanted = true;
    this.#feed();
    this.#pump();
  }

  #feed(): void {
    while (this.#pendingWrites.length > 0 && this.session.wantsWrite) {
      const bytes = this.#pendingWrites.shift() as Uint8Array;
      const piece = bytes.subarray(0, 64 * 1024);
      this.session.write(this.#world.now, piece);
      if (piece.byteLength < bytes.byteLength) this.#pendingWrites.unshift(bytes.subarray(piece.byteLength));
    }
    if (this.#endWanted && this.#pendingWrites.length === 0) {
      this.#endWanted = false;
      this.session.end(this.#world.now);
    }
  }

  /** Anything else that touches the session. */
  do(action: (session: ClientSession, now: number) => void): void {
    action(this.session, this.#world.now);
    this.#pump();
  }

  read(): void {
    for (let chunk = this.session.read(); chunk !== undefined; chunk = this.session.read()) {
      if (chunk === 'end') {
        this.ended = true;
        continue;
      }
      this.#received.push(chunk.slice());
      this.#receivedBytes += chunk.byteLength;
      this.session.consumed(this.#world.now, chunk.byteLength);
    }
    this.#pump();
  }

  /** Sets a standby up to a server, as the hub of a client process does. */
  standby(server: string): void {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    this.#world.dial(this.#name, server, (pipe) => {
      if (!pipe) return;
      const connection: Connection = { pipe, to: server, decoder: FrameDecoder.forCarrier('server') };
      pipe.send(0, encodePreface(Role.Client));
      pipe.attach(0, {
        onData: (bytes) => {
          connection.decoder.push(bytes);
          for (let frame = connection.decoder.next(); frame; frame = connection.decoder.next())
            this.#standbyFrame(server, connection, frame);
        },
        onClose: () => {
          if (this.#standbys.get(server)?.connection !== connection) return;
          this.#standbys.delete(server);
          this.session.handleStandby({ host: server, port: 1 }, false);
        },
      });
    });
    void carrierId;
  }

  #standbyFrame(server: string, connection: Connection, frame: Frame | DataPiece): void {
    if (frame.frame === 'challenge') {
      const challenge = { serverName: frame.serverName, nonce: frame.nonce };
      this.session.standbyProof(challenge, (proof) => {
        if (!proof || this.closed) {
          connection.pipe.close(0);
          return;
        }
        connection.pipe.send(0, proof);
        connection.pipe.send(
          0,
          encodeFrame('watch', {
            add: [{ sessionId: this.session.sessionId, epoch: this.session.epoch }],
            remove: [],
          }),
        );
        this.#standbys.get(server)?.connection.pipe.close(0);
        this.#standbys.set(server, { connection, challenge });
        this.session.handleStandby({ host: server, port: 1 }, true);
      });
      this.#pump();
    } else if (frame.frame === 'trigger') {
      this.session.handleTrigger(this.#world.now, frame);
      this.#pump();
    }
  }

  readonly #name = 'client';

  #dial(dialId: number, candidate: Candidate): void {
    const dial = { cancelled: false };
    this.#dials.set(dialId, dial);
    const standby = this.#standbys.get(candidate.host);
    if (standby) {
      this.#standbys.delete(candidate.host);
      this.session.handleStandby({ host: candidate.host, port: 1 }, false);
      this.#world.scheduler.after(0, () => {
        this.#dials.delete(dialId);
        if (dial.cancelled || this.closed) standby.connection.pipe.close(0);
        else this.#connected(dialId, standby.connection, standby.challenge);
        this.#pump();
      });
      return;
    }
    this.#world.dial(this.#name, candidate.host, (pipe) => {
      this.#dials.delete(dialId);
      if (dial.cancelled) pipe?.close(0);
      else if (!pipe)
        this.session.handleDialFailed(this.#world.now, dialId, {
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
      this.#pump();
    });
  }

  #connected(dialId: number, connection: Connection, challenge: Challenge | undefined): void {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    this.#connections.set(carrierId, connection);
    connection.pipe.attach(0, {
      onData: (bytes) => {
        connection.decoder.push(bytes);
        this.#decode(carrierId, connection);
        this.#pump();
      },
      onClose: (reset) => {
        if (this.#connections.delete(carrierId))
          this.session.handleCarrierLost(this.#world.now, carrierId, {
            code: reset ? 'ECONNRESET' : 'ETIMEDOUT',
            message: 'cut',
            reset,
          });
        this.#pump();
      },
    });
    this.session.handleConnected(this.#world.now, dialId, carrierId, challenge);
  }

  #decode(carrierId: number, connection: Connection): void {
    try {
      for (;;) {
        this.#events();
        if (this.session.isBusy(carrierId) || this.#connections.get(carrierId) !== connection) return;
        const frame = connection.decoder.next();
        if (!frame) return;
        this.#world.note(frame.frame, `${connection.to} → client`);
        this.session.handleFrame(this.#world.now, carrierId, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.session.handleCarrierError(this.#world.now, carrierId, error);
    }
  }

  #events(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) this.#handle(event);
  }

  #handle(event: ClientEvent): void {
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
        for (const part of event.last) connection?.pipe.send(0, part);
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
      this.session.handleCrypto(this.#world.now, event.id, result);
      return;
    }
    this.#world.scheduler.after(this.#cryptoDelayMs(), () => {
      this.session.handleCrypto(this.#world.now, event.id, result);
      for (const [carrierId, connection] of [...this.#connections]) this.#decode(carrierId, connection);
      this.#pump();
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
        this.#flush();
        this.#events();
        this.#arm();
      });
    }
    this.#arm();
  }

  #flush(): void {
    for (
      let transmit = this.session.pollTransmit(this.#world.now);
      transmit;
      transmit = this.session.pollTransmit(this.#world.now)
    ) {
      this.#events();
      const connection = this.#connections.get(transmit.carrierId);
      for (const part of transmit.parts) connection?.pipe.send(0, part);
    }
  }

  #arm(): void {
    const at = this.session.pollTimeout();
    if (
      at === undefined ||
      (this.#timerAt !== undefined && this.#timerAt <= at && this.#timerAt > this.#world.now)
    )
      return;
    this.#timerAt = at;
    this.#world.scheduler.at(at, () => {
      if (this.#timerAt === at) this.#timerAt = undefined;
      this.session.handleTimeout(this.#world.now);
      this.#pump();
    });
  }
}
