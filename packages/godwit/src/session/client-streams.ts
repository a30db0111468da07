/**
 * Both streams of a client session and what protects them: input kept until a ticket covers it, output delivered (or, in
 * `commit` mode, staged until a ticket covers it), the newest ticket, the digest (protocol.md §6, §7).
 */
import {
  Delivery,
  MAX_SNAPSHOT_CHUNK_BYTES,
  MAX_TICKET_HEAD_BYTES,
  ProtocolError,
  WireCode,
  encodeFrame,
  type Frame,
  type FrameValue,
} from '../wire/index.ts';
import { DigestWindow, type Crc32 } from './digest-window.ts';
import type { ClientLimits } from './limits.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { SendBuffer } from './send-buffer.ts';
import { TicketHolder, type HeldTicket } from './ticket-holder.ts';

export class ClientStreams {
  readonly send = new SendBuffer(0);
  readonly receive: ReceiveBuffer;
  readonly tickets: TicketHolder;
  readonly #limits: ClientLimits;
  readonly #digest: DigestWindow;
  #delivery: Delivery = Delivery.Replay;
  #protected = true;
  /** The server said that no ticket will come for input below the one (freed on ACK) and output below the other. */
  #lost = { input: 0, output: 0 };
  #discarding = false;

  constructor(limits: ClientLimits, crc32: Crc32) {
    this.#limits = limits;
    this.receive = new ReceiveBuffer(0, limits.receiveWindowBytes);
    this.tickets = new TicketHolder(MAX_TICKET_HEAD_BYTES, limits.maxBodyBytes);
    this.#digest = new DigestWindow(0, limits.digestWindowBytes, crc32);
  }

  get delivery(): Delivery {
    return this.#delivery;
  }
  get isProtected(): boolean {
    return this.#protected;
  }

