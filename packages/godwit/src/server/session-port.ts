/** One session of a server node, as its socket uses it. */
import type { TLSSocket } from 'node:tls';
import type { Candidate } from '../session/client-events.ts';
import type { ServerSession } from '../session/index.ts';
import type { Carrier } from '../carriers/carrier.ts';
import { CarrierSettings, type CarrierOptions } from '../socket/carrier-settings.ts';
import type { PortListener, SessionPort } from '../socket/port.ts';
import { now } from '../socket/timers.ts';
import type { NodeDriver } from './node-driver.ts';

export class ServerSessionPort implements SessionPort {
  readonly #session: ServerSession;
  readonly #driver: NodeDriver;
  readonly listener: PortListener;
  readonly #settings = new CarrierSettings();
  #tls: TLSSocket | undefined;

  constructor(session: ServerSession, driver: NodeDriver, listener: PortListener) {
    this.#session = session;
    this.#driver = driver;
    this.listener = listener;
  }

  get sessionId(): string {
    return this.#session.id;
  }
  get epoch(): number {
    return this.#session.epoch;
  }
  get isProtected(): boolean {
    return this.#session.isProtected;
  }
  get isFrozen(): boolean {
    return this.#session.isFrozen;
  }
  get currentServer(): Candidate {
    return this.#driver.address;
  }
  get wantsWrite(): boolean {
    return this.#session.wantsWrite;
  }
  get writeRoom(): number {
    return this.#session.writeRoom;
  }
  write(bytes: Uint8Array): void {
    this.#driver.write(this.#session, bytes);
  }
  end(): void {
    this.#driver.call(() => this.#session.end(now()));
  }
  read(): Uint8Array | 'end' | undefined {
    return this.#session.read();
  }
  consumed(bytes: number): void {
    this.#driver.call(() => this.#session.consumed(now(), bytes));
  }
  finConsumed(): void {
    this.#driver.call(() => this.#session.finConsumed(now()));
  }
  destroy(): void {
    this.#driver.call(() => this.#session.destroy(now()));
  }
  reset(): void {
    this.#driver.call(() => this.#session.reset(now()));
  }
  migrate(to: string | Candidate | undefined): undefined {
    this.#driver.migrate(this.#session, to);
  }
  isWanted(to: string | Candidate, name: string): boolean {
    return this.#driver.isCalled(to, name);
  }
  configure(options: CarrierOptions): void {
    const carrier = this.#driver.carrierOf(this.#session);
    this.#settings.change(options, carrier === undefined ? [] : [carrier]);
  }
  get typeOfService(): number {
    return this.#driver.carrierOf(this.#session)?.typeOfService ?? this.#settings.typeOfService;
  }
  get tls(): TLSSocket | undefined {
    this.#tls = this.#driver.carrierOf(this.#session)?.tls ?? this.#tls;
    return this.#tls;
  }

  /** The session came to another carrier: it gets the options that the application has set. */
  attached(carrier: Carrier | undefined): void {
    if (carrier === undefined) return;
    this.#settings.applyTo(carrier);
    this.#tls = carrier.tls;
  }
}
