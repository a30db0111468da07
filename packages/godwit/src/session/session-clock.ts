/** What a session at a server does as time passes (protocol.md §13.2). */
import { ProtocolError, WireCode, encodeFrame } from '../wire/index.ts';
import type { Failure } from './client-events.ts';
import type { SessionAttachment } from './session-attachment.ts';
import type { SessionCore, SessionTimer } from './session-core.ts';
import type { SessionEnd } from './session-end.ts';
import type { SessionOutput } from './session-output.ts';
import type { SnapshotCadence } from './snapshot-cadence.ts';

export class SessionClock {
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

  handleTimeout(): void {
    for (
      let timer = this.#core.timers.takeDue(this.#core.now);
      timer !== undefined;
      timer = this.#core.timers.takeDue(this.#core.now)
    )
      this.#handleTimer(timer);
    this.#core.touch();
  }

  #handleTimer(timer: SessionTimer): void {
    const timedOut = (what: string): Failure => ({ code: 'ETIMEDOUT', message: what });
    switch (timer) {
      case 'ack':
        if (this.#core.streams.receive.ackPending) this.#core.ackNow = true;
        return;
      case 'snapshot':
        this.#cadence.intervalPassed();
        return;
      case 'unprotect':
        this.#cadence.blockedTooLong();
        return;
      case 'replay':
        this.#replayPartOver();
        return;
      case 'attach':
        this.#attachment.expire({
          code: 'ERR_GODWIT_ABANDONED',
          message: 'the client did not confirm the attach',
        });
        return;
      case 'detached':
        this.#end.finish(timedOut('the client did not come back'), [], this.#core.pendingReset !== undefined);
        return;
      case 'frozen':
        this.#end.finish(timedOut('nobody took over the frozen session'), [], false);
        return;
      case 'linger':
        this.#end.finish(this.#core.failure, [], true);
        return;
      case 'ticket':
        this.#cadence.refreshTicket();
        return;
      case 'fence':
        this.#core.fence?.handleTimeout();
        return;
      case 'ping':
        this.#ping();
        return;
    }
  }

  #replayPartOver(): void {
    switch (this.#core.replay.partOver()) {
      case 'progress':
        return;
      case 'silence':
        this.#output.queue(encodeFrame('ping', { token: 0 }));
        return;
      case 'over':
        this.#end.fault(
          new ProtocolError(
            WireCode.Diverged,
            'the application made no progress re-creating the output the client has',
          ),
        );
    }
  }

  #ping(): void {
    const { pingIdleMs } = this.#core.host.config.timers;
    const silentMs = this.#core.now - this.#core.lastHeardAt;
    if (this.#core.carrierId !== undefined && silentMs >= pingIdleMs) {
      if (this.#core.pingOut && silentMs >= 3 * pingIdleMs) {
        const carrierId = this.#core.carrierId;
        this.#core.host.hangUp(carrierId, []);
        this.#attachment.carrierLost();
      } else this.#output.queue(encodeFrame('ping', { token: 0 }));
      this.#core.pingOut = true;
    }
    this.#core.timers.set('ping', this.#core.now + pingIdleMs);
  }
}
