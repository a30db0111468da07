/**
 * Where a session at a server lives: on which carrier, whether its client has confirmed that, and how it freezes and
 * moves on (protocol.md §10.5, §10.6, §10.7).
 */
import { NO_MAC, encodePayload, type Point } from '../wire/index.ts';
import type { Failure } from './client-events.ts';
import type { FenceAnswer } from './fence-rules.ts';
import type { SessionCore } from './session-core.ts';
import type { SessionEnd } from './session-end.ts';
import type { SessionOutput } from './session-output.ts';
import type { SnapshotCadence } from './snapshot-cadence.ts';

/** The client's request that brings a session back to the server it lives on. */
export interface ResumeOptions {
  readonly carrierId: number;
  readonly epoch: number;
  /** Where both streams go on, as ACCEPT says; what came and went on the old carrier since is sent twice. */
  readonly inputStart: number;
  readonly outputStart: number;
  readonly credit: number;
  readonly named: Point;
  readonly acceptPayload: Uint8Array;
}

export class SessionAttachment {
  readonly #core: SessionCore;
  readonly #output: SessionOutput;
  readonly #cadence: SnapshotCadence;
  readonly #end: SessionEnd;

  constructor(core: SessionCore, output: SessionOutput, cadence: SnapshotCadence, end: SessionEnd) {
    this.#core = core;
    this.#output = output;
    this.#cadence = cadence;
    this.#end = end;
  }

  /** An authenticated request asked for the session under that epoch: lower ones are stale from now on. */
  noteEpoch(epoch: number): void {
    this.#core.established = true;
    this.#core.highestEpoch = Math.max(this.#core.highestEpoch, epoch);
  }

  /** The carrier of a new session, or of an offer whose ACCEPT is `acceptPayload`. */
  attach(carrierId: number, acceptPayload: Uint8Array | undefined): void {
    this.#core.carrierId = carrierId;
    this.#core.acceptPayload = acceptPayload;
    this.#core.closeSent = false;
    this.#core.pingOut = false;
    this.#core.lastHeardAt = this.#core.now;
    this.#core.timers.cancel('detached');
    this.#core.host.emit({ type: 'attached', session: this.#core.session, carrierId });
  }

  /** ACCEPT is being made, with these offsets: they must still hold when it is there. */
  expectResume(epoch: number, outputStart: number): void {
    this.#core.resuming = { epoch, outputStart };
  }

