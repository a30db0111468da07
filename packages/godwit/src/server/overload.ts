/** What a server does when it has too much to do, as far as its policy says (protocol.md §10.11). */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { OverloadPolicy, Relief, ServerLoad } from '../session/index.ts';
import { Deadline, now } from '../socket/timers.ts';
import { byAddress, largest } from './end-order.ts';
import type { PlainPort } from './plain-port.ts';
import type { ServerSocket } from './server-socket.ts';

/** Between two looks while all is well, and while it is not, in milliseconds. */
const QUIET_PAUSE_MS = 250;
const BUSY_PAUSE_MS = 50;
/** Looks out of turn keep this distance, in milliseconds. */
const LEAST_PAUSE_MS = 5;
/** Sessions asked to move at once: others go on undisturbed meanwhile. */
const MOVES_AT_ONCE = 64;
/** A session that could not move is asked again after this time, in milliseconds. */
const ASK_AGAIN_MS = 5_000;
/** Sessions end until this share of the limit is left over: so that not every byte more ends another. */
const END_DOWN_TO = 0.9;
/** A session that is being handed over has so long to leave before it ends, in milliseconds. */
const LEAVING_MS = 1_000;
/** Most sessions ended in one look. */
const ENDS_AT_ONCE = 256;
/** The resolution of the measurement of the event loop's delay, in milliseconds: what it measures where there is none. */
const DELAY_RESOLUTION_MS = 10;

/** What 'overload' says. */
export interface OverloadChange {
  readonly relief: Relief;
  readonly load: ServerLoad;
}

/** Who may be ended for the memory he holds. */
export type Endable = ServerSocket | PlainPort;

export interface OverloadHost {
  /** Undefined while the server does not run. */
  load(): Omit<ServerLoad, 'eventLoopDelayMs'> | undefined;
  sessions(): Iterable<ServerSocket>;
  /** Connections that cannot move. */
  plain(): Iterable<PlainPort>;
  /** Names of the other servers. */
  members(): readonly string[];
  setFull(full: boolean): void;
  /** Ends it here; the client of a session goes on elsewhere from its ticket, if it can. */
  end(holder: Endable): void;
  changed(change: OverloadChange): void;
}

export class Overload {
  readonly #policy: OverloadPolicy;
  readonly #host: OverloadHost;
  readonly #deadline = new Deadline(() => this.#look(now() - this.#lookAt));
  #lookAt = 0;
  readonly #askAgainAt = new WeakMap<ServerSocket, number>();
  /** When a session that is being handed over was first seen to be, while some had to end. */
  readonly #leaving = new WeakMap<Endable, { readonly epoch: number; readonly since: number }>();
  #delays: ReturnType<typeof monitorEventLoopDelay> | undefined;
  #relief: Relief = 'none';
  #lookedAt = -Infinity;
  #moving = 0;
  #nextMember = 0;
  #moved = 0;

  constructor(policy: OverloadPolicy, host: OverloadHost) {
    this.#policy = policy;
    this.#host = host;
  }

  get relief(): Relief {
    return this.#relief;
  }

  /** Sessions that moved elsewhere because of it. */
  get moved(): number {
    return this.#moved;
  }

  /** There is more to do than before. */
  wake(): void {
    if (now() - this.#lookedAt >= LEAST_PAUSE_MS) this.#look();
    else if (this.#deadline.dueAt === undefined) this.#lookIn(LEAST_PAUSE_MS);
  }

  stop(): void {
    this.#deadline.set(undefined);
    this.#delays?.disable();
    this.#delays = undefined;
  }

  #lookIn(pauseMs: number): void {
    this.#lookAt = now() + pauseMs;
    this.#deadline.set(this.#lookAt);
  }

  #look(lateMs = 0): void {
    const counts = this.#host.load();
    if (counts === undefined) return;
    this.#lookedAt = now();
    const load = { ...counts, eventLoopDelayMs: this.#takeDelay(lateMs) };
    const before = this.#relief;
    this.#relief = this.#policy.judge(load, before);
    if (this.#relief !== before) {
      this.#host.setFull(this.#relief === 'refuse' || this.#relief === 'end');
      this.#host.changed({ relief: this.#relief, load });
    }
    if (this.#relief === 'end') this.#end(load);
    if (this.#relief !== 'none') this.#shed();
    if (this.#relief !== 'none') this.#lookIn(BUSY_PAUSE_MS);
    else if (load.memoryBytes > 0 || load.halfOpen > 0) this.#lookIn(QUIET_PAUSE_MS);
    else this.stop();
  }

  /** What holds the loop up for long may also hold up the measurement until it is taken: then the look itself is late. */
  #takeDelay(lateMs: number): number {
    if (!this.#policy.measuresEventLoop) return 0;
    if (this.#delays === undefined) {
      this.#delays = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
      this.#delays.enable();
      return lateMs;
    }
    const delayMs = this.#delays.percentile(99) / 1e6 - DELAY_RESOLUTION_MS;
    this.#delays.reset();
    return Math.max(0, delayMs, lateMs);
  }

  /** To the other servers in turn; the clients are asked by TRIGGER, and decide. */
  #shed(): void {
    const members = this.#host.members();
    const room = MOVES_AT_ONCE - this.#moving;
    if (members.length === 0 || room <= 0) return;
    const time = now();
    const mayBeAsked = (socket: ServerSocket): boolean =>
      socket.isEstablished && (this.#askAgainAt.get(socket) ?? 0) <= time;
    for (const socket of largest([...this.#host.sessions()].filter(mayBeAsked), room)) {
      const to = members[this.#nextMember++ % members.length] as string;
      this.#askAgainAt.set(socket, Infinity);
      this.#moving += 1;
      socket.migrate({ to }).then(
        () => {
          this.#moved += 1;
          this.#done();
        },
        () => {
          this.#askAgainAt.set(socket, now() + ASK_AGAIN_MS);
          this.#done();
        },
      );
    }
  }

  #done(): void {
    this.#moving -= 1;
    if (this.#relief !== 'none') this.wake();
  }

  /**
   * Those that are being handed over have time to: they leave by themselves, and could not be restored while they do. Until then
   * they count as gone, or whoever holds most could drive others out by moving.
   */
  #end({ maxMemoryBytes }: ServerLoad): void {
    const inOrder = this.#policy.endBy === 'connection' ? largest : byAddress<Endable>;
    let leavingBytes = 0;
    for (const holder of inOrder([...this.#host.sessions(), ...this.#host.plain()], ENDS_AT_ONCE)) {
      if (this.#mayStillLeave(holder)) leavingBytes += holder.heldBytes;
      else this.#host.end(holder);
      if ((this.#host.load()?.memoryBytes ?? 0) - leavingBytes <= maxMemoryBytes * END_DOWN_TO) return;
    }
  }

  #mayStillLeave(holder: Endable): boolean {
    if (!holder.isLeaving) return false;
    let leaving = this.#leaving.get(holder);
    // A session that came back from a move has another epoch.
    if (leaving === undefined || leaving.epoch !== holder.epoch)
      leaving = { epoch: holder.epoch, since: this.#lookedAt };
    this.#leaving.set(holder, leaving);
    return this.#lookedAt - leaving.since < LEAVING_MS;
  }
}
