/**
 * A server, sans I/O (protocol.md §10.2): its carriers, its sessions, and their hand-over to and from other servers.
 *
 * Contract: feed every event through a `handle…` method, or an application's call through its `ServerSession`; then call
 * `pollEvent` until it answers undefined, `pollTransmit` (once a tick is enough) until it answers undefined, and
 * `handleTimeout` at `pollTimeout`. Frames of a carrier for which `isBusy` answers true wait.
 */
import {
  NONCE_BYTES,
  NO_MAC,
  PROTOCOL_VERSION,
  ProtocolError,
  WireCode,
  concatBytes,
  encodeFrame,
  encodePayload,
  encodePeerFrame,
  framePayload,
  macedPart,
  toHex,
  withMac,
  type Frame,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import type { CarrierFailure, Incoming, Transmit } from './client-events.ts';
import { CryptoBook, type CryptoResult } from './crypto.ts';
import { DeadlineHeap, type DeadlineOwner } from './deadline-heap.ts';
import { Destination } from './destination.ts';
import { Origin } from './origin.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerEvent } from './server-events.ts';
import { ServerSession } from './server-session.ts';
import { ServerStreams, type SnapshotPoint } from './server-streams.ts';
import { assert } from './state-table.ts';
import { claimedSessionId } from './ticket.ts';
import { Tombstones } from './tombstones.ts';
import { Watchers } from './watchers.ts';

/** What a carrier is used for. */
type CarrierRole = 'new' | 'opening' | 'attaching' | 'session' | 'standby';

class ServerCarrier implements DeadlineOwner {
  readonly id: number;
  readonly nonce: Uint8Array;
  readonly exporter: Uint8Array;
  readonly #expired: (carrier: ServerCarrier) => void;
  role: CarrierRole = 'new';
  session: ServerSession | undefined;
  control: Uint8Array[] = [];
  nextTimeout: number | undefined;
  heapIndex: number | undefined;

  constructor(id: number, nonce: Uint8Array, exporter: Uint8Array, deadline: number, expired: (carrier: ServerCarrier) => void) {
    this.id = id;
    this.nonce = nonce;
    this.exporter = exporter;
    this.nextTimeout = deadline;
    this.#expired = expired;
  }

  handleTimeout(): void {
    this.nextTimeout = undefined;
    this.#expired(this);
  }
}

export interface NodePopulation {
  readonly sessions: number;
  readonly carriers: number;
  readonly unauthenticatedCarriers: number;
  /** Carriers that are known as writable, unwritable or waiting, whether they exist or not. */
  readonly flaggedCarriers: number;
  /** MIGRATEs that are neither accepted nor refused yet. */
  readonly attaches: number;
  /** Former servers that are told once the client confirms. */
  readonly farewells: number;
  /** Sessions frozen for a destination. */
  readonly handovers: number;
  /** Sessions of other servers that a standby watches here. */
  readonly watched: number;
  /** Questions to cryptography that are not answered yet. */
  readonly requests: number;
  /** Timers. */
  readonly deadlines: number;
  readonly tombstones: number;
}

/** RELEASE goes out after so many times `releaseDelayMs`. */
const RELEASE_TIMES = [1, 12, 80];

/** Something that is done several times, so many milliseconds from now. */
class Repeated implements DeadlineOwner {
  readonly #times: number[];
  readonly #action: () => void;
  heapIndex: number | undefined;

  constructor(now: number, delaysMs: readonly number[], action: () => void) {
    this.#times = delaysMs.map((delay) => now + delay);
    this.#action = action;
  }

  get nextTimeout(): number | undefined {
    return this.#times[0];
  }

  handleTimeout(): void {
    this.#times.shift();
    this.#action();
  }
}

export class ServerNode {
  readonly #config: ServerNodeConfig;
  readonly #events: ServerEvent[] = [];
  readonly #crypto: CryptoBook;
  readonly #carriers = new Map<number, ServerCarrier>();
  readonly #sessions = new Map<string, ServerSession>();
  readonly #tombstones: Tombstones;
  readonly #heap = new DeadlineHeap();
  /** Carriers that may have something to transmit. */
  readonly #dirty = new Set<number>();
  readonly #unwritable = new Set<number>();
  readonly #busy = new Set<number>();
  readonly #watchers: Watchers;
  readonly #origin: Origin;
  readonly #destination: Destination;
  readonly #sessionHost: ConstructorParameters<typeof ServerSession>[0];
  #servers: readonly ServerAddress[];
  #draining = false;
  #now = 0;
  #triggerCounter: number;

  constructor(config: ServerNodeConfig) {
    this.#config = config;
    this.#servers = config.servers;
    this.#crypto = new CryptoBook((event) => this.#events.push(event));
    this.#tombstones = new Tombstones(config.limits.maxTombstones);
    this.#watchers = new Watchers(config.limits.maxWatched);
    this.#triggerCounter = Math.floor(config.wallClock()) * 1000;
    this.#sessionHost = this.#makeSessionHost();
    const shared = {
      config: this.#liveConfig(),
      crypto: this.#crypto,
      tombstones: this.#tombstones,
      findSession: (id: string): ServerSession | undefined => this.#sessions.get(id),
      sendPeer: (peer: ServerAddress, bytes: Uint8Array): void => {
        this.#events.push({ type: 'peerSend', peer, bytes });
      },
    };
    const node = this;
    this.#origin = new Origin({
      ...shared,
      get now() {
        return node.#now;
      },
    });
    this.#destination = new Destination({
      ...shared,
      sessionHost: this.#sessionHost,
      get now() {
        return node.#now;
      },
      get isDraining() {
        return node.#draining;
      },
      addSession: (session, carrierId) => {
        this.#addSession(session, carrierId);
      },
      send: (carrierId, frame) => {
        this.#queue(carrierId, frame);
      },
      hangUp: (carrierId, last) => {
        const session = this.#carriers.get(carrierId)?.session;
        this.#hangUp(carrierId, last);
        session?.carrierLost(); // an in-band MIGRATE was refused on the session's own carrier
      },
      setBusy: (carrierId, busy) => {
        this.#setBusy(carrierId, busy);
      },
      authenticated: (carrierId) => {
        this.#events.push({ type: 'authenticated', carrierId });
      },
      emit: (event) => this.#events.push(event),
      arm: (owner) => {
        this.#heap.arm(owner);
      },
      disarm: (owner) => {
        this.#heap.disarm(owner);
      },
    });
  }

  /** The configuration with the list of servers as it is now. */
  #liveConfig(): ServerNodeConfig {
    const node = this;
    return {
      ...this.#config,
      get servers() {
        return node.#servers;
      },
    };
  }

  #makeSessionHost(): ConstructorParameters<typeof ServerSession>[0] {
    const node = this;
    return {
      config: this.#config,
      crypto: this.#crypto,
      get now() {
        return node.#now;
      },
      enter: (now) => {
        this.#enter(now);
      },
      emit: (event) => this.#events.push(event),
      touch: (session) => {
        if (session.carrierId !== undefined) this.#dirty.add(session.carrierId);
        this.#heap.arm(session);
      },
      setBusy: (carrierId, busy) => {
        this.#setBusy(carrierId, busy);
      },
      hangUp: (carrierId, last) => {
        this.#hangUp(carrierId, last);
      },
      confirmed: (session) => {
        this.#confirmed(session);
      },
      resumed: (session) => {
        this.#origin.forget(session.id);
      },
      freezeReady: (session) => {
        this.#origin.freezeReady(session);
      },
      ended: (session, movedTo) => {
        this.#ended(session, movedTo);
      },
    };
  }

  // --- what the operator sees ------------------------------------------------------------------------------------

  get sessions(): IterableIterator<ServerSession> {
    return this.#sessions.values();
  }
  get sessionCount(): number {
    return this.#sessions.size;
  }
  /** Sessions whose application has not let go of them. */
  get liveSessionCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (!session.isTerminal) count += 1;
    return count;
  }
  get tombstoneCount(): number {
    return this.#tombstones.size;
  }
  get carrierCount(): number {
    return this.#carriers.size;
  }
  /** How much of everything the node holds at present: what an idle node holds none of, but for tombstones. */
  get population(): NodePopulation {
    return {
      sessions: this.#sessions.size,
      carriers: this.#carriers.size,
      unauthenticatedCarriers: this.#unauthenticatedCarriers,
      flaggedCarriers: this.#dirty.size + this.#unwritable.size + this.#busy.size,
      attaches: this.#destination.size,
      farewells: this.#destination.farewellCount,
      handovers: this.#origin.size,
      watched: this.#watchers.all.size,
      requests: this.#crypto.size,
      deadlines: this.#heap.size,
      tombstones: this.#tombstones.size,
    };
  }
  get isDraining(): boolean {
    return this.#draining;
  }
  get servers(): readonly ServerAddress[] {
    return this.#servers;
  }

  session(id: string): ServerSession | undefined {
    return this.#sessions.get(id);
  }

  /** The servers clients may be sent to changed: every client is told. */
  setServers(now: number, servers: readonly ServerAddress[]): void {
    this.#enter(now);
    this.#servers = servers;
    for (const session of this.#sessions.values()) if (session.state === 'active') this.#sendSupport(session);
  }

  /** The cluster seals with another key from now on: live sessions get tickets, and trigger keys, made with it. */
  handleKeyRotation(now: number): void {
    this.#enter(now);
    for (const session of this.#sessions.values()) {
      session.refreshTicket();
      if (session.state === 'active') this.#sendSupport(session);
    }
  }

  /** While draining, OPEN and MIGRATE are refused with "try elsewhere". */
  setDraining(now: number, draining: boolean): void {
    this.#enter(now);
    this.#draining = draining;
  }

  /** Asks the session's client, in-band, to migrate. Answers false when no client is attached. */
  migrate(now: number, session: ServerSession, to: ServerAddress | undefined): boolean {
    this.#enter(now);
    if (session.state !== 'active' || session.carrierId === undefined) return false;
    this.#sendTrigger(session.carrierId, session.sessionId, session.epoch, to);
    return true;
  }

  /** The same for a session of another server, over a standby that watches it. Answers false when none does. */
  trigger(now: number, sessionId: Uint8Array, to: ServerAddress): boolean {
    this.#enter(now);
    const watcher = this.#watchers.find(toHex(sessionId));
    if (!watcher) return false;
    this.#sendTrigger(watcher.carrierId, sessionId, watcher.epoch, to);
    return true;
  }

  /** Sessions of other servers whose clients keep a standby here. */
  get watched(): ReadonlyMap<string, { readonly carrierId: number; readonly epoch: number }> {
    return this.#watchers.all;
  }

  closeStandbys(now: number): void {
    this.#enter(now);
    for (const carrier of [...this.#carriers.values()]) if (carrier.role === 'standby' || carrier.role === 'new') this.#hangUp(carrier.id, []);
  }

  #sendTrigger(carrierId: number, sessionId: Uint8Array, epoch: number, to: ServerAddress | undefined): void {
    this.#triggerCounter += 1;
    const target = to ?? { name: '', host: '', port: 0 };
    const payload = encodePayload('trigger', { sessionId, epoch, counter: this.#triggerCounter, reason: 0, from: this.#config.name, ...target, mac: NO_MAC });
    this.#crypto.ask({ op: 'triggerMac', sessionId, data: [macedPart(payload)] }, ({ mac }) => {
      const frame = framePayload('trigger', withMac(payload, mac));
      const carrier = this.#carriers.get(carrierId);
      if (carrier?.session) carrier.session.queue(frame);
      else this.#queue(carrierId, frame);
    });
  }

  // --- carriers --------------------------------------------------------------------------------------------------

  #enter(now: number): void {
    if (now > this.#now) this.#now = now;
  }

  /** A carrier whose preface names the client role. */
  handleCarrier(now: number, carrierId: number, meta: { exporter?: Uint8Array | undefined } = {}): void {
    this.#enter(now);
    const { limits, timers, name, random } = this.#config;
    const nonce = random(NONCE_BYTES);
    const carrier = new ServerCarrier(carrierId, nonce, meta.exporter ?? new Uint8Array(0), this.#now + timers.authenticateTimeoutMs, (expired) => {
      this.#refuse(expired, new ProtocolError(WireCode.Timeout, 'no OPEN, MIGRATE or STANDBY in time'));
    });
    this.#carriers.set(carrierId, carrier);
    this.#unauthenticatedCarriers += 1;
    if (this.#unauthenticatedCarriers > limits.maxUnauthenticatedCarriers) {
      this.#refuse(carrier, new ProtocolError(WireCode.Busy, 'too many carriers are being set up', true));
      return;
    }
    this.#heap.arm(carrier);
    this.#queue(carrierId, encodeFrame('challenge', { version: PROTOCOL_VERSION, nonce, serverName: name }));
  }
  #unauthenticatedCarriers = 0;

  #setRole(carrier: ServerCarrier, role: CarrierRole): void {
    if (carrier.role === 'new' && role !== 'new') this.#unauthenticatedCarriers -= 1;
    carrier.role = role;
    if (role !== 'session' && role !== 'standby') return;
    carrier.nextTimeout = undefined;
    this.#heap.disarm(carrier);
  }

  handleFrame(now: number, carrierId: number, frame: Incoming): void {
    this.#enter(now);
    const carrier = this.#carriers.get(carrierId);
    if (!carrier) return;
    try {
      this.#dispatch(carrier, frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.handleCarrierError(now, carrierId, error);
    }
  }

  #dispatch(carrier: ServerCarrier, frame: Incoming): void {
    const { session } = carrier;
    if (frame.frame === 'migrate') {
      if (carrier.role === 'standby') this.#watchers.dropCarrier(carrier.id);
      else if (carrier.role !== 'new' && carrier.role !== 'session') throw new ProtocolError(WireCode.Protocol, 'a second MIGRATE on one carrier');
      if (session && toHex(claimedSessionId(frame.head)) !== session.id) throw new ProtocolError(WireCode.Protocol, 'MIGRATE of another session on a session\'s carrier');
      if (!session) this.#setRole(carrier, 'attaching');
      this.#destination.handleMigrate(carrier.id, carrier.nonce, frame);
      return;
    }
    if (session) {
      session.handleFrame(frame);
      return;
    }
    switch (carrier.role) {
      case 'new':
        if (frame.frame === 'open') this.#handleOpen(carrier, frame);
        else if (frame.frame === 'standby') this.#handleStandby(carrier, frame);
        else throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before OPEN, MIGRATE or STANDBY`);
        return;
      case 'attaching':
        if (frame.frame === 'body') this.#destination.handleBody(carrier.id, frame);
        else throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} before ACCEPT`);
        return;
      case 'standby':
        if (frame.frame === 'watch') this.#watchers.update(carrier.id, frame);
        else if (frame.frame === 'ping') this.#queue(carrier.id, encodeFrame('pong', { token: frame.token }));
        else throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} on a standby`);
        return;
      default:
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} while opening`);
    }
  }

  handleCarrierLost(now: number, carrierId: number, failure?: CarrierFailure): void {
    void failure;
    this.#enter(now);
    const carrier = this.#forget(carrierId);
    carrier?.session?.carrierLost();
  }

  /** The decoder found a fault, or a frame was wrong: the session this carrier attaches ends, or the unfinished attach. */
  handleCarrierError(now: number, carrierId: number, error: ProtocolError): void {
    this.#enter(now);
    const carrier = this.#carriers.get(carrierId);
    if (!carrier) return;
    if (carrier.session) carrier.session.fault(error);
    else this.#refuse(carrier, error);
  }

  setWritable(carrierId: number, writable: boolean): void {
    if (writable) {
      if (this.#unwritable.delete(carrierId)) this.#dirty.add(carrierId);
    } else this.#unwritable.add(carrierId);
  }

  isBusy(carrierId: number): boolean {
    return this.#busy.has(carrierId);
  }

  #setBusy(carrierId: number, busy: boolean): void {
    if (busy) this.#busy.add(carrierId);
    else this.#busy.delete(carrierId);
  }

  #forget(carrierId: number): ServerCarrier | undefined {
    const carrier = this.#carriers.get(carrierId);
    if (!carrier) return undefined;
    this.#carriers.delete(carrierId);
    this.#dirty.delete(carrierId);
    this.#unwritable.delete(carrierId);
    this.#busy.delete(carrierId);
    this.#watchers.dropCarrier(carrierId);
    if (carrier.role === 'new') this.#unauthenticatedCarriers -= 1;
    carrier.nextTimeout = undefined;
    this.#heap.disarm(carrier);
    this.#destination.handleCarrierLost(carrierId);
    return carrier;
  }

  #hangUp(carrierId: number, last: readonly Uint8Array[]): void {
    const carrier = this.#forget(carrierId);
    if (carrier) this.#events.push({ type: 'hangUp', carrierId, last: [...carrier.control, ...last] });
  }

  #refuse(carrier: ServerCarrier, error: ProtocolError): void {
    this.#events.push({ type: 'refused', carrierId: carrier.id, failure: { code: error.code, message: error.message } });
    this.#hangUp(carrier.id, [encodeFrame('refuse', { epoch: 0, code: error.wireCode, tryElsewhere: error.tryElsewhere, message: error.message })]);
  }

  #queue(carrierId: number, frame: Uint8Array): void {
    const carrier = this.#carriers.get(carrierId);
    if (!carrier) return;
    carrier.control.push(frame);
    this.#dirty.add(carrierId);
  }

  // --- new sessions ----------------------------------------------------------------------------------------------

  #handleOpen(carrier: ServerCarrier, open: Frame<'open'>): void {
    const { limits, service } = this.#config;
    if (open.service !== service) throw new ProtocolError(WireCode.WrongService, `this server serves ${service}`, true);
    if (this.#draining) throw new ProtocolError(WireCode.Draining, 'this server is draining', true);
    if (this.#sessions.size >= limits.maxSessions) throw new ProtocolError(WireCode.Busy, 'this server has all the sessions it takes', true);
    const id = toHex(open.sessionId);
    const existing = this.#sessions.get(id);
    if (existing?.isEstablished || this.#tombstones.get(id, this.#now)) throw new ProtocolError(WireCode.Unauthenticated, 'a session of that id exists');
    existing?.abandon({ code: 'ERR_GODWIT_ABANDONED', message: 'the client opened the session anew' });
    this.#setRole(carrier, 'opening');
    this.#busy.add(carrier.id);
    const keyShare = this.#config.keyShare();
    const nonce = this.#config.random(NONCE_BYTES);
    const salt = concatBytes([open.nonce, nonce, carrier.exporter]);
    this.#crypto.ask({ op: 'agree', ourShare: keyShare, peerShare: open.keyShare, salt, sessionId: open.sessionId }, ({ secret }) => {
      if (this.#carriers.get(carrier.id) !== carrier) return;
      if (!secret) this.#refuse(carrier, new ProtocolError(WireCode.Unauthenticated, 'no valid key share'));
      else this.#opened(carrier, open, { secret, keyShare, nonce });
    });
  }

  #opened(carrier: ServerCarrier, open: Frame<'open'>, agreed: { secret: Uint8Array; keyShare: Uint8Array; nonce: Uint8Array }): void {
    const config = this.#config;
    const point: SnapshotPoint = { epoch: 1, k: 0, input: 0, output: 0, inputFinished: false, outputFinished: false, state: new Uint8Array(0), schema: config.schema };
    const streams = ServerStreams.fresh(config.limits, config.crc32);
    streams.send.rewind(0, open.credit);
    const session = new ServerSession(this.#sessionHost, {
      sessionId: open.sessionId,
      secret: agreed.secret,
      epoch: 1,
      streams,
      point,
      covered: { epoch: 1, k: 0, input: 0, output: 0 },
      state: 'active',
      retainLimitBytes: open.retainLimitBytes,
      maxBodyBytes: open.maxBodyBytes,
      terminal: false,
      lost: undefined,
      service: open.service,
    });
    this.#crypto.ask({ op: 'seal', head: session.ticketHead(point), body: point.state }, ({ head }) => {
      if (this.#carriers.get(carrier.id) !== carrier) return;
      const ticket = encodeFrame('snapshot', { epoch: 1, k: 0, input: 0, output: 0, headBytes: head.byteLength, totalBytes: head.byteLength, offset: 0, bytes: head });
      this.#support(session, { keyShare: agreed.keyShare, nonce: agreed.nonce, open: open.payload }, (support) => {
        if (this.#carriers.get(carrier.id) !== carrier) return;
        this.#busy.delete(carrier.id);
        this.#addSession(session, carrier.id);
        session.attach(carrier.id, undefined);
        session.queue(ticket);
        session.queue(support);
        this.#events.push({ type: 'session', session, restart: undefined, cause: undefined });
      });
    });
  }

  #support(session: ServerSession, fresh: { keyShare: Uint8Array; nonce: Uint8Array; open: Uint8Array } | undefined, then: (frame: Uint8Array) => void): void {
    this.#crypto.ask({ op: 'maskTriggerKey', sessionId: session.sessionId, secret: session.secret }, ({ keyId, masked }) => {
      const payload = encodePayload('support', {
        epoch: session.epoch,
        delivery: this.#config.delivery,
        keyShare: fresh?.keyShare ?? new Uint8Array(0),
        nonce: fresh?.nonce ?? new Uint8Array(0),
        triggerKeyId: keyId,
        triggerKey: masked,
        credit: session.streams.receive.credit,
        servers: this.#servers.slice(0, 16),
        mac: NO_MAC,
      });
      const data = [...(fresh ? [fresh.open] : []), macedPart(payload)];
      this.#crypto.ask({ op: 'mac', secret: session.secret, label: 'support', data }, ({ mac }) => {
        then(framePayload('support', withMac(payload, mac)));
      });
    });
  }

  #sendSupport(session: ServerSession): void {
    this.#support(session, undefined, (frame) => {
      session.queue(frame);
    });
  }

  #addSession(session: ServerSession, carrierId: number): void {
    const carrier = this.#carriers.get(carrierId);
    assert(carrier !== undefined, 'a session without its carrier');
    this.#setRole(carrier, 'session');
    carrier.session = session;
    this.#events.push({ type: 'authenticated', carrierId });
    this.#sessions.set(session.id, session);
    this.#dirty.add(carrierId);
    this.#heap.arm(session);
  }

  #confirmed(session: ServerSession): void {
    this.#tombstones.delete(session.id);
    const farewell = this.#destination.takeFarewell(session.id);
    if (farewell?.kind === 'confirmed') {
      const bytes = encodePeerFrame('confirmed', { sessionId: session.sessionId, epoch: farewell.epoch });
      this.#events.push({ type: 'peerSend', peer: farewell.peer, bytes });
    } else if (farewell) {
      const bytes = encodePeerFrame('release', { sessionId: session.sessionId, nonce: farewell.nonce, migrate: farewell.migrate });
      const send = (): void => {
        this.#events.push({ type: 'peerSend', peer: farewell.peer, bytes });
      };
      this.#heap.arm(new Repeated(this.#now, RELEASE_TIMES.map((times) => times * this.#config.timers.releaseDelayMs), send));
    }
    this.#sendSupport(session);
  }

  /** `movedTo` undefined: ended for good. Empty: gone from here without a verdict (its client may restore it elsewhere). */
  #ended(session: ServerSession, movedTo: string | undefined): void {
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    this.#origin.forget(session.id);
    this.#destination.forget(session.id);
    this.#heap.disarm(session);
    if (movedTo === undefined) {
      this.#tombstones.set(session.id, { kind: 'ended', epoch: session.epoch, until: this.#now + this.#config.timers.ticketLifetimeMs });
    }
  }

  // --- standbys --------------------------------------------------------------------------------------------------

  #handleStandby(carrier: ServerCarrier, standby: Frame<'standby'>): void {
    if (standby.service !== this.#config.service) throw new ProtocolError(WireCode.WrongService, `this server serves ${this.#config.service}`, true);
    this.#setRole(carrier, 'opening');
    this.#busy.add(carrier.id);
    const refuse = (code: WireCode): void => {
      this.#refuse(carrier, new ProtocolError(code, 'STANDBY without a valid proof'));
    };
    this.#crypto.ask({ op: 'open', head: standby.head }, (result) => {
      if (this.#carriers.get(carrier.id) !== carrier) return;
      if ('refused' in result) {
        refuse(result.refused);
        return;
      }
      const data = [new TextEncoder().encode(this.#config.name), carrier.nonce, macedPart(standby.payload)];
      this.#crypto.ask({ op: 'verify', secret: result.head.secret, label: 'standby', data, mac: standby.mac }, ({ ok }) => {
        if (this.#carriers.get(carrier.id) !== carrier) return;
        this.#busy.delete(carrier.id);
        if (!ok) {
          refuse(WireCode.Unauthenticated);
          return;
        }
        this.#setRole(carrier, 'standby');
        this.#events.push({ type: 'authenticated', carrierId: carrier.id });
      });
    });
  }

  // --- peers -----------------------------------------------------------------------------------------------------

  /** A message from a server whose name the link has authenticated. */
  handlePeerFrame(now: number, peer: ServerAddress, frame: PeerFrame): void {
    this.#enter(now);
    switch (frame.frame) {
      case 'pull':
        this.#origin.handlePull(peer, frame);
        return;
      case 'confirmed':
        this.#origin.handleConfirmed(peer, frame);
        return;
      case 'abort':
        this.#origin.handleAbort(peer, frame);
        return;
      case 'release':
        this.#origin.handleRelease(peer, frame);
        return;
      case 'peerPing':
        this.#events.push({ type: 'peerSend', peer, bytes: encodePeerFrame('peerPong', { token: frame.token, load: 0 }) });
        return;
      case 'peerPong':
        return;
      default:
        this.#destination.handlePeerFrame(peer, frame);
    }
  }

  handlePeerLost(now: number, peerName: string): void {
    this.#enter(now);
    this.#destination.handlePeerLost(peerName);
  }

  // --- in and out ------------------------------------------------------------------------------------------------

  handleCrypto(now: number, id: number, result: CryptoResult): void {
    this.#enter(now);
    this.#crypto.answer(id, result);
  }

  handleTimeout(now: number): void {
    this.#enter(now);
    this.#heap.run(this.#now);
  }

  pollTimeout(): number | undefined {
    return this.#heap.earliest;
  }

  pollEvent(): ServerEvent | undefined {
    return this.#events.shift();
  }

  pollTransmit(now: number): Transmit | undefined {
    this.#enter(now);
    for (const carrierId of this.#dirty) {
      if (this.#unwritable.has(carrierId)) {
        this.#dirty.delete(carrierId);
        continue;
      }
      const carrier = this.#carriers.get(carrierId);
      const parts = carrier ? [...carrier.control.splice(0), ...(carrier.session?.transmit() ?? [])] : [];
      if (parts.length > 0) return { carrierId, parts };
      this.#dirty.delete(carrierId);
    }
    return undefined;
  }
}
