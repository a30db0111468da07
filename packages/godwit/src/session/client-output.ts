/** What goes out on which carrier: control frames first, then the streams, then CLOSE (protocol.md §10.1). */
import { INITIAL_CREDIT_BYTES, NO_MAC, encodeAck, encodePayload } from '../wire/index.ts';
import type { Attachment, ClientCore } from './client-core.ts';
import type { Transmit } from './client-events.ts';

/** Bytes of DATA in one `poll`, so that control frames and other sessions get their turn. */
const MAX_TRANSMIT_BYTES = 512 * 1024;

export class ClientOutput {
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  poll(now: number): Transmit | undefined {
    const { attachment, outbox } = this.#core;
    // As it is nearly always: no table is walked through for a message.
    const only = attachment !== undefined && outbox.size === 1 ? outbox.get(attachment.carrierId) : undefined;
    if (attachment !== undefined && only !== undefined) return this.#pollOne(now, attachment.carrierId, only);
    for (const [carrierId, control] of outbox) {
      const sent = this.#pollOne(now, carrierId, control);
      if (sent !== undefined) return sent;
    }
    return undefined;
  }

  #pollOne(now: number, carrierId: number, control: Uint8Array[]): Transmit | undefined {
    if (this.#core.unwritable.has(carrierId)) return undefined;
    const isCurrent = this.#core.attachment?.carrierId === carrierId;
    const isOpening = this.#core.opening?.used?.carrierId === carrierId;
    if (control.length === 0 && !isCurrent && !isOpening) return undefined;
    const parts = control.length === 0 ? [] : control.splice(0);
    if (isCurrent && !(this.#core.attachment as Attachment).suspended)
      this.#transmitStreams(now, carrierId, parts);
    else if (isOpening && !this.#core.destroyed)
      this.#core.streams.send.transmit(parts, INITIAL_CREDIT_BYTES);
    return parts.length > 0 ? { carrierId, parts } : undefined;
  }

  #transmitStreams(now: number, carrierId: number, parts: Uint8Array[]): void {
    const { send, receive } = this.#core.streams;
    if (this.#core.pendingReset) return;
    if (this.#core.isAckPending && (this.#core.ackNow || parts.length > 0 || send.canTransmit)) {
      parts.push(encodeAck(receive.takeAck()));
      this.#core.ackNow = false;
      this.#core.owesAck = false;
      this.#core.timers.cancel('ack');
    }
    if (send.canTransmit) {
      const before = send.unsentBytes;
      send.transmit(parts, MAX_TRANSMIT_BYTES);
      this.#core.vitals.outstanding(now, this.#core.streams);
      if (before !== send.unsentBytes) this.#core.checkDrain();
    }
    if (this.#core.destroyed && !this.#core.closeSent && send.sent === send.next) this.#sendClose(carrierId);
  }

  #sendClose(carrierId: number): void {
    // Both streams ended in order: the server's CLOSE will say when its application has consumed everything.
    if (this.#core.streams.receive.finReceived && this.#core.endedInOrder) return;
    this.#core.closeSent = true;
    const payload = encodePayload('close', {
      epoch: this.#core.epoch,
      final: this.#core.streams.send.next,
      mac: NO_MAC,
    });
    this.#core.sendMaced(carrierId, 'close', payload, 'close-client');
  }
}
