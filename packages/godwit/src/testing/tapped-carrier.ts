/**
 * The client's end of a carrier, at which a run decides which bytes pass: it cuts input into pieces, and stops at the very
 * byte at which a fault is due. Under it is a carrier in memory.
 */
import {
  WRITE_HIGH_WATER_BYTES,
  type Carrier,
  type CarrierHandlers,
  type KeepAlive,
} from '../carriers/carrier.ts';
import type { MemoryCarrier } from '../carriers/memory.ts';
import { DATA_TYPE, decodePayload, encodeHeader, frames, type Frame } from '../wire/index.ts';
import { FrameScanner, type Passing } from './frame-scanner.ts';
import type { Fault, FaultPlace } from './run-plan.ts';

/** What the carriers of a run have in common. */
export interface Wire {
  /** The fault that is due next. */
  readonly fault: Fault | undefined;
  /** Does what the fault says, now. */
  strike(): void;
  /** How many bytes of input make the next piece. */
  nextPieceBytes(): number;
  /** Calls back when everything that is under way has arrived, and nothing followed from it. */
  whenIdle(then: () => void): void;
  /** Bytes passed, or a FIN did. */
  passed(direction: 'input' | 'output', offset: number, bytes: Uint8Array): void;
  /** The destination said from where it goes on. */
  accepted(accept: Frame<'accept'>): void;
  /** The client holds another ticket whole. */
  ticketHeld(): void;
  closed(carrier: TappedCarrier, byClient: boolean): void;
}

const OVERTAKING_TYPES: ReadonlySet<number> = new Set([
  frames.ack.type,
  frames.snapshotAck.type,
  frames.ping.type,
  frames.pong.type,
]);

export class TappedCarrier implements Carrier {
  readonly tls = undefined;
  readonly #carrier: MemoryCarrier;
  readonly #wire: Wire;
  readonly #fromServer = new FrameScanner('server');
  readonly #fromClient = new FrameScanner('client');
  #handlers: CarrierHandlers | undefined;
  /** Where both streams stand on this carrier. */
  #input = 0;
  #output = 0;
  /** Input and output up to which the ticket reaches that came last. */
  #covered = 0;
  #queue: Passing[] = [];
  #queuedBytes = 0;
  #pieceLeft: number;
  /** Waits until the last piece has had its effect. */
  #waiting = false;
  #awaitsDrain = false;
  /** The server is as good as dead: nothing of it passes any more. */
  #deaf = false;
  #cut = false;
  #isHungUp = false;

  constructor(carrier: MemoryCarrier, wire: Wire) {
    this.#carrier = carrier;
    this.#wire = wire;
    this.#pieceLeft = wire.nextPieceBytes();
  }

  get localAddress(): string {
    return this.#carrier.localAddress;
  }
  get localPort(): number {
    return this.#carrier.localPort;
  }
  get remoteAddress(): string {
    return this.#carrier.remoteAddress;
  }
  get remotePort(): number {
    return this.#carrier.remotePort;
  }
  get remoteFamily(): string {
    return this.#carrier.remoteFamily;
  }
  get exporter(): Uint8Array | undefined {
    return this.#carrier.exporter;
  }
  readonly lendsChunks = false;
  get bytesQueued(): number {
    return this.#queuedBytes + this.#carrier.bytesQueued;
  }

