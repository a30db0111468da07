/**
 * The death of a server played through in memory, once a process, before the first real one (architecture.md, "Rehearsal").
 *
 * A server that takes a session over is often one that had nothing to do: none of its code is compiled, from the socket
 * down, and the application's work since the last ticket, which is to be done again, takes many times what it took at the
 * server that died. So two servers with keys of their own serve a session that writes in every turn of the event loop; the
 * first one dies, and the second one does that work again. All of it in turns of the event loop, among those of others.
 */
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
import { FrameDecoder, Role, encodePreface } from '../wire/index.ts';
import type { ServerOptions } from './server-options.ts';
import type { ServerSocket } from './server-socket.ts';

/** Writes of the application until its server dies, and in all. */
const WRITES_BEFORE = 400;
const WRITES = 450;
const WRITE_BYTES = 64;

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

/** Plays once a process, from some later turn of the event loop on; the process does not wait for it. */
export function rehearseTakeOverSoon(create: CreateServer): void {
  if (rehearsed) return;
  rehearsed = true;
  // A play that fails has warmed less; what it played is nobody's session.
  setImmediate(() => void new TakeOver(create).play()).unref();
}

/** Plays now. Answers whether it ended as it should: all of the output came, across the death of a server. */
export function rehearseTakeOver(create: CreateServer): Promise<boolean> {
  return new TakeOver(create).play();
}

class TakeOver {
  readonly #create: CreateServer;
  readonly #keys = KeyRing.generateKey();
  readonly #network = new MemoryNetwork();
  readonly #members: readonly Candidate[] = ['a', 'b'].map((host) => ({ name: host, host, port: 1 }));
  readonly #servers: readonly RehearsedServer[];
  readonly #crypto = new NodeCrypto();
  readonly #client: ClientSession;
  readonly #driver: CarrierDriver;
  readonly #ended = Promise.withResolvers<boolean>();
  readonly #deadline = new Deadline(() => this.#end(false));
  #exports = 0;
  #received = 0;
  #migrated = false;
  #over = false;

  constructor(create: CreateServer) {
    this.#create = create;
    this.#deadline.setReferenced(false);
    this.#servers = this.#members.map((member) => this.#start(member));
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
    const server = this.#create(options, (socket) => this.#serve(socket));
    server.listen({ host, port }).unref();
    return server;
  }

  /** The application: it writes in every turn, and is asked for its state until it has once exported it. */
  #serve(socket: ServerSocket): void {
    socket.onExportState(() => (this.#exports++ === 0 ? String(written) : undefined));
    socket.on('error', () => undefined);
    let written = Number(socket.importState() ?? 0);
    const write = (): void => {
      if (socket.destroyed || this.#over || written === WRITES) return;
      written += 1;
      if (socket.write(new Uint8Array(WRITE_BYTES))) setImmediate(write);
      else socket.once('drain', write);
    };
    write();
  }

  #drainEvents(): void {
    for (let event = this.#client.pollEvent(); event !== undefined; event = this.#client.pollEvent()) {
      if (event.type === 'crypto')
        this.#client.handleCrypto(now(), event.id, this.#crypto.execute(event.request));
      else if (event.type === 'dial') this.#dial(event.dialId, event.candidate);
      else if (event.type === 'hangUp') this.#driver.hangUp(event.carrierId, event.last);
      else if (event.type === 'readable') this.#read();
      else if (event.type === 'migrated') this.#migrated = true;
      else if (event.type === 'closed') this.#end(false);
    }
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
    if (this.#received === WRITES * WRITE_BYTES) this.#end(this.#migrated);
    else if (this.#received >= WRITES_BEFORE * WRITE_BYTES && !this.#migrated) this.#servers[0]?.kill();
  }

  #end(asItShould: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.set(undefined);
    this.#driver.stop();
    for (const server of this.#servers) server.kill();
    this.#ended.resolve(asItShould);
  }
}
