/**
 * A server, sans I/O (protocol.md §10.2): its carriers, its sessions, and their hand-over to and from other servers.
 *
 * Contract: feed every event through a `handle…` method, or an application's call through its `ServerSession`; then call
 * `pollEvent` until it answers undefined, `pollTransmit` (once a tick is enough) until it answers undefined, and
 * `handleTimeout` at `pollTimeout`. Frames of a carrier for which `isBusy` answers true wait.
 */
import {
  NONCE_BYTES,
  PROTOCOL_VERSION,
  ProtocolError,
  WireCode,
  encodeFrame,
  encodeRefusal,
  toHex,
  type PeerFrame,
  type ServerAddress,
} from '../wire/index.ts';
import type { CarrierFailure, Incoming, Transmit } from './client-events.ts';
import { CryptoBook, type CryptoResult } from './crypto.ts';
import { DeadlineHeap, Repeated } from './deadline-heap.ts';
import { Destination } from './destination.ts';
import { Entrance } from './entrance.ts';
import { ServerCarrier, ServerCarriers, misplaced, tooLate, type CarrierMeta } from './server-carrier.ts';
import type { NodePopulation } from './node-population.ts';
import { MemoryAccount } from './memory-account.ts';
import { Origin } from './origin.ts';
import { Places } from './places.ts';
import { dispatchPeerFrame } from './peer-dispatch.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerEvent } from './server-events.ts';
import type { ServerSession } from './server-session.ts';
import { assert } from './state-table.ts';
import { claimedSessionId } from './ticket.ts';
import { TicketRefresh } from './ticket-refresh.ts';
import { SnapshotSlots } from './snapshot-slots.ts';
import { StandbyCarriers } from './standby-carriers.ts';
import { Roster } from './roster.ts';
import { Tombstones } from './tombstones.ts';
import { TouchedSessions } from './touched-sessions.ts';
import { Triggers } from './triggers.ts';

export class ServerNode {
  /** Those of its sessions; whoever else is served takes his from the same. */
  readonly places: Places;
  readonly #config: ServerNodeConfig;
  /** What changes while the node runs, and its parts look at. */
  readonly #live: { now: number; draining: boolean; servers: readonly ServerAddress[] };
  readonly #events: ServerEvent[] = [];
  readonly #crypto: CryptoBook;
  readonly #carriers: ServerCarriers;
  readonly #sessions: Roster<string, ServerSession>;
  readonly #memory = new MemoryAccount();
  readonly #touched: TouchedSessions;
  readonly #tombstones: Tombstones;
  readonly #heap = new DeadlineHeap();
  readonly #standbys: StandbyCarriers;
  readonly #triggers: Triggers;
  readonly #origin: Origin;
  readonly #destination: Destination;
  readonly #entrance: Entrance;
  readonly #ticketRefresh: TicketRefresh;
  readonly #sessionHost: ConstructorParameters<typeof ServerSession>[0];