  start(handlers: CarrierHandlers): void {
    this.#handlers = handlers;
    this.#carrier.start({
      onData: (chunk) => this.#onData(chunk),
      onDrain: () => this.#drained(),
      onClose: (closed) => {
        this.#wire.closed(this, this.#isHungUp);
        handlers.onClose(closed);
      },
    });
  }

  write(parts: readonly Uint8Array[]): boolean {
    for (const part of parts) {
      // A copy, since pieces leave later than the caller expects.
      for (const passing of this.#fromClient.push(new Uint8Array(part))) this.#enqueue(passing);
    }
    this.#pump();
    this.#awaitsDrain = this.bytesQueued >= WRITE_HIGH_WATER_BYTES;
    return !this.#awaitsDrain;
  }

  /** Both ends see a reset; what is under way is lost. */
  cut(): void {
    this.#cut = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#carrier.cut();
  }

  pause(): void {
    this.#carrier.pause();
  }
  resume(): void {
    this.#carrier.resume();
  }
  end(): void {
    this.#isHungUp = true;
    this.#flush();
    this.#carrier.end();
  }
  destroy(): void {
    this.#isHungUp = true;
    this.#flush();
    this.#carrier.destroy();
  }
  reset(): void {
    this.#carrier.reset();
  }
  ref(): void {
    this.#carrier.ref();
  }
  unref(): void {
    this.#carrier.unref();
  }
  setNoDelay(noDelay: boolean): void {
    this.#carrier.setNoDelay(noDelay);
  }
  setKeepAlive(keepAlive: KeepAlive): void {
    this.#carrier.setKeepAlive(keepAlive);
  }
  setBusyPoll(busyPollMs: number): void {
    this.#carrier.setBusyPoll(busyPollMs);
  }
  get typeOfService(): number {
    return this.#carrier.typeOfService;
  }
  set typeOfService(typeOfService: number) {
    this.#carrier.typeOfService = typeOfService;
  }

  // --- From the client ------------------------------------------------------------------------------------------

  #enqueue(passing: Passing): void {
    // Every piece of the stream gets a header of its own.
    if (passing.what === 'header') return;
    // What acknowledges need not wait for input that is kept back here, or few tickets would travel meanwhile.
    if (passing.what === 'control' && OVERTAKING_TYPES.has(passing.type)) {
      this.#passFrame(passing);
      return;
    }
    this.#queue.push(passing);
    this.#queuedBytes += passing.bytes.byteLength;
  }

  #pump(): void {
    while (!this.#waiting && !this.#cut) {
      const next = this.#queue[0];
      if (next === undefined) break;
      if (next.what === 'data') this.#passPiece(next.bytes);
      else {
        this.#queue.shift();
        this.#queuedBytes -= next.bytes.byteLength;
        this.#passFrame(next);
      }
    }
    if (this.#queue.length === 0) this.#drained();
  }

  #passFrame(passing: Passing): void {
    if (this.#cut) return;
    this.#carrier.write([passing.bytes]);
    if (passing.what !== 'control') return;
    switch (passing.type) {
      case frames.open.type:
        this.#checkInput();
        return;
      case frames.fin.type:
        this.#input += 1;
        this.#wire.passed('input', this.#input, new Uint8Array(0));
        this.#checkInput();
        return;
      case frames.snapshotAck.type:
        this.#wire.ticketHeld();
        if (this.#covered >= (this.#due('ticket') ?? Infinity)) this.#wire.strike();
        return;
      default:
    }
  }

  #passPiece(bytes: Uint8Array): void {
    const due = this.#due('input') ?? -1;
    const untilFault = due > this.#input ? due - this.#input : Infinity;
    const length = Math.min(bytes.byteLength, this.#pieceLeft, untilFault);
    const piece = bytes.subarray(0, length);
    this.#carrier.write([encodeHeader(DATA_TYPE, length), piece]);
    this.#wire.passed('input', this.#input + length, piece);
    this.#input += length;
    this.#pieceLeft -= length;
    this.#queuedBytes -= length;
    if (length === bytes.byteLength) this.#queue.shift();
    else this.#queue[0] = { what: 'data', bytes: bytes.subarray(length) };
    if (this.#checkInput() || this.#pieceLeft > 0) return;
    this.#pieceLeft = this.#wire.nextPieceBytes();
    this.#waitForEffect();
  }

  /** At the offset of a fault: the handler still gets what has passed, but nothing that it makes of it. */
  #checkInput(): boolean {
    const { fault } = this.#wire;
    if (fault?.at !== 'input' || fault.offset !== this.#input) return false;
    if (fault.kind === 'crash') this.#deaf = true;
    this.#waiting = true;
    this.#wire.whenIdle(() => {
      this.#waiting = false;
      if (this.#cut || this.#wire.fault !== fault) return;
      this.#wire.strike();
      this.#pump();
    });
    return true;
  }

  #waitForEffect(): void {
    this.#waiting = true;
    this.#wire.whenIdle(() => {
      this.#waiting = false;
      this.#pump();
    });
  }

  #flush(): void {
    for (const { what, bytes } of this.#queue.splice(0))
      this.#carrier.write(what === 'data' ? [encodeHeader(DATA_TYPE, bytes.byteLength), bytes] : [bytes]);
    this.#queuedBytes = 0;
  }

  #drained(): void {
    if (!this.#awaitsDrain || this.#queue.length > 0) return;
    this.#awaitsDrain = false;
    this.#handlers?.onDrain();
  }

  // --- From the server ------------------------------------------------------------------------------------------

  #onData(chunk: Uint8Array): void {
    for (const passing of this.#fromServer.push(chunk)) {
      if (this.#deaf || this.#cut) return;
      if (passing.what === 'data') this.#deliverData(passing.bytes);
      else this.#deliverFrame(passing);
    }
  }

  #deliverFrame(passing: Passing): void {
    if (passing.what === 'control' && passing.type === frames.accept.type) {
      const accept = decodePayload('accept', passing.payload);
      this.#input = accept.inputStart;
      this.#output = accept.outputStart;
      this.#wire.accepted(accept);
    }
    if (passing.what === 'control' && passing.type === frames.snapshot.type) {
      const { input, output } = decodePayload('snapshot', passing.payload);
      this.#covered = input + output;
    }
    const isFin = passing.what === 'control' && passing.type === frames.fin.type;
    if (isFin && this.#strikeAtStart()) return;
    this.#handlers?.onData(passing.bytes);
    if (isFin) this.#outputPassed(new Uint8Array(0), 1);
  }

  #deliverData(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.byteLength > 0) {
      if (this.#strikeAtStart()) return;
      const due = this.#due('output') ?? -1;
      const length = due > this.#output ? Math.min(rest.byteLength, due - this.#output) : rest.byteLength;
      this.#handlers?.onData(rest.subarray(0, length));
      this.#outputPassed(rest.subarray(0, length), length);
      rest = rest.subarray(length);
      if (this.#cut) return;
    }
  }

  #outputPassed(bytes: Uint8Array, length: number): void {
    this.#output += length;
    this.#wire.passed('output', this.#output, bytes);
    if (this.#due('output') === this.#output) this.#wire.strike();
  }

  /** Output offset 0 has been reached before there is any output: it is due when the first byte is about to pass. */
  #strikeAtStart(): boolean {
    if (this.#output === 0 && this.#due('output') === 0) this.#wire.strike();
    return this.#cut;
  }

  #due(place: FaultPlace): number | undefined {
    const { fault } = this.#wire;
    return fault?.at === place ? fault.offset : undefined;
  }
}
