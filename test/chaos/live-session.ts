/** One session of a client process, and what incidents cost it. */
import type { Socket } from 'godwit';
import { GapMeter } from '../../packages/cli/src/demo/gap-meter.ts';
import type { ClientMessage, Slot } from './messages.ts';

/** Something that happens to servers or the network, as a client process sees it. */
export interface Incident {
  readonly id: number;
  /** The servers it happens to; undefined when it is the client's own network. */
  readonly servers: readonly string[] | undefined;
  healed: boolean;
}

interface Watch {
  readonly incident: Incident;
  readonly gaps: GapMeter;
  moved: boolean;
}

/** Bytes are in flight if some came so short a time ago, in milliseconds, and more are due. */
const FLOWING_MS = 250;

export class LiveSession {
  readonly slot: Slot;
  readonly socket: Socket;
  readonly #tell: (message: ClientMessage) => void;
  readonly #watches = new Map<number, Watch>();
  /** When bytes came, or began to be due. */
  #lastMs: number;
  #deliveredMs = -Infinity;
  #outstanding = false;

  constructor(slot: Slot, socket: Socket, tell: (message: ClientMessage) => void) {
    this.slot = slot;
    this.socket = socket;
    this.#tell = tell;
    this.#lastMs = performance.now();
    socket.on('migrated', ({ from }) => this.#moved(from));
  }

  /** Bytes are in flight: some were delivered a moment ago, and more are to come. */
  get isFlowing(): boolean {
    const recently = performance.now() - this.#deliveredMs < FLOWING_MS;
    return recently && this.#outstanding && this.socket.currentServer !== undefined;
  }

  /** How long the client has been waiting for bytes, in milliseconds. */
  get waitingMs(): number {
    return this.#outstanding ? performance.now() - this.#lastMs : 0;
  }

  /** From now on bytes are due. */
  expect(): void {
    if (this.#outstanding) return;
    this.#outstanding = true;
    this.#lastMs = performance.now();
    for (const { gaps } of this.#watches.values()) gaps.rest(this.#lastMs);
  }

  /** Bytes were delivered; `more` are due. */
  deliver(more: boolean): void {
    const now = performance.now();
    this.#lastMs = now;
    this.#deliveredMs = now;
    this.#outstanding = more;
    for (const watch of this.#watches.values()) {
      watch.gaps.deliver(now);
      if (watch.moved || watch.incident.healed) this.#settle(watch);
    }
  }

  /** Begins to look for gaps. Answers false when the incident does not concern this session now. */
  watch(incident: Incident): boolean {
    const server = this.socket.currentServer?.name;
    if (server === undefined || incident.servers?.includes(server) === false) return false;
    const gaps = new GapMeter();
    if (this.#outstanding) gaps.deliver(this.#lastMs);
    gaps.open();
    this.#watches.set(incident.id, { incident, gaps, moved: false });
    return true;
  }

  isWatchedFor(incident: number): boolean {
    return this.#watches.has(incident);
  }

  /** The session is over. */
  end(): void {
    this.#outstanding = false;
    for (const watch of this.#watches.values()) this.#settle(watch);
  }

  #moved(from: string): void {
    for (const watch of this.#watches.values()) {
      if (watch.moved || watch.incident.servers?.includes(from) === false) continue;
      watch.moved = true;
      this.#tell({ type: 'moved', incident: watch.incident.id });
    }
  }

  #settle({ incident, gaps }: Watch): void {
    this.#watches.delete(incident.id);
    this.#tell({ type: 'settled', incident: incident.id, blackoutMs: gaps.close() });
  }
}
