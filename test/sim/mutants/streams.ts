/** Faults of the two streams: offsets, acknowledgements, credit, the stage of commit mode (I1, I7). */
import { mutant, type Mutant } from './mutant.ts';

export const STREAM_MUTANTS: readonly Mutant[] = [
  mutant(
    'one-byte-too-many-dropped-as-a-duplicate',
    ['I1'],
    'the first new byte behind a resume is lost',
    'session/receive-buffer.ts',
    'const duplicate = Math.min(this.#received - this.#position, bytes.byteLength);',
    'const behind = this.#received - this.#position;\n    const duplicate = Math.min(behind === 0 ? 0 : behind + 1, bytes.byteLength);',
  ),
  mutant(
    'output-freed-when-it-is-sent',
    ['I1', 'I6'],
    'what was under way on a carrier that broke is gone',
    'session/session-output.ts',
    'const piece = this.#core.snapshots.transmit(parts, send.sent);',
    'send.trim(send.sent);\n      const piece = this.#core.snapshots.transmit(parts, send.sent);',
  ),
  mutant(
    'output-freed-one-byte-early',
    ['I1', 'I6'],
    'the first byte that the client lacks is gone',
    'session/session-frames.ts',
    'send.trim(Math.min(frame.received, this.#core.resuming?.outputStart ?? frame.received));',
    'send.trim(Math.min(frame.received, this.#core.resuming?.outputStart ?? frame.received) + 1);',
  ),
  mutant(
    'resume-goes-on-where-the-carrier-broke',
    ['I1'],
    'what was lost on the old carrier is not sent again',
    'session/session-attachment.ts',
    'send.rewind(options.outputStart, options.credit);',
    'send.grant(options.credit);',
  ),
  mutant(
    'restart-offset-one-byte-off',
    ['I1'],
    'the client is asked for its input from one byte behind what the restart point needs',
    'session/destination.ts',
    `inputStart: streams.receive.received,`,
    `inputStart: streams.receive.received + 1,`,
  ),
  mutant(
    'client-goes-on-at-its-own-offset',
    ['I1'],
    'input that the dead server had and its ticket does not cover is never sent again',
    'session/client-streams.ts',
    'this.send.rewind(accept.inputStart, accept.credit);',
    'this.send.rewind(Math.max(accept.inputStart, this.send.sent), accept.credit);',
  ),
  mutant(
    'fin-takes-no-offset',
    ['I1', 'I6'],
    'a stream that ended is not known to have ended behind a migration',
    'session/receive-buffer.ts',
    'this.#received = offset + 1;',
    'this.#received = offset;',
  ),
  mutant(
    'fin-not-restored',
    ['I1', 'I6'],
    'an output that had ended goes on, or never ends, behind a crash',
    'session/server-streams.ts',
    'if (point.outputFinished) send.finish();',
    '',
  ),
  mutant(
    'credit-counted-twice',
    ['I7', 'buffers'],
    'a peer may send twice what there is room for',
    'session/receive-buffer.ts',
    `if (this.#consumed + this.#windowBytes > this.#granted)
      this.#granted = this.#consumed + this.#windowBytes;`,
    'this.#granted += count + this.#windowBytes;',
  ),
  mutant(
    'credit-overrun-by-the-sender',
    ['I7', 'buffers'],
    'a slow application is sent more than it has room for',
    'session/send-buffer.ts',
    'const to = Math.min(this.#queue.end, this.#credit, from + maxBytes, from + MAX_FRAME_BYTES, stopAt);',
    'const to = Math.min(this.#queue.end, this.#credit + 1, from + maxBytes, from + MAX_FRAME_BYTES, stopAt);',
  ),
  mutant(
    'credit-not-renewed',
    ['I7', 'I6'],
    'a stream stands still once its first window is used up',
    'session/receive-buffer.ts',
    `if (this.#consumed + this.#windowBytes > this.#granted)
      this.#granted = this.#consumed + this.#windowBytes;`,
    '',
  ),
  mutant(
    'commit-output-delivered-before-its-ticket',
    ['I1'],
    'the application sees output of an execution that may not survive',
    'session/client-streams.ts',
    'this.receive.release(delivery === Delivery.Commit ? this.receive.handed : Number.MAX_SAFE_INTEGER);',
    'this.receive.release(Number.MAX_SAFE_INTEGER);',
  ),
  mutant(
    'stage-not-dropped-at-a-restart',
    ['I1'],
    'output of an execution that did not survive is delivered with the ticket of the one that did',
    'session/client-streams.ts',
    'this.receive.truncate(this.#keptOutput(accept, resumed));',
    '',
  ),
  mutant(
    'commit-output-goes-on-at-the-client’s-offset',
    ['I1'],
    'in commit mode the staged part of an execution that died is taken for the surviving one’s',
    'session/server-streams.ts',
    `delivery === Delivery.Commit
        ? Math.min(restored.clientReceived, point.output)
        : restored.clientReceived;`,
    'restored.clientReceived;\n    void delivery;',
  ),
  mutant(
    'duplicates-dropped-one-byte-short',
    ['I1'],
    'a byte that came over the old carrier comes again over the new one',
    'session/receive-buffer.ts',
    'const duplicate = Math.min(this.#received - this.#position, bytes.byteLength);',
    'const duplicate = Math.min(Math.max(0, this.#received - this.#position - 1), bytes.byteLength);',
  ),
  mutant(
    'commit-output-delivered-with-the-first-piece-of-its-ticket',
    ['I1', 'I3'],
    'the application sees output whose ticket is lost when the server dies in the middle of it',
    'session/client-streams.ts',
    `const ticket = this.tickets.accept(frame);
    if (!ticket) return undefined;`,
    `const ticket = this.tickets.accept(frame);
    this.#releaseTo(frame.output);
    if (!ticket) return undefined;`,
  ),
];
