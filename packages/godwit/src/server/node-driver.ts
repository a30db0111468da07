/** Runs one server node: carriers and peers on one side, the sockets of its sessions on the other. */
import { randomInt } from 'node:crypto';
import { formatAddress, networkOf } from '../carriers/address.ts';
import type { Carrier } from '../carriers/carrier.ts';
import { NodeCrypto, crc32, random, type KeyRing } from '../crypto/index.ts';
import { GodwitError, errorFromFailure } from '../errors.ts';
import type { CryptoEvent } from '../session/crypto.ts';
import type { Candidate, Failure } from '../session/client-events.ts';
import { Crowd, type Place } from '../session/roster.ts';
import {
  ServerNode,
  type FenceConfig,
  type Places,
  type RestartPoint,
  type ServerEvent,
  type ServerLimits,
  type ServerNodeConfig,
  type ServerSession,
  type ServerTimers,
} from '../session/index.ts';
import { CarrierDriver } from '../socket/carrier-driver.ts';
import { addressesOf, type PortListener, type SessionPort } from '../socket/port.ts';
import { Deadline, now } from '../socket/timers.ts';
import { FrameDecoder, ProtocolError, WireCode, type PeerFrame, type ServerAddress } from '../wire/index.ts';
import type { Authorization } from './authorization.ts';
import type { FenceClient } from './fence-client.ts';
import type { ServerSocket, ServerSocketSource } from './server-socket.ts';
import { ServerSessionPort } from './session-port.ts';
import { SlowPeers, frameInput, sessionOutput } from './slow-peers.ts';

/** A move that the application or an operator asked for fails when nothing came of it after this time, in milliseconds. */
const MOVE_TIMEOUT_MS = 15_000;

export interface NodeSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly delivery: ServerNodeConfig['delivery'];
  readonly schema: number;
  readonly keys: KeyRing;
  readonly limits: ServerLimits;
  readonly timers: ServerTimers;
  readonly canRestore: ((schema: number) => boolean) | undefined;
  readonly authorization: Authorization;
  /** What the core needs to know of the fence, and who asks it; undefined without one. */
  readonly fencing: { readonly config: FenceConfig; readonly client: FenceClient } | undefined;
}

export interface NodeHooks {
  /** Makes the socket of a session that starts here. */
  createSocket(source: ServerSocketSource): ServerSocket;
  /** The socket is complete: the application may have it. */
  announce(socket: ServerSocket): void;
  refused(failure: Failure, carrier: Carrier | undefined): void;
  /** A client proved itself, to open a session here or to bring one: it waits. */
  attaching(): void;
  /** What the carrier was for is settled, or it is closed; may be told again. */
  settled(carrier: Carrier): void;
  peerSend(peer: ServerAddress, bytes: Uint8Array): void;
  /** What peers get of this tick goes out now. */
  peerFlush(): void;
}

/** No literal, since it lives as long as its session, and knows it (session/roster.ts). */
class Entry {
  place: Place<Entry> | undefined;
  readonly port: ServerSessionPort;
  readonly socket: ServerSocket;
  /** The move that is asked for: since when, and where to; undefined leaves that to the client. */
  move:
    { readonly startedAt: number; readonly deadline: Deadline; target: Candidate | undefined } | undefined;

  constructor(port: ServerSessionPort, socket: ServerSocket) {
    this.port = port;
    this.socket = socket;
  }
}

export class NodeDriver {
  readonly address: Candidate;
  readonly #settings: NodeSettings;
  readonly #hooks: NodeHooks;
  readonly #node: ServerNode;
  readonly #driver: CarrierDriver;
  readonly #crypto: NodeCrypto;
  #members: readonly ServerAddress[] = [];
  /** Each is the `owner` of its session. */
  readonly #entries = new Crowd<Entry>();
  readonly #slowPeers: SlowPeers<ServerSession>;

