/** A carrier as the server node knows it, whatever it is used for. */
import type { DeadlineOwner } from './deadline-heap.ts';
import type { ServerSession } from './server-session.ts';

/** What a carrier is used for. */
export type CarrierRole = 'new' | 'opening' | 'attaching' | 'session' | 'standby';

export class ServerCarrier implements DeadlineOwner {
  readonly id: number;
  readonly nonce: Uint8Array;
  readonly exporter: Uint8Array;
  readonly #expired: (carrier: ServerCarrier) => void;
  role: CarrierRole = 'new';
  session: ServerSession | undefined;
  control: Uint8Array[] = [];
  nextTimeout: number | undefined;
  heapIndex: number | undefined;

  constructor(
    id: number,
    nonce: Uint8Array,
    exporter: Uint8Array,
    deadline: number,
    expired: (carrier: ServerCarrier) => void,
  ) {
    this.id = id;
    this.nonce = nonce;
    this.exporter = exporter;
    this.nextTimeout = deadline;
    this.#expired = expired;
  }

  handleTimeout(): void {
    this.nextTimeout = undefined;
    this.#expired(this);
  }
}