  constructor(config: ServerNodeConfig) {
    this.#config = config;
    this.places = Places.ofSessions(config.limits);
    this.#live = { now: 0, draining: false, servers: config.servers };
    this.#crypto = new CryptoBook((event) => this.#events.push(event));
    this.#sessions = new Roster(config.hashSeed);
    this.#tombstones = new Tombstones(config.limits.maxTombstones, config.hashSeed);
    this.#carriers = new ServerCarriers(this.#heap, config.limits);
    this.#touched = new TouchedSessions(this.#memory, this.#carriers, this.#heap);
    this.#triggers = new Triggers(config, this.#crypto, this.#carriers);
    this.#sessionHost = this.#makeSessionHost();
    this.#ticketRefresh = new TicketRefresh(this.#live, (session) => this.#entrance.renew(session));
    const live = this.#live;
    const shared = {
      config: this.#liveConfig(),
      crypto: this.#crypto,
      tombstones: this.#tombstones,
      findSession: (id: string): ServerSession | undefined => this.#sessions.get(id),
      sendPeer: this.#sendPeer,
      emit: (event: ServerEvent) => this.#events.push(event),
      setBusy: (carrierId: number, busy: boolean) => this.#carriers.setBusy(carrierId, busy),
    };
    this.#standbys = new StandbyCarriers({
      config,
      carriers: this.#carriers,
      get now() {
        return live.now;
      },
      hangUp: (carrierId) => this.#hangUp(carrierId, []),
    });
    this.#origin = new Origin({
      ...shared,
      get now() {
        return live.now;
      },
    });
    this.#entrance = new Entrance({
      ...shared,
      places: this.places,
      sessionHost: this.#sessionHost,
      get now() {
        return live.now;
      },
      get isDraining() {
        return live.draining;
      },
      addSession: (session, carrierId) => this.#addSession(session, carrierId),
      isCurrent: (carrier) => this.#carriers.get(carrier.id) === carrier,
      countOpen: (carrier) => this.#carriers.countOpen(carrier, live.now),
      setOpening: (carrier) => this.#carriers.setRole(carrier, 'opening'),
      standbys: this.#standbys,
      refuse: (carrier, error) => this.#refuse(carrier, error),
    });
    this.#destination = new Destination({
      ...shared,
      sessionHost: this.#sessionHost,
      get now() {
        return live.now;
      },
      get isDraining() {
        return live.draining;
      },
      addSession: (session, carrierId) => this.#addSession(session, carrierId),
      checkPlace: (carrierId, promised) =>
        this.places.check(this.#carriers.get(carrierId)?.network, promised),
      send: (carrierId, frame) => this.#carriers.queue(carrierId, frame),
      hangUp: (carrierId, last) => {
        const session = this.#carriers.get(carrierId)?.session;
        this.#hangUp(carrierId, last);
        session?.carrierLost(); // an in-band MIGRATE was refused on the session's own carrier
      },
      authenticated: (carrierId) => this.#events.push({ type: 'authenticated', carrierId }),
      arm: (owner) => this.#heap.arm(owner),
      disarm: (owner) => this.#heap.disarm(owner),
    });
  }

  readonly #sendPeer = (peer: ServerAddress, bytes: Uint8Array): void => {
    this.#events.push({ type: 'peerSend', peer, bytes });
  };

  /** The configuration with the list of servers as it is now. */
  #liveConfig(): ServerNodeConfig {
    const live = this.#live;
    return {
      ...this.#config,
      get servers() {
        return live.servers;
      },
    };
  }

  #makeSessionHost(): ConstructorParameters<typeof ServerSession>[0] {
    const live = this.#live;
    return {
      config: this.#config,
      crypto: this.#crypto,
      snapshotSlots: new SnapshotSlots(this.#config.limits.snapshotsPerSecond),
      get now() {
        return live.now;
      },
      enter: (now) => this.#enter(now),
      emit: (event) => this.#events.push(event),
      touch: (session) => this.#touched.add(session),
      setBusy: (carrierId, busy) => this.#carriers.setBusy(carrierId, busy),
      isWritable: (carrierId) => this.#carriers.get(carrierId)?.isWritable === true,
      hangUp: (carrierId, last) => this.#hangUp(carrierId, last),
      confirmed: (session) => this.#confirmed(session),
      resumed: (session) => this.#origin.forget(session.id),
      freezeReady: (session) => this.#origin.freezeReady(session),
      ended: (session, movedTo) => this.#ended(session, movedTo),
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
      places: this.places.size,
      heldBytes: this.heldBytes,
      carriers: this.#carriers.size,
      unauthenticatedCarriers: this.#carriers.unauthenticated,
      flaggedCarriers: this.#carriers.flagged,
      attaches: this.#destination.size,
      farewells: this.#destination.farewells.size,
      handovers: this.#origin.size,
      watched: this.#standbys.watchers.all.size,
      requests: this.#crypto.size,
      deadlines: this.#heap.size,
      tombstones: this.#tombstones.size,
    };
  }
  /** What all sessions hold, in bytes. */
  get heldBytes(): number {
    this.#touched.settle();
    return this.#memory.totalBytes;
  }
  get isDraining(): boolean {
    return this.#live.draining;
  }
  get servers(): readonly ServerAddress[] {
    return this.#live.servers;
  }

  session(id: string): ServerSession | undefined {
    return this.#sessions.get(id);
  }

  /** The servers clients may be sent to changed: every client is told. */
  setServers(now: number, servers: readonly ServerAddress[]): void {
    this.#enter(now);
    this.#live.servers = servers;
    for (const session of this.#sessions.values())
      if (session.state === 'active') this.#entrance.sendSupport(session);
  }

  /** The cluster seals with another key from now on: live sessions get tickets, and trigger keys, made with it. */
  handleKeyRotation(now: number): void {
    this.#enter(now);
    this.#ticketRefresh.begin(this.#sessions.values());
    this.#heap.arm(this.#ticketRefresh);
  }

  /** While draining, OPEN and MIGRATE are refused with "try elsewhere". */
  setDraining(now: number, draining: boolean): void {
    this.#enter(now);
    this.#live.draining = draining;
  }

  /** As if it had all the sessions it takes: OPEN, and MIGRATE of sessions from elsewhere, are refused with `Busy`. */
  setFull(now: number, full: boolean): void {
    this.#enter(now);
    this.places.isClosed = full;
  }

  /** Asks the session's client, in-band, to migrate. Answers false when no client is attached. */
  migrate(now: number, session: ServerSession, to: ServerAddress | undefined): boolean {
    this.#enter(now);
    if (session.state !== 'active' || session.carrierId === undefined) return false;
    this.#triggers.send(session.carrierId, session.sessionId, session.epoch, to);
    return true;
  }

  /** The same for a session of another server, over a standby that watches it. Answers false when none does. */
  trigger(now: number, sessionId: Uint8Array, to: ServerAddress): boolean {
    this.#enter(now);
    const watcher = this.#standbys.watchers.find(toHex(sessionId));
    if (!watcher) return false;
    this.#triggers.send(watcher.carrierId, sessionId, watcher.epoch, to);
    return true;
  }

  /** Sessions of other servers whose clients keep a standby here. */
  get watched(): ReadonlyMap<string, { readonly carrierId: number; readonly epoch: number }> {
    return this.#standbys.watchers.all;
  }

  closeStandbys(now: number): void {
    this.#enter(now);
    for (const carrier of this.#carriers.list())
      if (carrier.role === 'standby' || carrier.role === 'new') this.#hangUp(carrier.id, []);
  }

  // --- carriers --------------------------------------------------------------------------------------------------

  #enter(now: number): void {
    if (now > this.#live.now) this.#live.now = now;
  }

  /** A carrier whose preface names the client role. */
  handleCarrier(now: number, carrierId: number, meta: CarrierMeta = {}): void {
    this.#enter(now);
    const { limits, timers, name, random } = this.#config;
    const nonce = random(NONCE_BYTES);
    const carrier = new ServerCarrier(
      carrierId,
      nonce,
      meta,
      this.#live.now + timers.authenticateTimeoutMs,
      (expired) => {
        if (expired.role === 'standby') this.#standbys.handleSilence(expired);
        else this.#refuse(expired, tooLate());
      },
    );
    this.#carriers.add(carrier);
    if (this.#carriers.unauthenticated > limits.maxUnauthenticatedCarriers) {
      this.#refuse(carrier, new ProtocolError(WireCode.Busy, 'too many carriers are being set up', true));
      return;
    }
    this.#heap.arm(carrier);
    this.#carriers.queue(
      carrierId,
      encodeFrame('challenge', { version: PROTOCOL_VERSION, nonce, serverName: name }),
    );
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
      if (carrier.role === 'standby') this.#standbys.leave(carrier);
      else if (carrier.role !== 'new' && carrier.role !== 'session')
        throw new ProtocolError(WireCode.Protocol, 'a second MIGRATE on one carrier');
      if (session && toHex(claimedSessionId(frame.head)) !== session.id)
        throw new ProtocolError(WireCode.Protocol, "MIGRATE of another session on a session's carrier");
      if (!session) {
        this.#carriers.countMigrate(carrier, this.#live.now);
        this.#carriers.setRole(carrier, 'attaching');
      }
      this.#destination.handleMigrate(carrier.id, carrier.nonce, frame);
      return;
    }
    if (session) {
      session.handleFrame(frame);
      return;
    }
    switch (carrier.role) {
      case 'new':
        if (frame.frame === 'open') this.#entrance.handleOpen(carrier, frame);
        else if (frame.frame === 'standby') this.#entrance.handleStandby(carrier, frame);
        else throw misplaced(frame, 'before OPEN, MIGRATE or STANDBY');
        return;
      case 'attaching':
        if (frame.frame === 'body') this.#destination.handleBody(carrier.id, frame);
        else throw misplaced(frame, 'before ACCEPT');
        return;
      case 'standby':
        this.#standbys.handleFrame(carrier, frame);
        return;
      default:
        throw misplaced(frame, 'while opening');
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
    this.#carriers.setWritable(carrierId, writable);
  }

  isBusy(carrierId: number): boolean {
    return this.#carriers.isBusy(carrierId);
  }

  #forget(carrierId: number): ServerCarrier | undefined {
    const carrier = this.#carriers.remove(carrierId);
    if (!carrier) return undefined;
    this.#standbys.forget(carrier);
    this.#destination.handleCarrierLost(carrierId);
    return carrier;
  }

  #hangUp(carrierId: number, last: readonly Uint8Array[]): void {
    const carrier = this.#forget(carrierId);
    if (carrier) this.#events.push({ type: 'hangUp', carrierId, last: [...carrier.control, ...last] });
  }

  #refuse(carrier: ServerCarrier, error: ProtocolError): void {
    this.#events.push({
      type: 'refused',
      carrierId: carrier.id,
      failure: { code: error.code, message: error.message },
    });
    this.#hangUp(carrier.id, [encodeRefusal(0, error)]);
  }

  // --- sessions ------------------------------------------------------------------------------------------------

  #addSession(session: ServerSession, carrierId: number): void {
    const carrier = this.#carriers.get(carrierId);
    assert(carrier !== undefined, 'a session without its carrier');
    this.#carriers.setRole(carrier, 'session');
    carrier.session = session;
    this.#events.push({ type: 'authenticated', carrierId });
    this.#sessions.set(session.id, session);
    this.#memory.enter(session);
    this.places.take(session, carrier.network);
    this.#carriers.touch(carrierId);
    this.#heap.arm(session);
  }

  #confirmed(session: ServerSession): void {
    this.#tombstones.delete(session.id);
    this.#destination.farewells.say(session, this.#live.now, {
      sendPeer: this.#sendPeer,
      arm: (owner) => this.#heap.arm(owner),
    });
    this.#entrance.sendSupport(session);
  }

  /** `movedTo` undefined: ended for good. Empty: gone from here without a verdict (its client may restore it elsewhere). */
  #ended(session: ServerSession, movedTo: string | undefined): void {
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    this.#origin.forget(session.id);
    this.#destination.farewells.forget(session.id);
    this.#heap.disarm(session);
    this.#memory.leave(session);
    this.places.leave(session);
    this.#ticketRefresh.forget(session);
    if (movedTo !== undefined) return;
    session.fence?.end((again) => {
      this.#heap.arm(new Repeated(this.#live.now, [this.#config.timers.fenceTimeoutMs], again));
    });
    const { epoch, isEstablished: established, secret } = session;
    const until = this.#live.now + this.#config.timers.ticketLifetimeMs;
    this.#tombstones.set(session.id, { kind: 'ended', secret, epoch, established, until });
  }

  // --- peers -----------------------------------------------------------------------------------------------------

  /** A message from a server whose name the link has authenticated. */
  handlePeerFrame(now: number, peer: ServerAddress, frame: PeerFrame): void {
    this.#enter(now);
    const parts = { origin: this.#origin, destination: this.#destination, sendPeer: this.#sendPeer };
    dispatchPeerFrame(parts, peer, frame);
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
    this.#touched.settle();
    this.#heap.run(this.#live.now);
  }

  pollTimeout(): number | undefined {
    this.#touched.settle();
    return this.#heap.earliest;
  }

  pollEvent(): ServerEvent | undefined {
    return this.#events.shift();
  }

  pollTransmit(now: number): Transmit | undefined {
    this.#enter(now);
    this.#touched.settle();
    return this.#carriers.transmit();
  }
}
