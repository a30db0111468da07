/**
 * The server's side of snapshots (protocol.md §7.2, §7.3): which point is newest, when one travels, and its pieces.
 * At most one ticket is in transit; while it is, only the newest point waits, never a queue of them.
 */
import {
  Delivery,
  MAX_SNAPSHOT_CHUNK_BYTES,
  comparePoints,
  concatBytes,
  encodeFrame,
  type Offset,
  type Point,
} from '../wire/index.ts';
import type { ServerLimits, ServerTimers } from './limits.ts';
import type { SnapshotPoint } from './server-streams.ts';
import { SNAPSHOT_DELAYS_MAX, type SnapshotSlots } from './snapshot-slots.ts';

/** So many intervals of bytes make a snapshot due however little time has passed. */
const MAX_PACED_INTERVALS = 4;

/** What moved since the session was made: what is done again after a crash, as far as no ticket covers it. */
export interface Work {
  /** Data bytes, both ways. */
  readonly dataBytes: number;
  /** Writes of the application. */
  readonly writes: number;
}

/** A ticket on its way. */
interface Transit {
  readonly point: SnapshotPoint;
  readonly bytes: Uint8Array;
  readonly headBytes: number;
  offset: number;
}

/** The same for all sessions of a server. */
export interface SnapshotSenderConfig {
  readonly limits: ServerLimits;
  readonly timers: ServerTimers;
  readonly delivery: Delivery;
  readonly slots: SnapshotSlots;
}

/** The newest point the client holds whole. */
export interface CoveredPoint extends Point {
  readonly input: Offset;
  readonly output: Offset;
}

export class SnapshotSender {
  readonly #limits: ServerLimits;
  readonly #timers: ServerTimers;
  readonly #delivery: Delivery;
  readonly #slots: SnapshotSlots;
  #newest: SnapshotPoint;
  /** `commit` mode: a point before the newest that the client has room for, when it may have none for the newest. */
  #reachable: SnapshotPoint | undefined;
  /** A point whose ticket would be too large for the client. */
  #refused: SnapshotPoint | undefined;
  #covered: CoveredPoint;
  #transit: Transit | undefined;
  #sealing: SnapshotPoint | undefined;
  /** What had moved at the last ticket that was begun, and when that was. */
  #begunAtWork: Work = { dataBytes: 0, writes: 0 };
  #begunAt: number;
  /** When what moved since makes one due by time alone. The same number wherever it is compared: a timer set to it must find it passed. */
  #intervalEndsAt: number;
  /** It may be asked for by then, however many others wait. */
  #hasTurn = false;
  /** When it was due first, if it was put off since. */
  #asksSince: number | undefined;
  #lastBytes = 0;
  /** The next point goes out whatever the cadence says. */
  #forced = false;
  /** The newest point must be sealed again: its ticket expires. */
  #refresh = false;

  constructor(
    { limits, timers, delivery, slots }: SnapshotSenderConfig,
    start: SnapshotPoint,
    covered: CoveredPoint,
    now: number,
  ) {
    this.#limits = limits;
    this.#timers = timers;
    this.#delivery = delivery;
    this.#slots = slots;
    this.#newest = start;
    this.#covered = covered;
    this.#begunAt = now;
    this.#intervalEndsAt = now + timers.snapshotIntervalMs;
  }

