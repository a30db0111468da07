/** Which standby takes TRIGGERs for which session (protocol.md §5.4). */
import { ProtocolError, WireCode, toHex, type FrameValue } from '../wire/index.ts';

export interface Watcher {
  readonly carrierId: number;
  readonly epoch: number;
}

export class Watchers {
  readonly #max: number;
  readonly #bySession = new Map<string, Watcher>();
  readonly #byCarrier = new Map<number, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  get all(): ReadonlyMap<string, Watcher> {
    return this.#bySession;
  }

  find(id: string): Watcher | undefined {
    return this.#bySession.get(id);
  }

  /** Throws `ProtocolError` (LimitExceeded) when one standby watches too many sessions. */
  update(carrierId: number, watch: FrameValue<'watch'>): void {
    let ids = this.#byCarrier.get(carrierId);
    if (!ids) {
      ids = new Set();
      this.#byCarrier.set(carrierId, ids);
    }
    for (const { sessionId } of watch.remove) this.#remove(carrierId, ids, toHex(sessionId));
    for (const { sessionId, epoch } of watch.add) {
      const id = toHex(sessionId);
      ids.add(id);
      this.#bySession.set(id, { carrierId, epoch });
    }
    if (ids.size > this.#max)
      throw new ProtocolError(WireCode.LimitExceeded, `a standby watches more than ${this.#max} sessions`);
  }

  #remove(carrierId: number, ids: Set<string>, id: string): void {
    ids.delete(id);
    if (this.#bySession.get(id)?.carrierId === carrierId) this.#bySession.delete(id);
  }

  dropCarrier(carrierId: number): void {
    const ids = this.#byCarrier.get(carrierId);
    if (!ids) return;
    this.#byCarrier.delete(carrierId);
    for (const id of [...ids]) this.#remove(carrierId, ids, id);
  }
}
