/**
 * Carriers in memory: a pair of ends, and a network of named addresses to dial and listen at. Bytes are copied and
 * delivered later, in order, as a kernel would; either end, or the network, can cut a carrier short.
 */
import {
  ENDED_BY_PEER,
  ENDED_HERE,
  WRITE_HIGH_WATER_BYTES,
  type Carrier,
  type CarrierClosed,
  type CarrierHandlers,
  type Dial,
  type DialAddress,
  type DialDone,
  type DialOptions,
  type KeepAlive,
  type ListenHandlers,
  type ListenTarget,
  type Listener,
  type Transport,
} from './carrier.ts';

/** Runs a task later. The default, `setImmediate`, lets timers and sockets have their turn in between. */
export type Schedule = (task: () => void) => void;

const CUT: CarrierClosed = { code: 'ECONNRESET', message: 'the carrier was cut', reset: true };

/** One end of a pair. */
export class MemoryCarrier implements Carrier {
  readonly exporter: Uint8Array | undefined;
  readonly tls = undefined;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteFamily = 'memory';
  readonly #schedule: Schedule;
  #peer!: MemoryCarrier;
  #handlers: CarrierHandlers | undefined;
  /** Bytes on their way to this end. */
  #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #peerAwaitsDrain = false;
  /** What this end will see behind the last incoming byte. */
  #incomingEnd: CarrierClosed | undefined;
  #closed: CarrierClosed | undefined;
  #paused = false;
  #scheduled = false;
  #reported = false;
  /** Tells the network that made it. */
  onceClosed: (() => void) | undefined;

  constructor(local: DialAddress, remote: DialAddress, schedule: Schedule, exporter?: Uint8Array) {
    this.localAddress = local.host;
    this.localPort = local.port;
    this.remoteAddress = remote.host;
    this.remotePort = remote.port;
    this.#schedule = schedule;
    this.exporter = exporter;
  }

  static join(a: MemoryCarrier, b: MemoryCarrier): void {
    a.#peer = b;
    b.#peer = a;
  }

  readonly lendsChunks = false;
  get bytesQueued(): number {
    return this.#peer.#incomingBytes;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  start(handlers: CarrierHandlers): void {
    this.#handlers = handlers;
    this.#wake();
  }

  write(parts: readonly Uint8Array[]): boolean {
    const peer = this.#peer;
    if (this.#closed !== undefined || peer.#closed !== undefined) return true;
    for (const part of parts) {
      if (part.byteLength === 0) continue;
      // A copy, and a Buffer as sockets give them: what is rehearsed with other arrays, V8 compiles anew.
      peer.#incoming.push(Buffer.from(part));
      peer.#incomingBytes += part.byteLength;
    }
    peer.#wake();
    peer.#peerAwaitsDrain ||= peer.#incomingBytes >= WRITE_HIGH_WATER_BYTES;
    return !peer.#peerAwaitsDrain;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  end(): void {
    this.#close(ENDED_HERE);
    this.#peer.#incomingEnd ??= ENDED_BY_PEER;
    this.#peer.#wake();
  }

  /** Bytes already written still arrive, as they do from a kernel. */
  destroy(): void {
    this.end();
  }

  reset(): void {
    this.#close(ENDED_HERE);
    this.#peer.#close(CUT);
  }

  /** Cuts the carrier from outside: both ends see a reset, and bytes on their way are lost. */
  cut(): void {
    this.#close(CUT);
    this.#peer.#close(CUT);
  }

  ref(): void {
    // Nothing here keeps a process alive but deliveries under way.
  }
  unref(): void {
    // See ref().
  }
  setNoDelay(_noDelay: boolean): void {
    // Nothing is ever delayed.
  }
  setBusyPoll(_busyPollMs: number): void {
    // Nobody sleeps on memory.
  }
  setKeepAlive(_keepAlive: KeepAlive): void {
    // Memory does not go away in silence.
  }
  typeOfService = 0;

  #close(closed: CarrierClosed): void {
    if (this.#closed !== undefined) return;
    this.#closed = closed;
    this.#incoming = [];
    this.#incomingBytes = 0;
    this.#wake();
  }

  #wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#handlers === undefined || this.#reported) return;
    while (this.#incoming.length > 0 && !this.#isStopped()) {
      const chunk = this.#incoming.shift() as Uint8Array;
      this.#incomingBytes -= chunk.byteLength;
      // Looked up for each chunk: the carrier may be handed over in between.
      this.#handlers.onData(chunk);
    }
    if (this.#incoming.length === 0 && !this.#isStopped()) this.#closed = this.#incomingEnd;
    if (this.#closed !== undefined) {
      this.#reported = true;
      this.onceClosed?.();
      this.#handlers.onClose(this.#closed);
    }
    if (this.#peerAwaitsDrain && this.#incomingBytes === 0) {
      this.#peerAwaitsDrain = false;
      if (this.#peer.#closed === undefined) this.#peer.#handlers?.onDrain();
    }
  }

  /** A method, since a handler may pause or close the carrier between two chunks. */
  #isStopped(): boolean {
    return this.#paused || this.#closed !== undefined;
  }
}

export interface MemoryPairOptions {
  readonly a?: DialAddress;
  readonly b?: DialAddress;
  readonly schedule?: Schedule;
  /** Keying material that both ends report, as TLS carriers do. */
  readonly exporter?: Uint8Array;
}

/** Two ends of one pipe. */
export function createMemoryPair(options: MemoryPairOptions = {}): [MemoryCarrier, MemoryCarrier] {
  const a = options.a ?? { host: 'a', port: 1 };
  const b = options.b ?? { host: 'b', port: 2 };
  const schedule: Schedule = options.schedule ?? setImmediate;
  const ends: [MemoryCarrier, MemoryCarrier] = [
    new MemoryCarrier(a, b, schedule, options.exporter),
    new MemoryCarrier(b, a, schedule, options.exporter),
  ];
  MemoryCarrier.join(...ends);
  return ends;
}

/** Addresses in memory. Hosts are names without meaning; an unreachable one swallows dials until they time out. */
export class MemoryNetwork implements Transport {
  readonly #schedule: Schedule;
  readonly #listeners = new Map<string, MemoryListener>();
  readonly #unreachable = new Set<string>();
  readonly #carriers = new Set<MemoryCarrier>();
  #nextPort = 49_152;

