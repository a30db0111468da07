/** Runs one client session: dials its servers, moves bytes and events between its core, its carriers and its socket. */
import type { TLSSocket } from 'node:tls';
import { unixPathOf } from '../carriers/address.ts';
import type { Carrier, Dial, DialOptions, Transport } from '../carriers/carrier.ts';
import { crc32, random } from '../crypto/index.ts';
import { errorFromFailure } from '../errors.ts';
import { clientCrypto } from './client-crypto.ts';
import {
  ClientSession,
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  defaultDetectors,
  type Candidate,
  type Failure,
  type ClientEvent,
  type ClientSessionConfig,
  type ClientTimers,
} from '../session/index.ts';
import { CarrierDriver, type DriverHooks } from '../socket/carrier-driver.ts';
import { CarrierSettings, type CarrierOptions } from '../socket/carrier-settings.ts';
import { readServer, type SessionRequest } from '../socket/connect-options.ts';
import { addressesOf, type PortListener, type SessionPort } from '../socket/port.ts';
import { rehearseSoon } from '../socket/rehearsal.ts';
import { now } from '../socket/timers.ts';
import {
  Cause,
  FrameDecoder,
  Role,
  SESSION_ID_BYTES,
  encodePreface,
  toHex,
  type Frame,
  type ProtocolError,
} from '../wire/index.ts';
import { transportOf } from './transports.ts';
import { readDialOptions, standbyDialing, type StandbyDialing } from './dialing.ts';
import { pulsesOf } from './pulses.ts';
import { standbyHubOf, type HubMember, type StandbyHub } from './standby-hub.ts';

/** After the first connection of a process, so that it is not in the way of its first bytes, in milliseconds. */
const REHEARSAL_DELAY_MS = 50;
/** Default and most standby carriers of one session. */
const STANDBYS_DEFAULT = 2;
const STANDBYS_MAX = 8;

type OwnConfig = Pick<
  ClientSessionConfig,
  'sessionId' | 'service' | 'servers' | 'timers' | 'detectors' | 'hasStandby' | 'pulses'
>;

/** No literal, since it lives as long as its session, and knows it (session/roster.ts). */
class SessionConfig implements ClientSessionConfig {
  readonly sessionId: Uint8Array;
  readonly service: string;
  readonly servers: ClientSessionConfig['servers'];
  readonly keyShare = clientCrypto.keyShare();
  readonly random = random;
  readonly crc32 = crc32;
  readonly limits = DEFAULT_CLIENT_LIMITS;
  readonly timers: ClientTimers;
  readonly detectors: ClientSessionConfig['detectors'];
  readonly hasStandby: ClientSessionConfig['hasStandby'];
  readonly pulses: ClientSessionConfig['pulses'];

  constructor(own: OwnConfig) {
    this.sessionId = own.sessionId;
    this.service = own.service;
    this.servers = own.servers;
    this.timers = own.timers;
    this.detectors = own.detectors;
    this.hasStandby = own.hasStandby;
    this.pulses = own.pulses;
  }
}

export class ClientDriver implements SessionPort, HubMember, DriverHooks {
  readonly sessionId: string;
  readonly service: string;
  readonly #session: ClientSession;
  readonly #driver: CarrierDriver;
  readonly #listener: PortListener;
  readonly #transport: Transport;
  readonly #dialOptions: DialOptions;
  /** None as a rule, and then no map. */
  #dials: Map<number, Dial> | undefined;
  #dialing: StandbyDialing | undefined;
  readonly #hub: StandbyHub | undefined;
  readonly #maxStandbys: number;
  #connected = false;
  #over = false;
  readonly #settings = new CarrierSettings();
  #tls: TLSSocket | undefined;
  #servers = '';