  constructor(settings: NodeSettings, hooks: NodeHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.address = { name: settings.name, host: settings.host, port: settings.port };
    this.#crypto = new NodeCrypto({ ring: settings.keys });
    this.#node = new ServerNode({
      ...settings,
      servers: [this.address],
      authorizes: settings.authorization.isNeeded,
      fence: settings.fencing?.config,
      keyShare: () => this.#crypto.keyShare(),
      random,
      hashSeed: randomInt(2 ** 32),
      crc32,
      // tidy-allow: expiry is read by other machines
      wallClock: () => Date.now(),
    });
    this.#driver = new CarrierDriver(this.#node, {
      drainEvents: () => {
        let event = this.#node.pollEvent();
        const hadEvents = event !== undefined;
        for (; event !== undefined; event = this.#node.pollEvent()) this.#handleEvent(event);
        return hadEvents;
      },
      carrierError: (carrierId, error) => this.#node.handleCarrierError(now(), carrierId, error),
      // The destination waits for the state; the client, which is told that it is frozen, still reads what came before.
      transmitting: () => hooks.peerFlush(),
      carrierClosed: (carrier) => hooks.settled(carrier),
    });
    this.#slowPeers = new SlowPeers(settings, {
      peers: () => this.#node.sessions,
      outputOf: sessionOutput,
      inputOf: ({ carrierId }) =>
        frameInput(carrierId, carrierId === undefined ? undefined : this.#driver.unfinishedFrame(carrierId)),
      evict: ({ carrierId }, error) => {
        if (carrierId === undefined) return;
        this.#node.handleCarrierError(now(), carrierId, error);
        this.#driver.settle();
      },
    });
  }

  /** Sessions with a socket here. */
  get sockets(): Iterable<ServerSocket> {
    return [...this.#entries].map(({ socket }) => socket);
  }

  get places(): Places {
    return this.#node.places;
  }

  get sessionCount(): number {
    return this.#entries.size;
  }

  get isDraining(): boolean {
    return this.#node.isDraining;
  }

  /** What all sessions hold, in bytes. */
  get heldBytes(): number {
    return this.#node.heldBytes;
  }

  get tombstones(): number {
    return this.#node.tombstoneCount;
  }

  get carrierCount(): number {
    return this.#driver.carrierCount;
  }

  /** An accepted carrier whose preface says that it is a client's; `behind` came in behind it. */
  acceptClient(carrier: Carrier, behind: Uint8Array): void {
    const carrierId = this.#driver.takeCarrierId();
    const handlers = this.#driver.attach(carrierId, carrier, FrameDecoder.forCarrier('client'));
    const { exporter, remoteAddress } = carrier;
    const network = remoteAddress === undefined ? undefined : networkOf(remoteAddress);
    this.#node.handleCarrier(now(), carrierId, { exporter, network });
    if (behind.byteLength > 0) handlers.onData(behind);
    else this.#driver.schedule();
  }

  /** A call into the node, from the application or from outside. */
  call(action: () => void): void {
    action();
    this.#driver.schedule();
  }

  write(session: ServerSession, bytes: Uint8Array): void {
    if (session.write(now(), bytes)) this.#driver.written(session.bytesUnsent);
  }

  carrierOf(session: ServerSession): Carrier | undefined {
    return session.carrierId === undefined ? undefined : this.#driver.carrier(session.carrierId);
  }

  // --- Moving ---------------------------------------------------------------------------------------------------

  /** Asks the client to move. The outcome is told to the session's listener. */
  migrate(session: ServerSession, to: string | Candidate | undefined): void {
    const entry = entryOf(session);
    if (entry === undefined) return;
    const target = to === undefined ? undefined : this.findServer(to);
    if (entry.move === undefined) {
      const deadline = new Deadline(() => this.#moveFailed(entry, 'the client did not move in time'));
      entry.move = { startedAt: now(), deadline, target };
      deadline.set(now() + MOVE_TIMEOUT_MS);
    }
    entry.move.target = target;
    this.#node.migrate(now(), session, target);
    this.#driver.schedule();
  }

  /** Over a standby that watches the session, wherever it lives. False when there is none. */
  trigger(sessionId: Uint8Array, to: string | Candidate): boolean {
    const sent = this.#node.trigger(now(), sessionId, this.findServer(to));
    this.#driver.schedule();
    return sent;
  }

  /** Whether `to` means the server of that name. Of one that is no member only the name is known: it is believed. */
  isCalled(to: string | Candidate, name: string): boolean {
    const member = this.#members.find((server) => server.name === name);
    if (typeof to === 'string') return to === name || (member !== undefined && formatAddress(member) === to);
    return to.name === name || !member || (member.host === to.host && member.port === to.port);
  }

  findServer(to: string | Candidate): Candidate {
    const matches = (server: Candidate): boolean =>
      typeof to === 'string'
        ? server.name === to || formatAddress(server) === to
        : server.name === to.name || (server.host === to.host && server.port === to.port);
    const found = [this.address, ...this.#members].find(matches);
    if (found !== undefined) return found;
    if (typeof to !== 'string' && to.host !== '') return to;
    throw new GodwitError(
      'ERR_GODWIT_NO_SERVER',
      `no member is called "${String(typeof to === 'string' ? to : to.name)}"`,
    );
  }

  #moveFailed(entry: Entry, message: string): void {
    this.#endMove(entry);
    entry.port.listener.migrationFailed({ code: 'ERR_GODWIT_TIMEOUT', message });
  }

  #endMove(entry: Entry): number {
    const { move } = entry;
    entry.move = undefined;
    move?.deadline.set(undefined);
    return move === undefined ? 0 : now() - move.startedAt;
  }

  // --- Cluster --------------------------------------------------------------------------------------------------

  /** The other servers of the cluster, as they are now. */
  setMembers(members: readonly ServerAddress[]): void {
    this.#members = members;
    this.#node.setServers(now(), [this.address, ...members]);
    this.#driver.schedule();
  }
  get members(): readonly ServerAddress[] {
    return this.#members;
  }
  /** The ring seals with another key, or opens with fewer: live sessions, idle ones too, get fresh tickets. */
  keysChanged(): void {
    this.#node.handleKeyRotation(now());
    this.#driver.schedule();
  }
  setDraining(draining: boolean): void {
    this.#node.setDraining(now(), draining);
    this.#driver.schedule();
  }
  setFull(full: boolean): void {
    this.#node.setFull(now(), full);
  }
  /** Ends a session for want of memory. Where there are other servers, its client goes on there from its ticket. */
  giveUp(socket: ServerSocket): void {
    const session = socket.sessionHere;
    if (session === undefined || entryOf(session) === undefined) return;
    const message = 'the server uses more memory than it may';
    session.giveUp(now(), new ProtocolError(WireCode.Overloaded, message), this.#members.length > 0);
    this.#driver.settle();
  }
  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void {
    this.#node.handlePeerFrame(now(), peer, frame);
    this.#driver.settle();
  }
  handlePeerLost(name: string): void {
    this.#node.handlePeerLost(now(), name);
    // Not at once: it may be the application that has just revoked a key.
    this.#driver.schedule();
  }
  closeStandbys(): void {
    this.#node.closeStandbys(now());
    this.#driver.settle();
  }
  stop(): void {
    this.#slowPeers.stop();
    this.#driver.stop();
  }

  // --- Events ---------------------------------------------------------------------------------------------------

  #handleEvent(event: ServerEvent): void {
    switch (event.type) {
      case 'crypto':
        this.#answer(event);
        return;
      case 'authenticated':
        this.#driver.authenticated(event.carrierId);
        if (event.isStandby === true) this.#settled(event.carrierId);
        else this.#hooks.attaching();
        return;
      case 'confirmed': {
        this.#settled(event.session.carrierId);
        // A move that was asked for while no client was attached: only now somebody hears of it.
        const move = entryOf(event.session)?.move;
        if (move !== undefined) this.#node.migrate(now(), event.session, move.target);
        return;
      }
      case 'hangUp':
        this.#driver.hangUp(event.carrierId, event.last);
        return;
      case 'peerSend':
        this.#hooks.peerSend(event.peer, event.bytes);
        return;
      case 'refused':
        this.#hooks.refused(event.failure, this.#driver.carrier(event.carrierId));
        return;
      case 'session':
        // From a ticket the application first makes again what the client has, so ACCEPT does not wait for that. Else, as SUPPORT,
        // it leaves in one write with what the application says at once.
        if (event.restart?.source === 'ticket') this.#driver.sendNow();
        if (event.restart === undefined) this.#settled(event.session.carrierId);
        this.#begin(event.session, event.restart);
        return;
      default: {
        const entry = entryOf(event.session);
        if (entry !== undefined) this.#handleSessionEvent(entry, event);
      }
    }
  }

  #settled(carrierId: number | undefined): void {
    const carrier = carrierId === undefined ? undefined : this.#driver.carrier(carrierId);
    if (carrier !== undefined) this.#hooks.settled(carrier);
  }

  #answer({ id, request }: CryptoEvent): void {
    if (request.op === 'fence') {
      this.#settings.fencing?.client.ask(request.question, (answer) => {
        this.#node.handleCrypto(now(), id, answer);
        this.#driver.settle();
      });
      return;
    }
    if (request.op !== 'authorize') {
      this.#node.handleCrypto(now(), id, this.#crypto.execute(request));
      return;
    }
    let isLate = false;
    this.#settings.authorization.decide(request, this.#driver.carrier(request.carrierId), (verdict) => {
      this.#node.handleCrypto(now(), id, verdict);
      if (isLate) this.#driver.settle();
    });
    isLate = true;
  }

  #handleSessionEvent(entry: Entry, event: Extract<ServerEvent, { readonly session: ServerSession }>): void {
    const { port, socket } = entry;
    const { listener } = port;
    switch (event.type) {
      case 'readable':
        listener.readable();
        return;
      case 'drain':
        listener.drained();
        return;
      case 'exportDue':
        socket.exportDue(event.reason, event.deadline);
        this.#driver.postpone();
        return;
      case 'thawed':
        socket.handOverEnded();
        if (entry.move !== undefined) this.#moveFailed(entry, 'the client took the session back');
        listener.thawed();
        return;
      case 'attached':
        port.attached(this.#driver.carrier(event.carrierId));
        return;
      case 'unprotected':
        listener.unprotected(event.reason);
        return;
      case 'protected':
        listener.protected();
        return;
      case 'unfenced':
        socket.emit('unfenced', event.reason);
        return;
      case 'fenced':
        socket.emit('fenced');
        return;
      case 'moved':
        this.#moved(entry, event.session, event.to);
        return;
      case 'closed': {
        this.#endMove(entry);
        forget(entry, event.session);
        listener.closed(event.failure && errorFromFailure(event.failure, 'read'));
        return;
      }
      default:
    }
  }

  #begin(session: ServerSession, restart: RestartPoint | undefined): void {
    let port: ServerSessionPort | undefined;
    const socket = this.#hooks.createSocket({
      session,
      restart,
      schema: this.#settings.schema,
      addresses: addressesOf(this.carrierOf(session)),
      bind: (listener: PortListener): SessionPort => {
        port = new ServerSessionPort(session, this, listener);
        return port;
      },
      wake: () => this.#driver.schedule(),
    });
    if (port === undefined)
      throw new GodwitError('ERR_GODWIT_INTERNAL', 'a socket that does not bind its session');
    const entry = new Entry(port, socket);
    entry.place = this.#entries.add(entry);
    session.owner = entry;
    this.#slowPeers.watch();
    try {
      this.#hooks.announce(socket);
    } catch (error) {
      // The client must not wait for an application that never started; the error is the application's own.
      session.reset(now(), WireCode.Internal, 'the server application failed as it took the session');
      socket.destroy();
      this.#driver.schedule();
      throw error;
    }
  }

  #moved(entry: Entry, session: ServerSession, to: string): void {
    const elapsedMs = this.#endMove(entry);
    forget(entry, session);
    try {
      entry.port.listener.migrated({
        cause: 'origin',
        from: this.address.name,
        to,
        source: 'origin',
        epoch: session.epoch,
        attempts: 1,
        phases: { detect: 0, connect: 0, attach: elapsedMs, firstByte: undefined },
        blackoutMs: undefined,
      });
    } finally {
      entry.socket.movedAway(to);
    }
  }
}

function entryOf(session: ServerSession): Entry | undefined {
  return session.owner as Entry | undefined;
}

function forget(entry: Entry, session: ServerSession): void {
  session.owner = undefined;
  entry.place?.leave();
}
