/**
 * Runs a protocol core over real carriers: bytes in, frames to the core, events out, one flush a tick. The client has
 * one core a session, a server one for all of its sessions; both are driven by this.
 */
import type { Carrier, CarrierClosed, CarrierHandlers } from '../carriers/carrier.ts';
import { joinSmall } from '../carriers/join-small.ts';
import type { Incoming, Transmit, CarrierFailure } from '../session/client-events.ts';
import { listOfOne } from '../session/short-list.ts';
import { ProtocolError, type FrameDecoder } from '../wire/index.ts';
import { Deadline, now } from './timers.ts';
import { Roster } from '../session/roster.ts';

/** What both cores have in common. */
export interface Core {
  handleFrame(now: number, carrierId: number, frame: Incoming): void;
  handleCarrierLost(now: number, carrierId: number, failure: CarrierFailure): void;
  isBusy(carrierId: number): boolean;
  setWritable(carrierId: number, writable: boolean): void;
  handleTimeout(now: number): void;
  pollTransmit(now: number): Transmit | undefined;
  pollTimeout(): number | undefined;
}

export interface DriverHooks {
  /** Handles every event that the core has ready; answers whether there was any. */
  drainEvents(): boolean;
  /** A peer broke the framing: the core decides what it is told; the carrier is hung up by an event or here. */
  carrierError(carrierId: number, error: ProtocolError): void;
  /** Carriers came or went, or the deadline moved: what keeps the process alive may be another. */
  carriersChanged?(): void;
  /** What this tick has for carriers is about to be written to them. */
  transmitting?(): void;
  /** The pipe is closed, whoever hung up. */
  carrierClosed?(carrier: Carrier): void;
}

/**
 * From so many unsent bytes on a write goes out at once, in bytes: later they would have left the processor's cache, and
 * sooner the peer would be woken for less.
 */
const SEND_NOW_BYTES = 512 * 1024;

/** Largest piece of data that the application gets at once, in bytes: that of net. */
const PIECE_BYTES = 64 * 1024;

/**
 * Bytes that may come while the core waits for an answer, of cryptography or of the application that authorizes, before no more are
 * read, in bytes: twice what may follow OPEN. Memory cost: as much a carrier, and what one read brings.
 */
const MAX_STALLED_BYTES = 128 * 1024;

/** One carrier of the driver; an object of a class, since closures for its handlers would take twice the memory. */
class Attached implements CarrierHandlers {
  readonly #owner: CarrierOwner;
  readonly carrierId: number;
  readonly carrier: Carrier;
  readonly decoder: FrameDecoder<Incoming>;
  gone = false;
  /** What goes out before all else, with the first frames if they are ready in the same tick. */
  greeting: Uint8Array | undefined;
  /** What is being decoded may be in memory that the carrier only lends. */
  isLent = false;
  /** It is gone, but not all that came on it is decoded. */
  closed: CarrierClosed | undefined;
  /** Place among those with bytes that are not decoded yet; -1 when it has none. */
  stalledAt = -1;
  /** No more is read until what came is decoded. */
  isPaused = false;

  constructor(
    owner: CarrierOwner,
    carrierId: number,
    carrier: Carrier,
    decoder: FrameDecoder<Incoming>,
    greeting: Uint8Array | undefined,
  ) {
    this.#owner = owner;
    this.carrierId = carrierId;
    this.carrier = carrier;
    this.decoder = decoder;
    this.greeting = greeting;
  }

  onData(chunk: Uint8Array): void {
    this.#owner.received(this, chunk);
  }
  onDrain(): void {
    if (!this.gone) this.#owner.drained(this);
  }
  onClose(closed: CarrierClosed): void {
    this.#owner.closed(this, closed);
  }
}

/** Whom carriers tell what comes. */
interface CarrierOwner {
  received(attached: Attached, chunk: Uint8Array): void;
  drained(attached: Attached): void;
  closed(attached: Attached, closed: CarrierClosed): void;
}

export class CarrierDriver implements CarrierOwner {
  readonly #core: Core;
  readonly #hooks: DriverHooks;
  readonly #carriers = new Roster<number, Attached>();
  /** Carriers with bytes that are not decoded yet. */
  readonly #stalled = listOfOne<Attached>();
  readonly deadline: Deadline;
  /** Carriers whose greeting may not have gone out yet. */
  readonly #ungreeted = listOfOne<Attached>();
  #nextCarrierId = 1;
  #draining = false;
  #scheduled = false;
  #postponed = false;
  #stopped = false;
  /** What came is being handled: what follows from it is seen to at the end of that. */
  #isReceiving = false;
  /** The application has written meanwhile. */
  #isAnswered = false;

  constructor(core: Core, hooks: DriverHooks) {
    this.#core = core;
    this.#hooks = hooks;
    this.deadline = new Deadline(() => {
      core.handleTimeout(now());
      this.settle();
    });
  }