  constructor(options: { readonly schedule?: Schedule } = {}) {
    this.#schedule = options.schedule ?? setImmediate;
  }

  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    let over = false;
    const settle = (error: CarrierClosed | undefined, carrier?: Carrier): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      done(error, carrier);
    };
    const onAbort = (): void => {
      settle({ code: 'ABORT_ERR', message: 'the dial was aborted', reset: false });
    };
    const timer = setTimeout(() => {
      settle({ code: 'ETIMEDOUT', message: `no connection within ${options.timeoutMs} ms`, reset: false });
    }, options.timeoutMs);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#schedule(() => {
      if (over) return;
      if (options.signal?.aborted === true) {
        onAbort();
        return;
      }
      if (this.#unreachable.has(address.host)) return;
      const listener = this.#listeners.get(keyOf(address));
      if (listener === undefined) {
        settle({ code: 'ECONNREFUSED', message: `connect ECONNREFUSED ${keyOf(address)}`, reset: true });
        return;
      }
      const from = { host: options.localAddress ?? 'client', port: options.localPort ?? this.takePort() };
      const [near, far] = createMemoryPair({ a: from, b: address, schedule: this.#schedule });
      this.#carriers.add(near);
      near.onceClosed = () => this.#carriers.delete(near);
      listener.accept(far);
      settle(undefined, near);
    });
    return {
      cancel: () => {
        over = true;
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', onAbort);
      },
    };
  }

  /** Takes `{ host, port }`, or the arguments `[port, host]`; without a port it chooses one. */
  listen(target: ListenTarget, handlers: ListenHandlers): Listener {
    const [first, second] = 'args' in target ? target.args : [target];
    const options = (
      typeof first === 'object' ? first : { port: first, host: second }
    ) as Partial<DialAddress>;
    const address = {
      host: options.host ?? 'server',
      port: options.port === undefined || options.port === 0 ? this.takePort() : options.port,
    };
    const key = keyOf(address);
    const listener = new MemoryListener(address, handlers, () => {
      if (this.#listeners.get(key) === listener) this.#listeners.delete(key);
      this.#schedule(() => handlers.onClose?.());
    });
    if (this.#listeners.has(key)) {
      const error = Object.assign(new Error(`listen EADDRINUSE ${key}`), { code: 'EADDRINUSE' });
      listener.listening = false;
      this.#schedule(() => handlers.onError?.(error));
      return listener;
    }
    this.#listeners.set(key, listener);
    this.#schedule(() => handlers.onListening?.());
    return listener;
  }

  /** Cuts every carrier of a host and swallows dials to it, until `heal`. */
  cut(host: string): void {
    this.#unreachable.add(host);
    for (const carrier of this.#carriers) {
      if (carrier.localAddress === host || carrier.remoteAddress === host) carrier.cut();
    }
  }

  heal(host: string): void {
    this.#unreachable.delete(host);
  }

  /** A port that nobody has, as a kernel gives ephemeral ones. */
  takePort(): number {
    this.#nextPort += 1;
    return this.#nextPort;
  }
}

class MemoryListener implements Listener {
  listening = true;
  readonly #address: DialAddress;
  readonly #handlers: ListenHandlers;
  readonly #onClose: () => void;
  readonly #accepted = new Set<MemoryCarrier>();

  constructor(address: DialAddress, handlers: ListenHandlers, onClose: () => void) {
    this.#address = address;
    this.#handlers = handlers;
    this.#onClose = onClose;
  }

  get connections(): number {
    for (const carrier of this.#accepted) if (carrier.isClosed) this.#accepted.delete(carrier);
    return this.#accepted.size;
  }

  accept(carrier: MemoryCarrier): void {
    this.#accepted.add(carrier);
    this.#handlers.onCarrier(carrier);
  }

  address(): { address: string; family: string; port: number } {
    return { address: this.#address.host, family: 'memory', port: this.#address.port };
  }

  close(): void {
    if (!this.listening) return;
    this.listening = false;
    this.#onClose();
  }

  ref(): void {
    // Memory keeps no process alive.
  }
  unref(): void {
    // See ref().
  }
}

function keyOf({ host, port }: DialAddress): string {
  return `${host}:${port}`;
}
