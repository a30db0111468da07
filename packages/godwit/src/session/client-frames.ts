/** Frames on the carrier a session lives on, and what they do to its streams (protocol.md §10.1). */
import { ProtocolError, WireCode, encodeFrame, errorCodeOf, type Frame } from '../wire/index.ts';
import { pongTo } from './answers.ts';
import type { ClientCore } from './client-core.ts';
import type { Migration } from './client-migration.ts';
import type { Triggers } from './client-triggers.ts';

export class ClientFrames {
  readonly #core: ClientCore;
  readonly #migration: Migration;
  readonly #triggers: Triggers;
  #lastDeliveredAt: number;

  constructor(core: ClientCore, migration: Migration, triggers: Triggers, now: number) {
    this.#core = core;
    this.#migration = migration;
    this.#triggers = triggers;
    this.#lastDeliveredAt = now;
  }

  handle(now: number, carrierId: number, frame: Frame): void {
    const { send, receive } = this.#core.streams;
    switch (frame.frame) {
      case 'ack':
        this.#core.streams.acceptAck(frame);
        this.#core.vitals.outstanding(now, this.#core.streams);
        this.#core.checkDrain();
        return;
      case 'fin':
        receive.acceptFin(frame.offset);
        this.#core.timers.start('ack', now + this.#core.config.timers.ackDelayMs);
        this.#delivered(now);
        return;
      case 'snapshot': {
        const ticket = this.#core.streams.acceptSnapshot(frame);
        if (!ticket) return;
        this.#core.queue(carrierId, encodeFrame('snapshotAck', { epoch: ticket.epoch, k: ticket.k }));
        if (this.#core.streams.restoreProtection(ticket)) this.#core.events.push({ type: 'protected' });
        if (receive.canRead) this.#core.events.push({ type: 'readable' });
        this.#core.checkDrain();
        return;
      }
      case 'unprotected':
        if (this.#core.streams.degrade(frame))
          this.#core.events.push({
            type: 'unprotected',
            reason:
              frame.reason === 0
                ? 'the server application exports no state'
                : 'the state is too large for a ticket',
          });
        if (receive.canRead) this.#core.events.push({ type: 'readable' });
        this.#core.checkDrain();
        return;
      case 'protected':
        return; // the ticket itself says so
      case 'support':
        this.#core.verified(carrierId, 'support', frame, [], () => {
          this.#core.takeServers(frame.servers);
          this.#triggers.takeKey(frame);
        });
        return;
      case 'trigger':
        this.#triggers.handle(now, frame);
        return;
      case 'frozen':
        this.#core.verified(carrierId, 'frozen', frame, [], () => {
          // Frozen by an attach this client no longer pursues: take the session back (protocol.md §10.6).
          const { attempt, attachment } = this.#core;
          if (attachment && frame.epoch > attachment.epoch && !attempt) this.#migration.thaw(this.#core.now);
        });
        return;
      case 'detached':
        this.#core.verified(carrierId, 'detached', frame, [], () => {
          this.#migration.handleDetached(this.#core.now, frame.epoch);
        });
        return;
      case 'reset':
        this.#core.verified(carrierId, 'reset-server', frame, [], () => {
          if (frame.epoch !== this.#core.epoch) return; // of an earlier attach
          this.#core.queue(carrierId, encodeFrame('resetAck', {}));
          this.#core.close({ code: errorCodeOf(frame.code), message: frame.message });
        });
        return;
      case 'close':
        this.#core.verified(carrierId, 'close-server', frame, [], () => {
          if (frame.epoch !== this.#core.epoch) return; // of an earlier attach
          if (frame.final !== receive.received)
            throw new ProtocolError(
              WireCode.Protocol,
              `CLOSE at ${frame.final}, but ${receive.received} were received`,
            );
          this.#core.queue(carrierId, encodeFrame('closeAck', {}));
          this.#core.streams.releaseAll();
          if (receive.canRead) this.#core.events.push({ type: 'readable' });
          this.#core.close(undefined);
        });
        return;
      case 'closeAck':
        if (this.#core.closeSent) this.#core.close(undefined);
        return;
      case 'resetAck':
        if (this.#core.pendingReset) this.#core.close(this.#core.failure);
        return;
      case 'ping':
        this.#core.queue(carrierId, pongTo(frame, this.#core.unsentFrames(carrierId)));
        return;
      case 'pong':
        this.#core.vitals.pong(now, frame.token);
        return;
      case 'refuse': // of an attach given up meanwhile
      case 'progress':
      case 'accept':
      case 'needBody':
        return;
      default:
        throw new ProtocolError(
          WireCode.Protocol,
          `${frame.frame.toUpperCase()} within a session (sent ${send.sent})`,
        );
    }
  }

  handleData(now: number, bytes: Uint8Array): void {
    if (!this.#core.streams.acceptData(bytes)) {
      if (this.#core.streams.receive.ackPending)
        this.#core.timers.start('ack', now + this.#core.config.timers.ackDelayMs);
      return;
    }
    this.#core.wake(now, false);
    if (this.#core.streams.receive.ackDue) this.#core.ackNow = true;
    else this.#core.timers.start('ack', now + this.#core.config.timers.ackDelayMs);
    this.#delivered(now);
  }

  #delivered(now: number): void {
    const report = this.#core.report;
    if (report) {
      this.#core.report = undefined;
      report.phases = { ...report.phases, firstByte: now - this.#core.reportAcceptedAt };
      report.blackoutMs = now - this.#lastDeliveredAt;
      this.#core.events.push({ type: 'flowing', report });
    }
    this.#lastDeliveredAt = now;
    if (this.#core.streams.receive.canRead) this.#core.events.push({ type: 'readable' });
  }
}