  get carriers(): Iterable<Carrier> {
    return [...this.#carriers.values()].map(({ carrier }) => carrier);
  }

  get carrierCount(): number {
    return this.#carriers.size;
  }

  carrier(carrierId: number): Carrier | undefined {
    return this.#carriers.get(carrierId)?.carrier;
  }

  /** A frame that its sender has begun on the carrier and not finished. What waits for us does not count. */
  unfinishedFrame(carrierId: number): FrameDecoder<Incoming>['unfinished'] {
    const attached = this.#carriers.get(carrierId);
    return attached === undefined || attached.stalledAt >= 0 ? undefined : attached.decoder.unfinished;
  }

  takeCarrierId(): number {
    const carrierId = this.#nextCarrierId;
    this.#nextCarrierId += 1;
    return carrierId;
  }

  /** Reads a carrier from now on, whoever did before. The `greeting` goes out by the end of this tick. */
  attach(
    carrierId: number,
    carrier: Carrier,
    decoder: FrameDecoder<Incoming>,
    greeting?: Uint8Array,
  ): CarrierHandlers {
    const attached = new Attached(this, carrierId, carrier, decoder, greeting);
    this.#carriers.set(carrierId, attached);
    if (greeting !== undefined) this.#ungreeted.push(attached);
    carrier.start(attached);
    this.#hooks.carriersChanged?.();
    return attached;
  }

  /** @internal */
  received(attached: Attached, chunk: Uint8Array): void {
    const { carrier, decoder } = attached;
    decoder.push(chunk);
    attached.isLent = carrier.lendsChunks;
    const isOuter = !this.#isReceiving;
    this.#isReceiving = true;
    try {
      this.#decode(attached);
    } finally {
      if (attached.isLent) decoder.keep();
      attached.isLent = false;
      try {
        this.settle();
      } finally {
        if (isOuter) this.#finishReceiving();
      }
    }
    // Else a stranger could fill our memory while somebody thinks about whether he may come in.
    if (attached.stalledAt >= 0 && !attached.isPaused && decoder.bufferedBytes > MAX_STALLED_BYTES) {
      attached.isPaused = true;
      carrier.pause();
    }
  }

  /**
   * An answer that the application gave at once goes out at once: in the ticks that follow there is work that the peer need not
   * wait for, of node's streams for one.
   */
  #finishReceiving(): void {
    this.#isReceiving = false;
    const isAnswered = this.#isAnswered;
    this.#isAnswered = false;
    if (this.#stopped) return;
    if (isAnswered && !this.#scheduled && !this.#postponed) this.#finishFlush();
    else this.schedule();
  }

  /** @internal */
  drained({ carrierId }: Attached): void {
    this.#core.setWritable(carrierId, true);
    this.schedule();
  }

  /** Sends the last frames, flushes and ends the carrier. */
  hangUp(carrierId: number, last: readonly Uint8Array[]): void {
    const attached = this.#carriers.get(carrierId);
    if (attached === undefined) return;
    if (last.length > 0) attached.carrier.write(greeted(attached, last));
    attached.gone = true;
    this.#carriers.delete(carrierId);
    attached.carrier.end();
    this.#hooks.carriersChanged?.();
  }

  /** The peer proved itself: larger frames are welcome. */
  authenticated(carrierId: number): void {
    this.#carriers.get(carrierId)?.decoder.setAuthenticated();
  }

  authenticateAll(): void {
    for (const { decoder } of this.#carriers.values()) decoder.setAuthenticated();
  }

  /** Handles what the core has to say, after input from outside. Events of a nested call wait for the outer one. */
  settle(): void {
    try {
      this.#drain();
    } finally {
      this.schedule();
    }
  }

  /** After the application has called: events and bytes follow at the end of this tick, and none from within the call. */
  schedule(): void {
    if (this.#scheduled || this.#stopped || this.#isReceiving) return;
    this.#scheduled = true;
    process.nextTick(flush, this);
  }

  /**
   * What leaves at the end of this tick waits for what was put off to a later one just now: the application is about to be
   * asked for a state, whose ticket then goes out in the same write as the bytes it covers.
   */
  postpone(): void {
    this.#postponed = true;
    this.schedule();
  }

  /** Sends what is ready now, from within the handling of an event: what a peer waits for goes before what takes long. */
  sendNow(): void {
    if (!this.#stopped) this.#transmit();
  }

  /** The application has written: what is worth a system call of its own goes out, the rest at the end of the tick. */
  written(unsentBytes: number): void {
    if (unsentBytes >= SEND_NOW_BYTES) this.sendNow();
    if (this.#isReceiving) this.#isAnswered = true;
    else this.schedule();
  }

  /** Closes everything at once. */
  stop(): void {
    this.#stopped = true;
    this.deadline.set(undefined);
    for (const attached of this.#carriers.values()) {
      attached.gone = true;
      attached.carrier.destroy();
    }
    this.#carriers.clear();
  }

  /** @internal */
  flush(): void {
    if (this.#stopped) return;
    try {
      this.#drain();
    } finally {
      if (this.#postponed) {
        this.#postponed = false;
        process.nextTick(flush, this);
      } else this.#finishFlush();
    }
  }

  #finishFlush(): void {
    this.#scheduled = false;
    this.#transmit();
    // What left may have made room, or the last word of a session due, whose MAC was made just now: that leaves in the next flush.
    let hadEvents = true;
    try {
      hadEvents = this.#drain();
    } finally {
      // A listener that throws may be somebody else's.
      if (hadEvents) this.schedule();
      this.deadline.set(this.#core.pollTimeout());
    }
  }

  #transmit(): void {
    this.#hooks.transmitting?.();
    const time = now();
    for (let sent = this.#core.pollTransmit(time); sent !== undefined; sent = this.#core.pollTransmit(time)) {
      const attached = this.#carriers.get(sent.carrierId);
      if (attached === undefined) continue;
      if (!attached.carrier.write(joinSmall(greeted(attached, sent.parts))))
        this.#core.setWritable(sent.carrierId, false);
    }
    for (let attached = this.#ungreeted.pop(); attached !== undefined; attached = this.#ungreeted.pop())
      if (!attached.gone && attached.greeting !== undefined) attached.carrier.write(greeted(attached, []));
  }

  /** Answers whether there was anything to handle. */
  #drain(): boolean {
    if (this.#draining) return false;
    this.#draining = true;
    let hadEvents = false;
    try {
      do hadEvents = this.#hooks.drainEvents() || hadEvents;
      while (this.#resumeDecoding());
    } finally {
      this.#draining = false;
    }
    return hadEvents;
  }

  #decode(attached: Attached): void {
    const { carrierId } = attached;
    // Until all is decoded: an answer of cryptography may be awaited, or a listener may throw.
    if (attached.stalledAt < 0) attached.stalledAt = this.#stalled.push(attached) - 1;
    try {
      while (!attached.gone && !this.#isBusy(carrierId)) {
        const frame = attached.decoder.next();
        if (frame === undefined) {
          this.#unstall(attached);
          if (attached.closed) this.#lose(attached, attached.closed);
          return;
        }
        if (frame.frame === 'data' && attached.isLent) this.#handleLentData(carrierId, attached, frame.bytes);
        else this.#core.handleFrame(now(), carrierId, frame);
      }
      if (attached.gone) this.#unstall(attached);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#unstall(attached);
      this.#hooks.carrierError(carrierId, error);
    }
  }

  /** The last one takes its place. */
  #unstall(attached: Attached): void {
    const at = attached.stalledAt;
    if (at < 0) return;
    attached.stalledAt = -1;
    if (attached.isPaused) {
      attached.isPaused = false;
      attached.carrier.resume();
    }
    const last = this.#stalled.pop() as Attached;
    if (last === attached) return;
    this.#stalled[at] = last;
    last.stalledAt = at;
  }

  /** Data leaves the carrier's memory in pieces of the size that net reads. */
  #handleLentData(carrierId: number, attached: Attached, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength && !attached.gone; at += PIECE_BYTES)
      this.#core.handleFrame(now(), carrierId, {
        frame: 'data',
        bytes: copyOf(bytes.subarray(at, at + PIECE_BYTES)),
      });
  }

  /** Synchronous cryptography is done as soon as its event is handled. */
  #isBusy(carrierId: number): boolean {
    if (!this.#core.isBusy(carrierId)) return false;
    this.#drain();
    return this.#core.isBusy(carrierId);
  }

  #resumeDecoding(): boolean {
    let resumed = false;
    if (this.#stalled.length === 0) return false;
    // A copy: decoding one may settle others.
    for (const attached of [...this.#stalled]) {
      if (attached.stalledAt < 0 || (!attached.gone && this.#core.isBusy(attached.carrierId))) continue;
      resumed = true;
      this.#decode(attached);
    }
    return resumed;
  }

  /** @internal */
  closed(attached: Attached, closed: CarrierClosed): void {
    this.#hooks.carrierClosed?.(attached.carrier);
    if (attached.gone) return;
    // What came before the close comes first: a RESET whose proof is being checked says more than that its carrier is gone.
    if (attached.stalledAt >= 0) attached.closed = closed;
    else this.#lose(attached, closed);
    this.settle();
  }

  #lose(attached: Attached, closed: CarrierClosed): void {
    const { carrierId } = attached;
    attached.gone = true;
    this.#carriers.delete(carrierId);
    this.#core.handleCarrierLost(now(), carrierId, closed);
    this.#hooks.carriersChanged?.();
  }
}

/** The parts, behind the greeting if it has not gone out. */
function greeted(attached: Attached, parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const { greeting } = attached;
  if (greeting === undefined) return parts;
  attached.greeting = undefined;
  return [greeting, ...parts];
}

/** Small ones share a buffer, as node's own do. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafe(bytes.byteLength);
  copy.set(bytes);
  return copy;
}

function flush(driver: CarrierDriver): void {
  driver.flush();
}
