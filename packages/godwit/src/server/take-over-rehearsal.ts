/**
 * Moves and deaths played through in memory, once a process, before the first real ones (architecture.md, "Rehearsal").
 *
 * A server that takes a session over is often one that had nothing to do: none of its code is compiled, from the socket
 * down, and the application's work since the last ticket, which is to be done again, takes many times what it took at the
 * server that died. So two servers with keys of their own serve a session that writes in every turn of the event loop. It
 * moves from one to the other and back, and outlives the one and the other: V8 makes code quick that has run some times,
 * not once. All of it in turns of the event loop, among those of others; while a real session is being taken over, not at
 * all.
 */
import type { Transport } from '../carriers/carrier.ts';
import { MemoryNetwork } from '../carriers/memory.ts';
import { KeyRing, NodeCrypto, crc32, random } from '../crypto/index.ts';
import {
  ClientSession,
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  type Candidate,
} from '../session/index.ts';
import { CarrierDriver } from '../socket/carrier-driver.ts';
import { Deadline, now } from '../socket/timers.ts';
import { Cause, FrameDecoder, Role, encodePreface } from '../wire/index.ts';
import { freshenHeap } from './fresh-heap.ts';
import type { ServerOptions } from './server-options.ts';
import type { ServerSocket } from './server-socket.ts';

/** How the session leaves its server, and after how many writes that the client has got from there. */
interface Leg {
  readonly by: 'death' | 'move';
  readonly writes: number;
}

/** First what is dearest to do for the first time; in the end, work enough to make all of it quick. */
const LEGS: readonly Leg[] = [
  { by: 'death', writes: 32 },
  ...Array.from({ length: 6 }, (): Leg => ({ by: 'move', writes: 8 })),
  ...Array.from({ length: 3 }, (): Leg => ({ by: 'death', writes: 48 })),
];
const WRITE_BYTES = 64;

/** A real take-over has the event loop to itself for so long, in milliseconds. */
const PAUSE_MS = 100;

/** The play is given up after this time, in milliseconds: on a busy machine there are better things to do. */
const TIMEOUT_MS = 5_000;

/** What the play needs of a server. */
export interface RehearsedServer {
  listen(options: { readonly host: string; readonly port: number }): { unref(): unknown };
  kill(): void;
}

export type CreateServer = (
  options: ServerOptions,
  onSession: (socket: ServerSocket) => void,
) => RehearsedServer;

let rehearsed = false;
/** Until then all plays stand still: a real session is being taken over. */
let pausedUntil = 0;

/** Carriers of plays, which pause nothing. */
class Stage extends MemoryNetwork {
  constructor() {
    super({ schedule: later });
  }
}

/** A client attaches over a carrier of that kind, and waits: what is only played is not in its way. */
export function pauseRehearsal(transport: Transport): void {
  if (!(transport instanceof Stage)) pausedUntil = now() + PAUSE_MS;
}

/** Runs something of the play in a later turn of the event loop. */
function later(run: () => void): void {
  const pauseMs = pausedUntil - now();
  if (pauseMs > 0) setTimeout(later, Math.ceil(pauseMs), run).unref();
  else setImmediate(run);
}

/** Plays once a process, from some later turn of the event loop on; the process does not wait for it. */
export function rehearseTakeOverSoon(create: CreateServer): void {
  if (rehearsed) return;
  rehearsed = true;
  // A play that fails has warmed less; what it played is nobody's session.
  setImmediate(() => {
    freshenHeap();
    void new TakeOver(create).play();
  }).unref();
}

/** Plays now. Answers whether it ended as it should: output came across all moves and deaths. */
export function rehearseTakeOver(create: CreateServer): Promise<boolean> {
  return new TakeOver(create).play();
}

class TakeOver {
  readonly #create: CreateServer;
  readonly #keys = KeyRing.generateKey();
  readonly #network = new Stage();
  readonly #members: readonly Candidate[] = ['a', 'b'].map((host) => ({ name: host, host, port: 1 }));
  readonly #servers: Map<string, RehearsedServer>;
  readonly #crypto = new NodeCrypto();
  readonly #client: ClientSession;
  readonly #driver: CarrierDriver;
  readonly #ended = Promise.withResolvers<boolean>();
  readonly #deadline = new Deadline(() => this.#end(false));
  #legs = LEGS;
  /** What the client had received when this leg began. */
  #legFrom = 0;
  #isMoving = false;
  /** Tickets of this leg. */
  #exports = 0;
  #received = 0;
  #over = false;