  setDelivery(delivery: Delivery): void {
    if (this.#delivery === delivery) return;
    this.#delivery = delivery;
    this.receive.release(delivery === Delivery.Commit ? this.receive.handed : Number.MAX_SAFE_INTEGER);
  }

  /** Output below it is in no digest. */
  get digestFrom(): number {
    return this.#digest.from;
  }

  /** Room for more input: below both the unsent and the retained limit. */
  get wantsWrite(): boolean {
    return (
      this.send.unsentBytes < this.#limits.sendBufferBytes &&
      this.send.retainedBytes < this.#limits.retainLimitBytes
    );
  }

  acceptData(bytes: Uint8Array): boolean {
    const fresh = this.receive.accept(bytes);
    if (fresh.byteLength === 0) return false;
    if (this.#delivery === Delivery.Replay) this.#digest.append(fresh);
    if (this.#discarding) this.#drop();
    return true;
  }

  acceptAck(frame: FrameValue<'ack'>): void {
    this.send.acknowledge(frame.received);
    this.send.grant(frame.credit);
    if (!this.#protected) this.send.trim(Math.min(this.send.acknowledged, this.#lost.input));
  }

  /**
   * A piece of a ticket. Answers the ticket once it is whole (invariant I3: by then all output up to it is here).
   */
  acceptSnapshot(frame: Frame<'snapshot'>): HeldTicket | undefined {
    if (frame.output > this.receive.received) {
      throw new ProtocolError(
        WireCode.Protocol,
        `a ticket for output ${frame.output} before the output, of which ${this.receive.received} came`,
      );
    }
    if (frame.input > this.send.sent)
      throw new ProtocolError(
        WireCode.Protocol,
        `a ticket for input ${frame.input}, of which ${this.send.sent} was sent`,
      );
    const ticket = this.tickets.accept(frame);
    if (!ticket) return undefined;
    this.send.trim(ticket.input);
    this.#digest.rebase(ticket.output);
    this.#releaseTo(ticket.output);
    return ticket;
  }

  /** Answers true when the ticket makes an unprotected session protected again. */
  restoreProtection(ticket: HeldTicket): boolean {
    if (this.#protected || ticket.input < this.#lost.input || ticket.output < this.#lost.output) return false;
    this.#protected = true;
    return true;
  }

  /**
   * The server will not cover what is here: input may be freed on ACK, staged output be delivered. Answers true when the
   * session was protected until now.
   */
  degrade(frame: FrameValue<'unprotected'>): boolean {
    const wasProtected = this.#protected;
    this.#protected = false;
    this.#lost = { input: frame.input, output: frame.output };
    this.send.trim(Math.min(this.send.acknowledged, frame.input));
    this.#releaseTo(frame.output);
    return wasProtected;
  }

  /** The session ended in order: all output counts. */
  releaseAll(): void {
    this.receive.release(Number.MAX_SAFE_INTEGER);
    if (this.#discarding) this.#drop();
  }

  /** All output came, and nothing of it waits for a ticket that covers it. */
  get isOutputComplete(): boolean {
    const { finReceived, received, releasedTo } = this.receive;
    return finReceived && (this.#delivery !== Delivery.Commit || releasedTo >= received);
  }

  /** Commit mode: output below `offset` is covered, or will never be. */
  #releaseTo(offset: number): void {
    if (this.#delivery !== Delivery.Commit || offset <= this.receive.releasedTo) return;
    this.receive.release(offset);
    if (this.#discarding) this.#drop();
  }

  /** The application is gone: output is taken and forgotten. */
  discard(): void {
    this.#discarding = true;
    this.#drop();
  }

  /**
   * In `commit` mode what is not covered stays staged: to drop it would be to deliver it, and a server that dies could
   * not be followed by another, which still has to read what was written here.
   */
  #drop(): void {
    if (this.#delivery === Delivery.Commit) this.receive.drop();
    else this.receive.discard();
  }

  /** What MIGRATE says of the streams (protocol.md §5.6). */
  position(): Pick<
    FrameValue<'migrate'>,
    | 'received'
    | 'delivered'
    | 'newestEpoch'
    | 'newestK'
    | 'digestFrom'
    | 'digest'
    | 'retainedFrom'
    | 'credit'
    | 'head'
    | 'body'
    | 'retainLimitBytes'
    | 'maxBodyBytes'
  > {
    const ticket = this.tickets.held as HeldTicket;
    const digest = this.#digest.digest();
    const commit = this.#delivery === Delivery.Commit;
    return {
      received: this.receive.received,
      delivered: commit
        ? Math.max(Math.min(this.receive.releasedTo, this.receive.received), this.receive.handed)
        : this.receive.received,
      newestEpoch: ticket.epoch,
      newestK: ticket.k,
      digestFrom: commit ? ticket.output : digest.from,
      digest: commit ? 0 : digest.crc,
      retainedFrom: this.send.retainedFrom,
      credit: this.receive.credit,
      head: ticket.head,
      body: ticket.body.byteLength <= 2048 ? ticket.body : new Uint8Array(0),
      retainLimitBytes: this.#limits.retainLimitBytes,
      maxBodyBytes: this.#limits.maxBodyBytes,
    };
  }

  /** Why an ACCEPT can't be taken, or undefined when it can (protocol.md §7.5). */
  objection(accept: FrameValue<'accept'>, resumed: boolean): string | undefined {
    const held = this.tickets.held;
    if (
      held &&
      !resumed &&
      (accept.restartEpoch < held.epoch || (accept.restartEpoch === held.epoch && accept.restartK < held.k))
    ) {
      return `restart point (${accept.restartEpoch}, ${accept.restartK}) is older than the ticket held (${held.epoch}, ${held.k})`;
    }
    if (
      !resumed &&
      this.#delivery === Delivery.Commit &&
      accept.restartOutput < Math.min(this.receive.releasedTo, this.receive.received)
    ) {
      return `restart at output ${accept.restartOutput}, but ${this.receive.releasedTo} were delivered`;
    }
    if (accept.inputStart < this.send.retainedFrom || accept.inputStart > this.send.next) {
      return `input wanted from ${accept.inputStart}, held are ${this.send.retainedFrom} … ${this.send.next}`;
    }
    const kept = this.#keptOutput(accept, resumed);
    if (accept.outputStart > kept)
      return `output from ${accept.outputStart}, but there is none behind ${kept}`;
    return undefined;
  }

  /** Output offset up to which the client has everything, once what did not survive is dropped from its stage. */
  #keptOutput(accept: FrameValue<'accept'>, resumed: boolean): number {
    const { received, handed } = this.receive;
    if (this.#delivery !== Delivery.Commit || resumed) return received;
    return Math.min(received, Math.max(accept.restartOutput, handed));
  }

  /** Goes on at another server (or carrier) as ACCEPT says. `objection` must have answered undefined. */
  adopt(accept: FrameValue<'accept'>, resumed: boolean): void {
    this.tickets.abandonIncoming();
    this.receive.truncate(this.#keptOutput(accept, resumed));
    this.receive.reposition(accept.outputStart);
    this.send.rewind(accept.inputStart, accept.credit);
  }

  /** BODY frames for a ticket whose body was not sent along. */
  bodyFrames(epoch: number): Uint8Array[] {
    const body = this.tickets.held?.body ?? new Uint8Array(0);
    const encoded: Uint8Array[] = [];
    for (let at = 0; at < body.byteLength; at += MAX_SNAPSHOT_CHUNK_BYTES) {
      encoded.push(
        encodeFrame('body', { epoch, offset: at, bytes: body.subarray(at, at + MAX_SNAPSHOT_CHUNK_BYTES) }),
      );
    }
    return encoded;
  }

  /** The session has been quiet: gives memory back. */
  shrink(): void {
    this.#digest.fold();
    this.send.shrink();
  }
}
