/** A carrier as the server node knows it, whatever it is used for. */
import type { Incoming } from './client-events.ts';
import { ProtocolError, WireCode } from '../wire/index.ts';
import type { DeadlineHeap, DeadlineOwner } from './deadline-heap.ts';
import type { ServerLimits } from './limits.ts';
import { RateLimit } from './rate-limit.ts';
import type { ServerSession } from './server-session.ts';
import { Roster } from './roster.ts';
import { NO_HANDLE } from './time-heap.ts';

/** A frame that a carrier does not take in its present use. */
export function misplaced(frame: Incoming, where: string): ProtocolError {
  return new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} ${where}`);
}

/** What a carrier is used for. */
export type CarrierRole = 'new' | 'opening' | 'attaching' | 'session' | 'standby';

/** What is known of a carrier besides its bytes. */
export interface CarrierMeta {
  /** Keying material of its TLS. */
  readonly exporter?: Uint8Array | undefined;
  /** The address of its peer, as far as limits tell addresses apart. Without it they do not count. */
  readonly network?: string | undefined;
}

const NOTHING = new Uint8Array(0);
const NO_PARTS: readonly Uint8Array[] = [];

export class ServerCarrier implements DeadlineOwner {
  readonly id: number;
  readonly nonce: Uint8Array;
  readonly exporter: Uint8Array;
  /** What limits for each address count by. */
  readonly network: string | undefined;
  readonly #expired: (carrier: ServerCarrier) => void;
  role: CarrierRole = 'new';
  session: ServerSession | undefined;
  control: Uint8Array[] = [];
  /** It may have something to transmit, and stands in the queue for that. */
  isDirty = false;
  isWritable = true;
  /** It waits for cryptography. */
  isBusy = false;
  /** PINGs that a silent standby has not answered. */
  questions = 0;
  /** Of a standby: what it counts for (`Occupant`). */
  place: string | undefined;
  nextTimeout: number | undefined;
  deadlineHandle = NO_HANDLE;

  constructor(
    id: number,
    nonce: Uint8Array,
    { exporter, network }: CarrierMeta,
    deadline: number,
    expired: (carrier: ServerCarrier) => void,
  ) {
    this.id = id;
    this.nonce = nonce;
    this.exporter = exporter ?? NOTHING;
    this.network = network;
    this.nextTimeout = deadline;
    this.#expired = expired;
  }

  handleTimeout(): void {
    this.nextTimeout = undefined;
    this.#expired(this);
  }
}

/** Whoever was slow, it is no reason to end a session: another server, or another carrier, may be quicker. */
export function tooLate(): ProtocolError {
  return new ProtocolError(WireCode.Timeout, 'no OPEN, MIGRATE or STANDBY in time', true);
}

/** All carriers of a node, and those with something to send. */
export class ServerCarriers {
  readonly #heap: DeadlineHeap;
  readonly #all = new Roster<number, ServerCarrier>();
  /** Carriers that may have something to transmit. No set: one that is emptied again and again makes V8 collect ever anew. */
  readonly #dirty: ServerCarrier[] = [];
  /** Those before this place have transmitted. */
  #firstDirty = 0;
  readonly #migrates: RateLimit;
  readonly #opens: RateLimit;
  #unauthenticated = 0;

  constructor(heap: DeadlineHeap, limits: Pick<ServerLimits, 'maxMigratesPerSecond' | 'maxOpensPerSecond'>) {
    this.#heap = heap;
    this.#migrates = new RateLimit(limits.maxMigratesPerSecond);
    this.#opens = new RateLimit(limits.maxOpensPerSecond);
  }

  get size(): number {
    return this.#all.size;
  }
  /** Carriers whose peer has not begun to say what it wants. */
  get unauthenticated(): number {
    return this.#unauthenticated;
  }
  /** Carriers that have a place among those with something to send, whether they exist or not. */
  get flagged(): number {
    return this.#dirty.length - this.#firstDirty;
  }

  get(id: number): ServerCarrier | undefined {
    return this.#all.get(id);
  }
  list(): ServerCarrier[] {
    return [...this.#all.values()];
  }

  add(carrier: ServerCarrier): void {
    this.#all.set(carrier.id, carrier);
    this.#unauthenticated += 1;
  }

  setRole(carrier: ServerCarrier, role: CarrierRole): void {
    if (carrier.role === 'new' && role !== 'new') this.#unauthenticated -= 1;
    carrier.role = role;
    if (role !== 'session' && role !== 'standby') return;
    carrier.nextTimeout = undefined;
    this.#heap.disarm(carrier);
  }

  setDeadline(carrier: ServerCarrier, at: number): void {
    carrier.nextTimeout = at;
    this.#heap.arm(carrier);
  }

  remove(id: number): ServerCarrier | undefined {
    const carrier = this.#all.get(id);
    if (!carrier) return undefined;
    this.#all.delete(id);
    if (carrier.isDirty) {
      carrier.isDirty = false;
      this.#dirty.splice(this.#dirty.indexOf(carrier, this.#firstDirty), 1);
    }
    if (carrier.role === 'new') this.#unauthenticated -= 1;
    carrier.nextTimeout = undefined;
    this.#heap.disarm(carrier);
    return carrier;
  }

  /** MIGRATE came, not on a session's own carrier. Throws `ProtocolError` (Busy) when its address has sent too many. */
  countMigrate({ network }: ServerCarrier, now: number): void {
    if (network !== undefined && !this.#migrates.take(network, now))
      throw new ProtocolError(WireCode.Busy, `too many MIGRATEs came from ${network}`, true);
  }

  /** OPEN came. Throws `ProtocolError` (Busy) as `countMigrate` does. */
  countOpen({ network }: ServerCarrier, now: number): void {
    if (network !== undefined && !this.#opens.take(network, now))
      throw new ProtocolError(WireCode.Busy, `too many OPENs came from ${network}`, true);
  }

  /** A control frame for a carrier; dropped when it is gone. */
  queue(id: number, frame: Uint8Array): void {
    const carrier = this.#all.get(id);
    if (!carrier) return;
    carrier.control.push(frame);
    this.#enqueue(carrier);
  }

  touch(id: number): void {
    const carrier = this.#all.get(id);
    if (carrier) this.#enqueue(carrier);
  }

  #enqueue(carrier: ServerCarrier): void {
    if (carrier.isDirty) return;
    carrier.isDirty = true;
    this.#dirty.push(carrier);
  }

  setWritable(id: number, writable: boolean): void {
    const carrier = this.#all.get(id);
    if (!carrier || carrier.isWritable === writable) return;
    carrier.isWritable = writable;
    if (writable) this.#enqueue(carrier);
  }

  isBusy(id: number): boolean {
    return this.#all.get(id)?.isBusy ?? false;
  }
  setBusy(id: number, busy: boolean): void {
    const carrier = this.#all.get(id);
    if (carrier) carrier.isBusy = busy;
  }

  /** What one carrier has to send, of those that can. */
  transmit(): { readonly carrierId: number; readonly parts: readonly Uint8Array[] } | undefined {
    for (;;) {
      const carrier = this.#dirty[this.#firstDirty];
      if (!carrier) break;
      const parts = carrier.isWritable ? partsOf(carrier) : NO_PARTS;
      // Not asked again for what it does not have: most messages are one part of one flush.
      if (parts.length === 0 || carrier.session?.hasMoreToTransmit !== true) this.#dequeueFirst(carrier);
      if (parts.length > 0) return { carrierId: carrier.id, parts };
    }
    return undefined;
  }

  #dequeueFirst(carrier: ServerCarrier): void {
    // Removed while it was asked: whoever stands first now has not been.
    if (this.#dirty[this.#firstDirty] !== carrier) return;
    carrier.isDirty = false;
    this.#firstDirty += 1;
    if (this.#firstDirty < this.#dirty.length) return;
    // A list of one keeps its memory for the next.
    if (this.#firstDirty === 1) this.#dirty.pop();
    else this.#dirty.length = 0;
    this.#firstDirty = 0;
  }
}

function partsOf(carrier: ServerCarrier): readonly Uint8Array[] {
  const { control, session } = carrier;
  if (control.length === 0) return session?.transmit() ?? NO_PARTS;
  carrier.control = [];
  if (session) control.push(...session.transmit());
  return control;
}
