/** What a session at a server does with each frame of its client (protocol.md §10.2). */
import { Delivery, ProtocolError, WireCode, encodeFrame, errorCodeOf, type Frame } from '../wire/index.ts';
import { pongTo } from './answers.ts';
import type { Incoming } from './client-events.ts';
import type { SessionAttachment } from './session-attachment.ts';
import type { SessionCore } from './session-core.ts';
import type { SessionEnd } from './session-end.ts';
import type { SessionOutput } from './session-output.ts';
import type { SnapshotCadence } from './snapshot-cadence.ts';

export class SessionFrames {
  readonly #core: SessionCore;
  readonly #output: SessionOutput;
  readonly #cadence: SnapshotCadence;
  readonly #end: SessionEnd;
  readonly #attachment: SessionAttachment;

  constructor(
    core: SessionCore,
    output: SessionOutput,
    cadence: SnapshotCadence,
    end: SessionEnd,
    attachment: SessionAttachment,
  ) {
    this.#core = core;
    this.#output = output;
    this.#cadence = cadence;
    this.#end = end;
    this.#attachment = attachment;
  }

  /** A frame on the session's carrier. Throws `ProtocolError` for the peer's faults. */
  handleFrame(frame: Incoming): void {
    this.#core.lastHeardAt = this.#core.now;
    this.#core.pingOut = false;
    // Input may come before SUPPORT has reached the client; nothing else does.
    if (frame.frame !== 'data' && frame.frame !== 'fin') this.#core.established = true;
    this.#dispatch(frame);
    this.#core.touch();
  }

  #dispatch(frame: Incoming): void {
    const { send, receive } = this.#core.streams;
    switch (frame.frame) {
      case 'data':
        if (this.#core.state === 'frozen') return; // the client sends it again to wherever it attaches
        if (!this.#core.streams.acceptData(frame.bytes)) {
          if (receive.ackPending)
            this.#core.timers.start('ack', this.#core.now + this.#core.host.config.timers.ackDelayMs);
          return;
        }
        if (this.#core.applicationGone) receive.discard();
        if (receive.ackDue) this.#core.ackNow = true;
        else this.#core.timers.start('ack', this.#core.now + this.#core.host.config.timers.ackDelayMs);
        if (receive.canRead) this.#core.host.emit({ type: 'readable', session: this.#core.session });
        if (this.#core.timers.has('replay')) this.#core.replay.progress();
        this.#cadence.progress();
        return;
      case 'fin':
        if (this.#core.state === 'frozen' || !receive.acceptFin(frame.offset)) return;
        if (this.#core.timers.has('replay')) this.#core.replay.progress();
        if (this.#core.applicationGone) receive.discard();
        this.#core.timers.start('ack', this.#core.now + this.#core.host.config.timers.ackDelayMs);
        if (receive.canRead) this.#core.host.emit({ type: 'readable', session: this.#core.session });
        return;
      case 'ack':
        if (
          frame.received > send.acknowledged &&
          this.#core.timers.has('linger') &&
          !this.#core.pendingReset
        ) {
          this.#core.timers.set('linger', this.#core.now + this.#core.host.config.timers.lingerMs); // it still takes what is left
        }
        send.acknowledge(frame.received);
        send.grant(frame.credit);
        send.trim(Math.min(frame.received, this.#core.resuming?.outputStart ?? frame.received));
        this.#output.drain();
        this.#cadence.checkBlocked();
        if (this.#core.host.config.delivery === Delivery.Commit) this.#cadence.pump(); // a point may have waited for credit
        return;
      case 'snapshotAck':
        if (this.#core.snapshots.acknowledge(frame)) this.#cadence.covered();
        return;
      case 'ping':
        this.#output.queue(pongTo(frame, this.#unsentFrames));
        return;
      case 'pong':
        return;
      case 'closeAck':
        if (this.#core.closeSent) this.#end.finish(undefined, [], true);
        return;
      case 'resetAck':
        if (this.#core.pendingReset) this.#end.finish(this.#core.failure, [], true);
        return;
      case 'close':
        this.#end.verified('close-client', frame, () => {
          // Of an earlier attach, or input was dropped meanwhile: the client says it again to wherever it attaches.
          if (frame.epoch !== this.#core.epoch || this.#core.state === 'frozen') return;
          if (frame.final !== receive.received)
            throw new ProtocolError(
              WireCode.Protocol,
              `CLOSE at ${frame.final}, but ${receive.received} were received`,
            );
          // A fault of the application, whose RESET is still being made, stays one.
          this.#end.finish(this.#core.failure, [encodeFrame('closeAck', {})], true);
        });
        return;
      case 'reset':
        this.#end.verified('reset-client', frame, () => {
          if (frame.epoch !== this.#core.epoch) return; // of an earlier attach
          this.#end.finish(
            { code: errorCodeOf(frame.code), message: frame.message },
            [encodeFrame('resetAck', {})],
            true,
          );
        });
        return;
      case 'confirm':
        this.#handleConfirm(frame);
        return;
      case 'detach':
        this.#end.verified('detach', frame, () => {
          if (frame.epoch <= this.#core.highestEpoch) return;
          this.#attachment.noteEpoch(frame.epoch);
          // Whoever detaches the session has our ACCEPT.
          this.#attachment.goLiveByFrame(() => {
            if (frame.epoch !== this.#core.highestEpoch) return; // overtaken
            this.#core.detach = { epoch: frame.epoch, ready: false, sent: false };
            this.#attachment.freeze(this.#core.now + this.#core.host.config.timers.pullTimeoutMs / 4, false);
          });
        });
        return;
      default:
        throw new ProtocolError(WireCode.Protocol, `${frame.frame.toUpperCase()} within a session`);
    }
  }

  /** Those that wait for a carrier which takes no more. */
  get #unsentFrames(): number {
    const { carrierId, control, host } = this.#core;
    return carrierId !== undefined && host.isWritable(carrierId) ? 0 : control.length;
  }

  #handleConfirm(frame: Frame<'confirm'>): void {
    const accept = this.#core.acceptPayload;
    if (!accept || frame.epoch !== this.#core.epoch) return; // of an earlier attach
    this.#end.verified(
      'confirm',
      frame,
      () => {
        if (this.#core.acceptPayload === accept) this.#attachment.goLiveByFrame(() => undefined);
      },
      [accept],
    );
  }
}
