/**
 * What a session at a server puts on its carrier (protocol.md §6.1, §7.2): control frames first, then data and the
 * pieces of a ticket by turns, then DETACHED or CLOSE once all before it is out.
 */
import {
  Delivery,
  NO_MAC,
  encodeAck,
  encodePayload,
  framePayload,
  macedPart,
  withMac,
  type FrameName,
} from '../wire/index.ts';
import type { MacLabel } from './crypto.ts';
import type { SessionCore } from './session-core.ts';

const MAX_TRANSMIT_BYTES = 512 * 1024;
/** A piece of a ticket goes out after at most so many data bytes: its guaranteed share of the carrier. */
const DATA_BETWEEN_CHUNKS_BYTES = 64 * 1024;

export class SessionOutput {
  readonly #core: SessionCore;
  #hasMore = false;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  /**
   * Bytes that `write` should be given at once at the most. In `commit` mode as many as the client has room to stage, so
   * that the snapshot the application makes next covers no more than that.
   */
  get writeRoom(): number {
    if (this.#core.host.config.delivery !== Delivery.Commit) return Number.MAX_SAFE_INTEGER;
    return Math.max(0, this.#core.streams.send.credit - this.#core.streams.send.end);
  }

  get wantsWrite(): boolean {
    const { send } = this.#core.streams;
    const wants =
      this.#core.state !== 'frozen' &&
      send.retainedBytes < this.#core.host.config.limits.outputTailBytes &&
      this.writeRoom > 0;
    if (!wants) this.#core.drainWanted = true;
    return wants;
  }

  /** Tells an application that was turned away that there is room again. */
  drain(): void {
    if (this.#core.drainWanted && this.wantsWrite) {
      this.#core.drainWanted = false;
      this.#core.host.emit({ type: 'drain', session: this.#core.session });
    }
  }

  queue(frame: Uint8Array): void {
    if (this.#core.carrierId === undefined) return;
    this.#core.control.push(frame);
    this.#core.touch();
  }

  sendMaced(
    name: FrameName,
    payload: Uint8Array,
    label: MacLabel,
    context: readonly Uint8Array[] = [],
    then?: () => void,
  ): void {
    const carrierId = this.#core.carrierId;
    this.#core.host.crypto.ask(
      { op: 'mac', secret: this.#core.secret, label, data: [...context, macedPart(payload)] },
      ({ mac }) => {
        if (this.#core.carrierId !== carrierId) return;
        this.queue(framePayload(name, withMac(payload, mac)));
        then?.();
      },
    );
  }

  /** The last `transmit` stopped at what may go out in one piece. */
  get hasMore(): boolean {
    return this.#hasMore;
  }

  /** Everything that can go out now, in one piece. */
  transmit(): Uint8Array[] {
    this.#hasMore = false;
    const { control } = this.#core;
    const parts = control.length === 0 ? [] : control.splice(0);
    if (this.#core.state === 'ended' || this.#core.pendingReset || this.#core.carrierId === undefined)
      return parts;
    if (this.#core.state === 'frozen') {
      if (this.#core.detach?.ready && !this.#core.detach.sent) this.#transmitDetach(parts);
      return parts;
    }
    const { send, receive } = this.#core.streams;
    const canSend = send.canTransmit && this.mayEmit;
    if (receive.ackPending && (this.#core.ackNow || parts.length > 0 || canSend)) {
      parts.push(encodeAck(receive.takeAck()));
      this.#core.ackNow = false;
      this.#core.timers.cancel('ack');
    }
    if (this.mayEmit) {
      this.#transmitStreams(parts, MAX_TRANSMIT_BYTES);
      if (this.#canClose && !this.#core.closeSent && send.sent === send.next) this.#sendClose();
    }
    return parts;
  }

  /** Re-created output is checked first; until then nothing goes out. */
  get mayEmit(): boolean {
    return !this.#core.streams.isRegenerating;
  }

  /** Data and the pieces of a ticket by turns; the first piece waits for the output it covers. */
  #transmitStreams(parts: Uint8Array[], maxBytes: number): void {
    const { send } = this.#core.streams;
    let taken = 0;
    for (;;) {
      const stopAt = this.#core.snapshots.position;
      const wantsPiece = stopAt !== undefined;
      const share = wantsPiece ? Math.min(DATA_BETWEEN_CHUNKS_BYTES, maxBytes - taken) : maxBytes - taken;
      const before = send.sent;
      if (share > 0)
        taken += send.transmit(parts, share, wantsPiece && stopAt > send.sent ? stopAt : undefined);
      const piece = this.#core.snapshots.transmit(parts, send.sent);
      if (!piece && send.sent === before && share > 0) return;
      if (taken < maxBytes || (piece && this.#core.snapshots.position !== undefined)) continue;
      this.#hasMore = true;
      return;
    }
  }

  #transmitDetach(parts: Uint8Array[]): void {
    const detach = this.#core.detach;
    const { send } = this.#core.streams;
    this.#transmitStreams(parts, MAX_TRANSMIT_BYTES);
    const { newest } = this.#core.snapshots;
    if (!detach || send.sent < Math.min(newest.output, send.next) || !this.#core.snapshots.isFlushed) return;
    detach.sent = true;
    this.sendMaced(
      'detached',
      encodePayload('detached', {
        epoch: detach.epoch,
        mac: NO_MAC,
      }),
      'detached',
    );
  }

  get #canClose(): boolean {
    return (
      this.#core.streams.finished &&
      (this.#core.applicationGone || this.#core.finConsumed) &&
      this.#core.confirmed
    );
  }

  #sendClose(): void {
    this.#core.closeSent = true;
    this.sendMaced(
      'close',
      encodePayload('close', { epoch: this.#core.epoch, final: this.#core.streams.send.next, mac: NO_MAC }),
      'close-server',
    );
    this.#core.timers.start('linger', this.#core.now + this.#core.host.config.timers.lingerMs);
  }
}