  forgetResume(epoch: number): void {
    if (this.#core.resuming?.epoch !== epoch) return;
    this.#core.resuming = undefined;
    this.#cadence.pump();
  }

  /** The client came back to this server: `frozen`, `detached` or on a second carrier. */
  resume(options: ResumeOptions): void {
    const wasFrozen = this.#core.state === 'frozen';
    const isInBand = this.#core.carrierId === options.carrierId;
    this.#core.setState('resume');
    const old = this.#core.carrierId;
    if (old !== undefined && old !== options.carrierId) {
      this.#core.carrierId = undefined;
      this.#core.host.hangUp(old, []);
    }
    this.#core.control.length = 0;
    this.noteEpoch(options.epoch);
    this.#core.epoch = options.epoch;
    this.#core.confirmed = false;
    this.#core.resuming = undefined;
    this.#core.detach = undefined;
    const { send, receive } = this.#core.streams;
    if (!this.#core.streams.isRegenerating) {
      send.rewind(options.outputStart, options.credit);
      send.trim(options.outputStart);
    } else send.grant(options.credit);
    receive.reposition(options.inputStart);
    this.#core.snapshots.reattached(options.named);
    this.attach(options.carrierId, options.acceptPayload);
    this.#core.ackNow = true;
    this.#core.timers.cancel('frozen');
    this.#core.timers.set('attach', this.#core.now + this.#core.host.config.timers.attachTimeoutMs);
    if (this.#core.pendingReset) this.#end.sendReset();
    this.#core.host.resumed(this.#core.session);
    if (wasFrozen || isInBand) this.#core.host.emit({ type: 'thawed', session: this.#core.session });
    this.#output.drain();
    this.#core.touch();
  }

  /**
   * The client took this attach: it confirmed it, or names it as the one that it leaves. Where there is a fence, it has the
   * last word; `then` hears it. By then the session may have ended, or been attached anew.
   */
  goLive(then: (answer: FenceAnswer) => void): void {
    const { fence, acceptPayload } = this.#core;
    if (!fence || this.#core.confirmed) {
      this.#confirm();
      then({ kind: 'granted' });
      return;
    }
    fence.goLive((answer) => {
      const isKept = answer.kind === 'unavailable' && fence.config.mode === 'strict';
      if (answer.kind !== 'refused' && !isKept && this.#core.acceptPayload === acceptPayload) this.#confirm();
      then(answer);
    });
  }

  /** The same, as a frame on the session's own carrier says, which waits. Without the fence, `strict` closes that. */
  goLiveByFrame(then: () => void): void {
    const { fence, carrierId, host } = this.#core;
    if (!fence || this.#core.confirmed || carrierId === undefined) {
      this.goLive(then);
      return;
    }
    host.setBusy(carrierId, true);
    this.goLive((answer) => {
      host.setBusy(carrierId, false);
      if (this.#core.carrierId !== carrierId) return;
      if (this.#core.confirmed) this.#end.guarded(then);
      else if (answer.kind === 'unavailable')
        this.expire({ code: 'ERR_GODWIT_FENCE_UNAVAILABLE', message: answer.message });
    });
  }

  #confirm(): void {
    if (this.#core.confirmed || this.#core.state === 'ended') return;
    if (this.#core.state === 'offered') this.#core.setState('confirm');
    else if (this.#core.carrierId === undefined) this.#awaitClient();
    this.#core.confirmed = true;
    this.#core.everConfirmed = true;
    this.#core.acceptPayload = undefined;
    this.#core.timers.cancel('attach');
    this.#core.host.confirmed(this.#core.session);
    this.#core.host.emit({ type: 'confirmed', session: this.#core.session });
    if (!this.#core.protection.isProtected) {
      this.#output.queue(this.#core.protection.frame);
      this.#cadence.tellUnprotected();
    }
    if (this.#core.snapshots.isBehind) this.#core.snapshots.force();
    this.#cadence.pump();
    this.#cadence.look();
    if (this.#core.streams.receive.canRead)
      this.#core.host.emit({ type: 'readable', session: this.#core.session });
  }

  /** An offer dies; a session that lived here before goes on waiting for its client. */
  expire(failure: Failure): void {
    if (this.#core.confirmed) return;
    if (!this.#core.everConfirmed) {
      this.abandon(failure);
      return;
    }
    const carrierId = this.#core.carrierId;
    if (carrierId === undefined) return;
    this.#core.host.hangUp(carrierId, []);
    this.carrierLost();
  }

  /** Stops emitting and feeding; the application is asked for a last snapshot until `deadline`. */
  freeze(deadline: number, announce: boolean): void {
    const already = this.#core.state === 'frozen';
    this.#core.setState('freeze');
    this.#core.timers.cancel('attach');
    this.#core.timers.cancel('detached');
    this.#core.timers.cancel('unprotect');
    this.#core.timers.set('frozen', this.#core.now + this.#core.host.config.timers.frozenTimeoutMs);
    if (announce && this.#core.carrierId !== undefined) {
      this.#output.sendMaced(
        'frozen',
        encodePayload('frozen', { epoch: this.#core.highestEpoch, mac: NO_MAC }),
        'frozen',
      );
    }
    if (already) {
      this.freezeReady();
      return;
    }
    this.#cadence.superseded();
    this.#core.host.emit({ type: 'frozen', session: this.#core.session });
    if (this.#core.applicationGone) this.freezeReady();
    else this.#core.host.emit({ type: 'exportDue', session: this.#core.session, reason: 'freeze', deadline });
  }

  /** Nothing more comes from the application: the hand-over, or DETACHED, may go on. */
  freezeReady(): void {
    if (this.#core.state !== 'frozen') return;
    if (this.#core.detach) {
      this.#core.detach.ready = true;
      this.#core.snapshots.force();
      this.#cadence.pump();
      this.#core.touch();
      return;
    }
    this.#core.host.freezeReady(this.#core.session);
  }

  /** The session lives at `to` now. */
  release(to: string): void {
    this.#core.setState('release');
    const carrierId = this.#core.carrierId;
    this.#core.carrierId = undefined;
    this.#core.timers.clear();
    if (carrierId !== undefined) this.#core.host.hangUp(carrierId, []);
    const { session, applicationGone } = this.#core;
    // Whoever let go of the session is not told where it went, but that it is over: there is something to clean up.
    this.#core.host.emit(
      applicationGone ? { type: 'closed', session, failure: undefined } : { type: 'moved', session, to },
    );
    this.#core.host.ended(this.#core.session, to);
  }

  /** An attach nobody confirmed, or a copy the client left behind: nothing of it may go on. */
  abandon(failure: Failure): void {
    this.#end.finish(failure, [], false);
  }

  carrierLost(): void {
    this.#core.carrierId = undefined;
    this.#core.control.length = 0;
    if (this.#core.state === 'ended') return;
    this.#core.setState('carrierLost');
    this.#core.timers.cancel('ack');
    if (this.#core.everConfirmed && this.#core.state !== 'frozen') this.#awaitClient();
    this.#core.fence?.watch();
    this.#core.host.emit({ type: 'detached', session: this.#core.session });
    this.#core.touch();
  }

  #awaitClient(): void {
    this.#core.timers.set('detached', this.#core.now + this.#core.host.config.timers.detachedTimeoutMs);
    this.#core.touch();
  }
}