  get newest(): SnapshotPoint {
    return this.#newest;
  }
  /** States that are kept, and the ticket that travels, in bytes. */
  get heldBytes(): number {
    const reachable = this.#reachable === this.#newest ? undefined : this.#reachable;
    return (
      this.#newest.state.byteLength +
      (reachable?.state.byteLength ?? 0) +
      (this.#transit?.bytes.byteLength ?? 0)
    );
  }
  get covered(): CoveredPoint {
    return this.#covered;
  }
  get isInTransit(): boolean {
    return this.#transit !== undefined || this.#sealing !== undefined;
  }
  /** The point in transit, if any. */
  get travelling(): SnapshotPoint | undefined {
    return this.#transit?.point ?? this.#sealing;
  }
  /** A point newer than the client's waits or travels. */
  get isBehind(): boolean {
    return this.#newest !== this.#refused && comparePoints(this.#newest, this.#covered) > 0;
  }
  /** Nothing newer than what is on the carrier, whole, is to come. */
  get isFlushed(): boolean {
    if (!this.isBehind) return !this.isInTransit || this.isSent;
    return this.#transit?.point === this.#newest && this.isSent;
  }

  /** A new point. `credit` is the output offset up to which the client takes data. */
  offer(point: SnapshotPoint, credit: Offset): void {
    if (!this.isRefused && reaches(this.#newest, credit)) this.#reachable = this.#newest;
    this.#newest = point;
  }

  /**
   * The point to send next: the newest, as a rule. In `commit` mode the client stages all output behind its ticket, so a
   * ticket beyond its credit would wait for data that waits for that very ticket: then it is the one before.
   */
  #next(credit: Offset): SnapshotPoint | undefined {
    for (const point of [this.#newest, this.#reachable]) {
      if (
        point &&
        point !== this.#refused &&
        comparePoints(point, this.#covered) > 0 &&
        this.#mayGo(point, credit)
      )
        return point;
    }
    return undefined;
  }

  #mayGo(point: SnapshotPoint, credit: Offset): boolean {
    return this.#delivery !== Delivery.Commit || reaches(point, credit);
  }

  /** A point newer than the client's travels, or will, and no data that it waits for is held up by credit. */
  isCoverComing(credit: Offset): boolean {
    const travelling = this.travelling;
    return travelling ? this.#mayGo(travelling, credit) : this.#next(credit) !== undefined;
  }

  /** No ticket of the newest point can be sent. */
  get isRefused(): boolean {
    return this.#newest === this.#refused;
  }

  /** The client does not take a ticket as large as that of the point `begin` answered. */
  refuse(point: SnapshotPoint): void {
    if (this.#sealing === point) this.#sealing = undefined;
    if (this.#newest === point) this.#refused = point;
    this.#reachable = undefined;
  }

  force(): void {
    this.#forced = true;
  }

  refresh(): void {
    this.#refresh = true;
  }

  /** Data bytes between two snapshots: a snapshot stays a small share of what it protects. */
  get intervalBytes(): number {
    return Math.max(this.#limits.snapshotIntervalBytes, this.#shareBytes);
  }

  get #shareBytes(): number {
    return this.#lastBytes * this.#limits.snapshotShare;
  }

  /** When the application should be asked for a point, for what moved since the newest; undefined when nothing did. */
  exportDueAt(now: number, work: Work, atNewest: Work): number | undefined {
    return work.dataBytes > atNewest.dataBytes ? this.#turnAt(now, work, atNewest) : undefined;
  }

  /** `#dueAt`, but for one that is due by time alone, and covers little: where there are too many of those, it is put off. */
  #turnAt(now: number, work: Work, from: Work): number {
    const dueAt = this.#dueAt(work, from);
    if (dueAt > now || this.#hasTurn || this.#delivery === Delivery.Commit || !this.#isLittle(work, from))
      return dueAt;
    const { snapshotIntervalMs } = this.#timers;
    this.#asksSince ??= now;
    this.#hasTurn =
      now - this.#asksSince >= SNAPSHOT_DELAYS_MAX * snapshotIntervalMs || this.#slots.take(now);
    if (!this.#hasTurn) this.#intervalEndsAt = now + snapshotIntervalMs;
    return this.#intervalEndsAt;
  }

  /** Nothing but time makes it due, and it would not be for the size of the last ticket. */
  #isLittle(work: Work, from: Work): boolean {
    return (
      work.dataBytes - from.dataBytes <
        Math.min(this.#limits.snapshotSoonBytes, this.#limits.snapshotIntervalBytes) &&
      work.writes - from.writes < this.#limits.snapshotBusyWrites
    );
  }

  /**
   * When a snapshot is due that covers what moved since `from`. While bytes move fast, snapshots keep a distance in time as
   * well, or sealing them would cost more than they save: nobody minds a millisecond of work done twice. Small writes, on
   * the other hand, may take long to make so many bytes, and as long to be made again: many of them cost more than a ticket.
   */
  #dueAt(work: Work, from: Work): number {
    const interval = this.intervalBytes;
    const moved = work.dataBytes - from.dataBytes;
    const isBusy = work.writes - from.writes >= this.#limits.snapshotBusyWrites;
    if (moved < interval) {
      const { snapshotBusyMs, snapshotSoonMs } = this.#timers;
      if (isBusy && moved >= this.#shareBytes)
        return Math.min(this.#intervalEndsAt, this.#begunAt + snapshotBusyMs);
      return moved < this.#soonBytes
        ? this.#intervalEndsAt
        : Math.min(this.#intervalEndsAt, this.#begunAt + snapshotSoonMs);
    }
    return moved < interval * MAX_PACED_INTERVALS
      ? this.#begunAt + this.#timers.snapshotPaceMs
      : this.#begunAt;
  }

  get #soonBytes(): number {
    return Math.min(this.intervalBytes, Math.max(this.#limits.snapshotSoonBytes, this.#shareBytes));
  }

  /** Data bytes that may move before `exportDueAt`, or `dueAt`, answers another time than it does now. */
  roomBytes({ dataBytes }: Work, atNewest: Work): number {
    return Math.min(
      this.#roomAt(dataBytes - atNewest.dataBytes),
      this.#roomAt(dataBytes - this.#begunAtWork.dataBytes),
    );
  }

  #roomAt(moved: number): number {
    const interval = this.intervalBytes;
    for (const step of [this.#shareBytes, this.#soonBytes, interval, interval * MAX_PACED_INTERVALS])
      if (moved < step) return step - moved;
    return 0;
  }

  /** The same in writes. */
  roomWrites({ writes }: Work, atNewest: Work): number {
    const room = (from: Work): number => {
      const left = this.#limits.snapshotBusyWrites - (writes - from.writes);
      return left > 0 ? left : Infinity;
    };
    return Math.min(room(atNewest), room(this.#begunAtWork));
  }

  /** The newest point should be sealed now; `begin` must follow. */
  sendDue(now: number, work: Work, credit: Offset): boolean {
    if (this.isInTransit) return false;
    if (this.#refresh && this.#newest !== this.#refused && this.#mayGo(this.#newest, credit)) return true;
    if (this.#next(credit) === undefined) return false;
    if (this.#delivery === Delivery.Commit || this.#forced) return true;
    return now >= this.#turnAt(now, work, this.#begunAtWork);
  }

  /** When a waiting point is due though nothing more moves; undefined when it waits for something else than time. */
  dueAt(work: Work, credit: Offset): number | undefined {
    if (this.isInTransit || this.#next(credit) === undefined) return undefined;
    return this.#dueAt(work, this.#begunAtWork);
  }

  begin(now: number, { dataBytes, writes }: Work, credit: Offset): SnapshotPoint {
    const point = this.#next(credit) ?? this.#newest;
    this.#sealing = point;
    this.#begunAt = now;
    this.#intervalEndsAt = now + this.#timers.snapshotIntervalMs;
    this.#hasTurn = false;
    this.#asksSince = undefined;
    this.#begunAtWork = { dataBytes, writes };
    this.#forced = false;
    this.#refresh = false;
    return point;
  }

  /** The sealed ticket of the point `begin` answered. */
  sealed(point: SnapshotPoint, head: Uint8Array, body: Uint8Array): void {
    if (this.#sealing !== point) return;
    this.#sealing = undefined;
    const bytes = body.byteLength === 0 ? head : concatBytes([head, body]);
    this.#lastBytes = bytes.byteLength;
    this.#transit = { point, bytes, headBytes: head.byteLength, offset: 0 };
  }

  /** Up to which output offset data may go before the next piece of a ticket does. */
  get position(): Offset | undefined {
    const transit = this.#transit;
    return transit && transit.offset < transit.bytes.byteLength ? transit.point.output : undefined;
  }

  /** Appends the next piece when the output it covers is out. */
  transmit(into: Uint8Array[], sent: Offset): boolean {
    const transit = this.#transit;
    if (!transit || transit.offset >= transit.bytes.byteLength || sent < transit.point.output) return false;
    const bytes = transit.bytes.subarray(transit.offset, transit.offset + MAX_SNAPSHOT_CHUNK_BYTES);
    const { epoch, k, input, output } = transit.point;
    into.push(
      encodeFrame('snapshot', {
        epoch,
        k,
        input,
        output,
        headBytes: transit.headBytes,
        totalBytes: transit.bytes.byteLength,
        offset: transit.offset,
        bytes,
      }),
    );
    transit.offset += bytes.byteLength;
    return true;
  }

  /** The whole ticket is on the carrier. */
  get isSent(): boolean {
    return this.#transit !== undefined && this.#transit.offset >= this.#transit.bytes.byteLength;
  }

  /** SNAPSHOT_ACK. Answers true when it names the ticket in transit. */
  acknowledge(point: Point): boolean {
    const transit = this.#transit;
    if (!transit || comparePoints(point, transit.point) !== 0 || !this.isSent) return false;
    this.#transit = undefined;
    this.#covered = {
      epoch: point.epoch,
      k: point.k,
      input: transit.point.input,
      output: transit.point.output,
    };
    return true;
  }

  /** A new carrier: what was in transit died with the old one. `named` is what the client says it holds. */
  reattached(named: Point): void {
    this.#transit = undefined;
    this.#sealing = undefined;
    if (comparePoints(named, this.#newest) === 0)
      this.#covered = { ...named, input: this.#newest.input, output: this.#newest.output };
    else if (comparePoints(named, this.#covered) > 0)
      this.#covered = { ...named, input: this.#covered.input, output: this.#covered.output };
  }
}

/** Data may go as far as the point; its FIN needs no credit. */
function reaches(point: SnapshotPoint, credit: Offset): boolean {
  return point.output - (point.outputFinished ? 1 : 0) <= credit;
}
