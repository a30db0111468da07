/** One session of a server node, as its socket uses it. */
import type { Candidate } from '../session/client-events.ts';
import type { ServerSession } from '../session/index.ts';
import type { Carrier } from '../carriers/carrier.ts';
import type { PortListener, SessionPort } from '../socket/port.ts';
import { now } from '../socket/timers.ts';
import type { NodeDriver } from './node-driver.ts';

export class ServerSessionPort implements SessionPort {
  readonly #session: ServerSession;
  readonly #driver: NodeDriver;
  readonly listener: PortListener;
  #referenced = true;
  #noDelay: boolean | undefined;
  #keepAlive: readonly [enable: boolean, initialDelayMs: number] | undefined;

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
    this.#driver.call(() => this.#session.write(now(), bytes));
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
  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    this.#applyTo(this.#driver.carrierOf(this.#session));
  }
  setNoDelay(noDelay: boolean): void {
    this.#noDelay = noDelay;
    this.#driver.carrierOf(this.#session)?.setNoDelay(noDelay);
  }
  setKeepAlive(enable: boolean, initialDelayMs: number): void {
    this.#keepAlive = [enable, initialDelayMs];
    this.#driver.carrierOf(this.#session)?.setKeepAlive(enable, initialDelayMs);
  }

  /** The session came to another carrier: it gets the options that the application has set. */
  attached(carrier: Carrier | undefined): void {
    if (this.#noDelay !== undefined) carrier?.setNoDelay(this.#noDelay);
    if (this.#keepAlive !== undefined) carrier?.setKeepAlive(...this.#keepAlive);
    this.#applyTo(carrier);
  }

  #applyTo(carrier: Carrier | undefined): void {
    if (this.#referenced) carrier?.ref();
    else carrier?.unref();
  }
}