  constructor({ options, servers }: SessionRequest, listener: PortListener) {
    const sessionId = random(SESSION_ID_BYTES);
    const timers = timersOf(options.giveUpTimeoutMs);
    this.sessionId = toHex(sessionId);
    this.service = options.service ?? '';
    this.#listener = listener;
    this.#transport = transportOf(options);
    this.#dialOptions = readDialOptions(options, {
      timeoutMs: timers.dialTimeoutMs,
      unixSockets: servers.some(({ host }) => unixPathOf(host) !== undefined),
    });
    this.#maxStandbys = Math.min(Math.max(options.maxStandbys ?? STANDBYS_DEFAULT, 0), STANDBYS_MAX);
    this.#hub =
      options.standby === false || this.#maxStandbys === 0 ? undefined : standbyHubOf(this.#transport);
    this.#session = new ClientSession(
      new SessionConfig({
        sessionId,
        service: this.service,
        servers,
        timers,
        detectors: (options.detectors ?? defaultDetectors)(),
        hasStandby: (server) => this.#hub?.isReady(this, server) ?? false,
        pulses: pulsesOf(this.#transport, options.localAddress),
      }),
      now(),
    );
    this.#driver = new CarrierDriver(this.#session, this);
    this.carriersChanged();
    this.#driver.schedule();
  }

  // --- SessionPort ----------------------------------------------------------------------------------------------

  readonly isFrozen = false;
  get epoch(): number {
    return this.#session.epoch;
  }
  get isProtected(): boolean {
    return this.#session.isProtected;
  }
  get currentServer(): Candidate | undefined {
    return this.#session.server;
  }
  get wantsWrite(): boolean {
    return this.#session.wantsWrite;
  }
  get writeRoom(): number {
    return Number.MAX_SAFE_INTEGER;
  }
  write(bytes: Uint8Array): void {
    this.#session.write(now(), bytes);
    this.#driver.written(this.#session.bytesUnsent);
  }
  end(): void {
    this.#session.end(now());
    this.#driver.schedule();
  }
  read(): Uint8Array | 'end' | undefined {
    return this.#session.read();
  }
  consumed(bytes: number): void {
    this.#session.consumed(now(), bytes);
    this.#driver.schedule();
  }
  finConsumed(): void {
    // The client's core needs no word of it.
  }
  destroy(): void {
    this.#session.destroy(now());
    this.#driver.schedule();
  }
  reset(): void {
    this.#session.reset(now());
    this.#driver.schedule();
  }
  migrate(to: string | Candidate | undefined): Failure | undefined {
    const target = to === undefined ? undefined : this.#findServer(to);
    const started = this.#session.migrate(now(), { to: target, cause: Cause.Application });
    this.#driver.schedule();
    return started ? undefined : { code: 'ERR_GODWIT_BUSY', message: 'the session is moving already' };
  }
  isWanted(to: string | Candidate, name: string): boolean {
    const target = this.#findServer(to);
    const { server } = this.#session;
    return target.name === name || (target.host === server?.host && target.port === server.port);
  }
  configure(options: CarrierOptions): void {
    this.#settings.change(options, this.#driver.carriers);
    this.carriersChanged();
  }
  get typeOfService(): number {
    return this.#firstCarrier?.typeOfService ?? this.#settings.typeOfService;
  }
  get tls(): TLSSocket | undefined {
    const { carrierId } = this.#session;
    if (carrierId !== undefined) this.#tls = this.#driver.carrier(carrierId)?.tls ?? this.#tls;
    return this.#tls;
  }

  // --- HubMember ------------------------------------------------------------------------------------------------

  get id(): Uint8Array {
    return this.#session.sessionId;
  }
  get dialing(): StandbyDialing {
    return (this.#dialing ??= standbyDialing(this.#dialOptions));
  }
  standbyProof(
    challenge: { serverName: string; nonce: Uint8Array },
    then: (frame: Uint8Array | undefined) => void,
  ): void {
    this.#session.standbyProof(challenge, then);
    this.#driver.schedule();
  }
  handleTrigger(frame: Frame<'trigger'>): void {
    this.#session.handleTrigger(now(), frame);
    this.#driver.settle();
  }

  // --- DriverHooks ----------------------------------------------------------------------------------------------

  drainEvents(): boolean {
    let event = this.#session.pollEvent();
    const hadEvents = event !== undefined;
    for (; event !== undefined; event = this.#session.pollEvent()) this.#handleEvent(event);
    return hadEvents;
  }

  carrierError(carrierId: number, error: ProtocolError): void {
    this.#session.handleCarrierError(now(), carrierId, error);
  }

  /** A carrier keeps the process alive by itself; without one, waiting for the next one does. */
  carriersChanged(): void {
    this.#driver.deadline.setReferenced(this.#settings.isReferenced && this.#driver.carrierCount === 0);
  }

  // --- Events ---------------------------------------------------------------------------------------------------

  #handleEvent(event: ClientEvent): void {
    switch (event.type) {
      case 'crypto':
        this.#session.handleCrypto(now(), event.id, clientCrypto.execute(event.request));
        return;
      case 'dial':
        this.#dial(event.dialId, event.candidate);
        return;
      case 'cancelDial':
        this.#dials?.get(event.dialId)?.cancel();
        this.#dialDone(event.dialId);
        return;
      case 'hangUp':
        this.#driver.hangUp(event.carrierId, event.last);
        return;
      case 'connected':
        this.#connected = true;
        this.#authenticateCarriers();
        this.#updateStandbys();
        if (this.#session.servers.length > 1) rehearseSoon(REHEARSAL_DELAY_MS);
        this.#listener.connected(addressesOf(this.#firstCarrier));
        return;
      case 'readable':
        this.#listener.readable();
        return;
      case 'drain':
        this.#listener.drained();
        return;
      case 'migrating':
        this.#listener.migrating(event.cause, event.from, event.to);
        return;
      case 'migrated':
        this.#authenticateCarriers();
        this.#updateStandbys();
        this.#listener.migrated(event.report);
        return;
      case 'flowing':
        return;
      case 'migrationFailed':
        this.#listener.migrationFailed(event.failure);
        return;
      case 'unprotected':
        this.#listener.unprotected(event.reason);
        return;
      case 'protected':
        this.#listener.protected();
        return;
      case 'servers':
        this.#serversChanged(event.servers);
        return;
      case 'closed':
        this.#closed(event.failure);
        return;
    }
  }

  #dial(dialId: number, candidate: Candidate): void {
    const standby = this.#connected ? this.#hub?.take(this, candidate) : undefined;
    if (standby !== undefined) {
      const carrierId = this.#driver.takeCarrierId();
      this.#settings.applyTo(standby.carrier);
      this.#driver.attach(carrierId, standby.carrier, standby.decoder);
      this.#session.handleConnected(now(), dialId, carrierId, standby.challenge, standby.carrier.exporter);
      return;
    }
    const dial = this.#transport.dial(candidate, this.#optionsOfDial, (error, carrier) => {
      this.#dialDone(dialId);
      if (carrier === undefined) {
        this.#session.handleDialFailed(
          now(),
          dialId,
          error ?? { code: 'ECONNREFUSED', message: 'no carrier' },
        );
      } else {
        const carrierId = this.#driver.takeCarrierId();
        this.#settings.applyTo(carrier);
        // OPEN goes out in the same write.
        this.#driver.attach(
          carrierId,
          carrier,
          FrameDecoder.forCarrier('server'),
          encodePreface(Role.Client),
        );
        this.#session.handleConnected(now(), dialId, carrierId, undefined, carrier.exporter);
      }
      this.#driver.settle();
    });
    (this.#dials ??= new Map()).set(dialId, dial);
  }

  #dialDone(dialId: number): void {
    this.#dials?.delete(dialId);
    if (this.#dials?.size === 0) this.#dials = undefined;
  }

  /** Until the session is connected the application hears of each step, as with net. */
  get #optionsOfDial(): DialOptions {
    if (this.#connected) return this.#dialOptions;
    return { ...this.#dialOptions, onStep: (step) => this.#listener.dialStep(step) };
  }

  get #firstCarrier(): Carrier | undefined {
    const [carrier] = this.#driver.carriers;
    return carrier;
  }

  /** Its server has proved that it holds the session's secret, so larger frames are welcome. */
  #authenticateCarriers(): void {
    this.#driver.authenticateAll();
  }

  #serversChanged(servers: readonly Candidate[]): void {
    const text = servers
      .map(({ name, host, port }) => `${name} ${host}:${port}`)
      .sort()
      .join();
    if (text === this.#servers) return;
    this.#servers = text;
    this.#updateStandbys();
    if (this.#connected) this.#listener.servers(servers);
  }

  #updateStandbys(): void {
    if (!this.#connected || this.#over) return;
    const current = this.#session.server;
    const others = this.#session.servers.filter(
      ({ host, port }) => host !== current?.host || port !== current.port,
    );
    this.#hub?.update(this, others.slice(0, this.#maxStandbys));
  }

  #findServer(to: string | Candidate): Candidate {
    const servers = this.#session.servers;
    const named = servers.find(
      ({ name }) => name !== '' && (typeof to === 'string' ? name === to : name === to.name),
    );
    if (named !== undefined) return named;
    const { host, port } = readServer(to);
    return servers.find((server) => server.host === host && server.port === port) ?? { name: '', host, port };
  }

  #closed(failure: { code: string; message: string } | undefined): void {
    this.#over = true;
    this.#hub?.leave(this);
    for (const dial of this.#dials?.values() ?? []) dial.cancel();
    this.#dials = undefined;
    this.#driver.deadline.set(undefined);
    const error = failure && errorFromFailure(failure, this.#connected ? 'read' : 'connect');
    this.#listener.closed(error);
  }
}

function timersOf(giveUpTimeoutMs: number | undefined): ClientTimers {
  if (giveUpTimeoutMs === undefined) return DEFAULT_CLIENT_TIMERS;
  return { ...DEFAULT_CLIENT_TIMERS, giveUpTimeoutMs, giveUpSingleServerMs: giveUpTimeoutMs };
}
