/** How a session at a server ends (protocol.md §5.12): faults of either side, RESET, and the last word to the node. */
import { NO_MAC, ProtocolError, WireCode, encodePayload, macedPart, type Frame } from '../wire/index.ts';
import type { Failure } from './client-events.ts';
import type { MacLabel } from './crypto.ts';
import type { SessionCore } from './session-core.ts';
import type { SessionOutput } from './session-output.ts';
import { assert } from './state-table.ts';

export class SessionEnd {
  readonly #core: SessionCore;
  readonly #output: SessionOutput;

  constructor(core: SessionCore, output: SessionOutput) {
    this.#core = core;
    this.#output = output;
  }

  /** The application's own fault (divergence) ends the session with a code at both sides. */
  guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fault(error);
    }
    this.#core.touch();
  }

  /** Goes on with a frame once its MAC is verified; the carrier takes no other frame until then. */
  verified(
    label: MacLabel,
    frame: Frame & { readonly mac: Uint8Array },
    then: () => void,
    context: readonly Uint8Array[] = [],
  ): void {
    const carrierId = this.#core.carrierId;
    assert(carrierId !== undefined, 'a frame without a carrier');
    this.#core.host.setBusy(carrierId, true);
    const data = [...context, macedPart(frame.payload)];
    this.#core.host.crypto.ask(
      { op: 'verify', secret: this.#core.secret, label, data, mac: frame.mac },
      ({ ok }) => {
        this.#core.host.setBusy(carrierId, false);
        if (this.#core.carrierId !== carrierId || this.#core.state === 'ended') return;
        this.guarded(() => {
          if (!ok)
            throw new ProtocolError(
              WireCode.Unauthenticated,
              `${frame.frame.toUpperCase()} with a wrong MAC`,
            );
          then();
        });
      },
    );
  }

  /** A fault of either side that ends the session: RESET with its code, and the same error here. */
  fault(error: ProtocolError): void {
    // The RESET of an earlier fault is being made, and ends the session: without it the client would come back.
    if (this.#core.failure && this.#core.pendingReset && this.#core.carrierId !== undefined) return;
    this.#core.failure = { code: error.code, message: error.message };
    this.#core.timers.clear();
    const isResetting = this.#core.pendingReset !== undefined;
    this.reset(error.wireCode, error.message);
    if (this.#core.carrierId === undefined || isResetting) this.finish(this.#core.failure, [], true);
  }

  reset(code: number, message: string): void {
    if (this.#core.state === 'ended' || this.#core.pendingReset) return;
    this.#core.pendingReset = { code, message };
    this.#core.applicationGone = true;
    this.#core.streams.receive.discard();
    this.#core.timers.set('linger', this.#core.now + this.#core.host.config.timers.lingerMs);
    this.#core.touch();
    this.sendReset();
  }

  sendReset(): void {
    const reset = this.#core.pendingReset;
    if (!reset || this.#core.carrierId === undefined) return;
    const payload = encodePayload('reset', {
      epoch: this.#core.epoch,
      code: reset.code,
      message: reset.message,
      mac: NO_MAC,
    });
    this.#output.sendMaced('reset', payload, 'reset-server', [], () => {
      if (this.#core.failure) this.finish(this.#core.failure, [], true);
    });
  }

  /** Over, at once: `last` goes out before the carrier closes; `entomb` when the client may still ask for it. */
  finish(failure: Failure | undefined, last: readonly Uint8Array[], entomb: boolean): void {
    if (this.#core.state === 'ended') return;
    this.#core.setState('end');
    this.#core.timers.clear();
    const carrierId = this.#core.carrierId;
    this.#core.carrierId = undefined;
    if (carrierId !== undefined)
      this.#core.host.hangUp(carrierId, [...this.#core.control.splice(0), ...last]);
    this.#core.host.emit({ type: 'closed', session: this.#core.session, failure });
    if (entomb && this.#core.everConfirmed) this.#core.host.ended(this.#core.session, undefined);
    else this.#core.host.ended(this.#core.session, '');
  }
}
