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
  type Detector,
  type Failure,
  type MigrationReport,
} from '../../packages/godwit/src/session/index.ts';
import {
  FrameDecoder,
  Role,
  concatBytes,
  encodeFrame,
  encodePreface,
  type DataPiece,
  type Frame,
} from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from './pipe.ts';
import { VirtualProcess, type Connection, type Core, type VirtualProcessOptions } from './virtual-process.ts';
import type { World } from './world.ts';

/** A standby has no carrier id before a session takes it. */
const STANDBY = -1;

export interface VirtualClientOptions extends VirtualProcessOptions {
  readonly servers: readonly string[];
  /** What the network calls it. Default: `client`. */
  readonly name?: string;
  readonly service?: string;
  readonly limits?: Partial<ClientLimits>;
  readonly timers?: Partial<ClientTimers>;
  readonly detectors?: readonly Detector[];
  /** Reads and keeps output as it comes. Default true. */
  readonly autoRead?: boolean;
  /** Takes the output as it is read, and the end; without it, `received` keeps it. */
  readonly onOutput?: (bytes: Uint8Array | 'end') => void;
}

export class VirtualClient extends VirtualProcess<ClientEvent> {
  readonly session: ClientSession;
  readonly events: ClientEvent[] = [];
  readonly migrations: MigrationReport[] = [];
  readonly #dialTimeoutMs: number;
  readonly #onOutput: ((bytes: Uint8Array | 'end') => void) | undefined;
  readonly #dials = new Map<number, { cancelled: boolean }>();
  readonly #standbys = new Map<string, { connection: Connection; challenge: Challenge }>();
  readonly #received: Uint8Array[] = [];
  #receivedBytes = 0;
  ended = false;
  closed: { failure: Failure | undefined } | undefined;
  autoRead: boolean;
  readonly #pendingWrites: Uint8Array[] = [];
  #endWanted = false;

  constructor(world: World, options: VirtualClientOptions) {
    super(world, { ...options, name: options.name ?? 'client', end: 0 });
    this.#onOutput = options.onOutput;
    this.#dialTimeoutMs = options.timers?.dialTimeoutMs ?? DEFAULT_CLIENT_TIMERS.dialTimeoutMs;
    this.autoRead = options.autoRead ?? true;
    this.session = new ClientSession(
      {
        sessionId: world.bytes(16),
        service: options.service ?? 'test',
        servers: options.servers.map((name) => ({ name: '', host: name, port: 1 })),
        keyShare: this.crypto.keyShare(),
        random: (n) => world.bytes(n),
        crc32,
        limits: { ...DEFAULT_CLIENT_LIMITS, ...options.limits },
        timers: { ...DEFAULT_CLIENT_TIMERS, ...options.timers },
        detectors: options.detectors ?? defaultDetectors(),
        hasStandby: ({ host }) => this.#standbys.has(host),
      },
      this.now,
    );
    this.pump();
  }

  protected get core(): Core<ClientEvent> {
    return this.session;
  }
  protected observe(event: ClientEvent): void {
    this.world.observer?.clientEvent?.(this, event);
  }
  protected settled(): void {
    this.world.observer?.clientSettled?.(this);
  }

  get received(): Uint8Array {
    return concatBytes(this.#received);
  }
  get receivedBytes(): number {
    return this.#receivedBytes;
  }
  /** The pipe the session lives on at present. */
  pipesTo(server: string): Pipe[] {
    return [...this.connections.values()]
      .filter((connection) => connection.peer === server)
      .map((connection) => connection.pipe);
  }

  /** Writes as the application would: everything is taken, but only as `wantsWrite` allows. */
  write(bytes: Uint8Array): void {
    this.inside(() => {
      this.#pendingWrites.push(bytes.slice());
      this.#feed();
    });
  }

  end(): void {
    this.inside(() => {
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
    this.inside(() => action(this.session, this.now));
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
    this.pump();
    return pieces === mostPieces;
  }

  hasStandby(server: string): boolean {
    return this.#standbys.has(server);
  }

  /** Sets a standby up to a server, as the hub of a client process does. */
  standby(server: string): void {
    this.world.dial(this.name, server, (pipe) => {
      if (!pipe || this.closed) return;
      const connection: Connection = { pipe, peer: server, decoder: FrameDecoder.forCarrier('server') };
      pipe.send(0, encodePreface(Role.Client));
      pipe.attach(0, {
        onData: (bytes) =>
          this.inside(() => {
            connection.decoder.push(bytes);
            for (let frame = connection.decoder.next(); frame; frame = connection.decoder.next())
              this.#standbyFrame(server, connection, frame);
          }),
        onClose: () =>
          this.inside(() => {
            if (this.#standbys.get(server)?.connection !== connection) return;
            this.#standbys.delete(server);
          }),
      });
    });
  }

  /** The server of each standby is told of the session's present epoch. */
  #watch(connection: Connection): void {
    this.send(STANDBY, connection, [
      encodeFrame('watch', {
        add: [{ sessionId: this.session.sessionId, epoch: this.session.epoch }],
        remove: [],
      }),
    ]);
  }

  #standbyFrame(server: string, connection: Connection, frame: Frame | DataPiece): void {
    this.noteArrival(frame, connection, STANDBY);
    if (frame.frame === 'challenge') {
      const challenge = challengeOf(frame);
      this.session.standbyProof(challenge, (proof) => {
        if (!proof || this.closed) {
          connection.pipe.close(0);
          return;
        }
        this.send(STANDBY, connection, [proof]);
        this.#watch(connection);
        this.#standbys.get(server)?.connection.pipe.close(0);
        this.#standbys.set(server, { connection, challenge });
      });
      this.pump();
    } else if (frame.frame === 'trigger') this.session.handleTrigger(this.now, frame);
    else if (frame.frame === 'ping')
      this.send(STANDBY, connection, [encodeFrame('pong', { token: frame.token })]);
  }

  #dial(dialId: number, candidate: Candidate): void {
    const dial = { cancelled: false };
    this.#dials.set(dialId, dial);
    const standby = this.#standbys.get(candidate.host);
    if (standby) {
      this.#standbys.delete(candidate.host);
      this.after(0, () => {
        this.#dials.delete(dialId);
        if (dial.cancelled || this.closed) standby.connection.pipe.close(0);
        else this.#connected(dialId, standby.connection, standby.challenge);
      });
      return;
    }
    this.world.dial(this.name, candidate.host, (pipe) =>
      this.inside(() => {
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
            { pipe, peer: candidate.host, decoder: FrameDecoder.forCarrier('server') },
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
    const carrierId = this.attach(connection, (id, bytes) => {
      connection.decoder.push(bytes);
      this.decode(id, connection);
    });
    this.session.handleConnected(this.now, dialId, carrierId, challenge);
  }

  protected handle(event: ClientEvent): void {
    switch (event.type) {
      case 'dial':
        this.#dial(event.dialId, event.candidate);
        return;
      case 'cancelDial': {
        const dial = this.#dials.get(event.dialId);
        if (dial) dial.cancelled = true;
        return;
      }
      case 'hangUp':
        this.hangUp(event.carrierId, event.last);
        return;
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

  /** The server has proved itself: larger frames may come. */
  #trustServers(): void {
    for (const { decoder } of this.connections.values()) decoder.setAuthenticated();
  }
}