  constructor(create: CreateServer) {
    this.#create = create;
    this.#deadline.setReferenced(false);
    this.#servers = new Map(this.#members.map((member) => [member.name, this.#start(member)]));
    this.#client = new ClientSession(
      {
        sessionId: random(16),
        service: '',
        servers: this.#members,
        keyShare: this.#crypto.keyShare(),
        random,
        crc32,
        limits: DEFAULT_CLIENT_LIMITS,
        timers: DEFAULT_CLIENT_TIMERS,
        detectors: [],
      },
      now(),
    );
    this.#driver = new CarrierDriver(this.#client, {
      drainEvents: () => this.#drainEvents(),
      carrierError: () => this.#end(false),
    });
    this.#driver.deadline.setReferenced(false);
  }

  play(): Promise<boolean> {
    this.#deadline.set(now() + TIMEOUT_MS);
    this.#driver.settle();
    return this.#ended.promise;
  }

  #start({ name, host, port }: Candidate): RehearsedServer {
    const options = { name, keys: this.#keys, members: [...this.#members], transport: this.#network };
    const server = this.#create(options, (socket) =>
      this.#serve(socket, () => this.#servers.get(name) === server),
    );
    server.listen({ host, port }).unref();
    return server;
  }

  /** The application: it writes in every turn. Before a death it is asked in vain for a second state: all since is done again. */
  #serve(socket: ServerSocket, isAlive: () => boolean): void {
    socket.onExportState(() =>
      this.#legs[0]?.by === 'death' && this.#exports++ > 0 ? undefined : String(written),
    );
    socket.on('error', () => undefined);
    let written = Number(socket.importState() ?? 0);
    const write = (): void => {
      if (socket.destroyed || this.#over || !isAlive()) return;
      written += 1;
      if (socket.write(Buffer.alloc(WRITE_BYTES, written))) later(write);
      else socket.once('drain', write);
    };
    write();
  }

  #drainEvents(): boolean {
    let event = this.#client.pollEvent();
    const hadEvents = event !== undefined;
    for (; event !== undefined; event = this.#client.pollEvent()) {
      if (event.type === 'crypto')
        this.#client.handleCrypto(now(), event.id, this.#crypto.execute(event.request));
      else if (event.type === 'dial') this.#dial(event.dialId, event.candidate);
      else if (event.type === 'hangUp') this.#driver.hangUp(event.carrierId, event.last);
      else if (event.type === 'readable') this.#read();
      else if (event.type === 'migrated') this.#legOver();
      else if (event.type === 'migrationFailed' || event.type === 'closed') this.#end(false);
    }
    return hadEvents;
  }

  #dial(dialId: number, candidate: Candidate): void {
    this.#network.dial(candidate, { timeoutMs: DEFAULT_CLIENT_TIMERS.dialTimeoutMs }, (_error, carrier) => {
      if (carrier === undefined) {
        this.#client.handleDialFailed(now(), dialId, { code: 'ECONNREFUSED', message: 'rehearsal' });
      } else {
        const carrierId = this.#driver.takeCarrierId();
        const decoder = FrameDecoder.forCarrier('server');
        this.#driver.attach(carrierId, carrier, decoder, encodePreface(Role.Client));
        this.#client.handleConnected(now(), dialId, carrierId);
      }
      this.#driver.settle();
    });
  }

  #read(): void {
    for (let chunk = this.#client.read(); chunk !== undefined; chunk = this.#client.read()) {
      if (chunk === 'end') continue;
      this.#received += chunk.byteLength;
      this.#client.consumed(now(), chunk.byteLength);
    }
    const [leg] = this.#legs;
    const received = this.#received - this.#legFrom;
    if (leg === undefined) this.#end(received > 0);
    else if (received >= leg.writes * WRITE_BYTES && !this.#isMoving) this.#leave(leg);
  }

  #leave(leg: Leg): void {
    this.#isMoving = true;
    if (leg.by === 'move') {
      if (!this.#client.migrate(now(), { cause: Cause.Application })) this.#end(false);
      return;
    }
    const dead = this.#members.find(({ name }) => name === this.#client.serverName);
    if (dead === undefined) return;
    this.#servers.get(dead.name)?.kill();
    // Somebody has to be there for the next leg.
    this.#servers.set(dead.name, this.#start(dead));
  }

  #legOver(): void {
    this.#legs = this.#legs.slice(1);
    this.#legFrom = this.#received;
    this.#isMoving = false;
    this.#exports = 0;
  }

  #end(asItShould: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.set(undefined);
    this.#driver.stop();
    for (const server of this.#servers.values()) server.kill();
    this.#ended.resolve(asItShould);
  }
}
