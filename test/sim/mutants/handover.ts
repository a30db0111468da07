/** Faults of the hand-over between servers: freeze, STATE, thaw, release (I5, I6). */
import { mutant, type Mutant } from './mutant.ts';

export const HANDOVER_MUTANTS: readonly Mutant[] = [
  mutant(
    'frozen-origin-goes-on-emitting',
    ['I5'],
    'output behind the restart point reaches the client from a server that has handed the session over',
    'session/session-output.ts',
    `if (this.#core.state === 'frozen') {
      if (this.#core.detach?.ready && !this.#core.detach.sent) this.#transmitDetach(parts);
      return parts;
    }`,
    `if (this.#core.state === 'frozen' && this.#core.detach?.ready && !this.#core.detach.sent)
      this.#transmitDetach(parts);`,
  ),
  mutant(
    'frozen-origin-goes-on-feeding',
    ['I1', 'I5'],
    'the origin’s application consumes input that the destination’s consumes too',
    'session/server-session.ts',
    `if (this.#core.state === 'frozen') return undefined;`,
    '',
  ),
  mutant(
    'frozen-session-thaws-by-itself',
    ['I5'],
    'origin and destination both go on, each believing the session its own',
    'session/session-attachment.ts',
    `if (this.#core.detach) {
      this.#core.detach.ready = true;`,
    `if (!this.#core.detach) {
      this.#core.host.freezeReady(this.#core.session);
      this.#core.setState('resume');
      this.#core.setState('confirm');
      this.#core.host.emit({ type: 'thawed', session: this.#core.session });
      return;
    }
    if (this.#core.detach) {
      this.#core.detach.ready = true;`,
  ),
  mutant(
    'time-thaws-a-frozen-session',
    ['I5'],
    'a session that nobody took within the limit goes on here, though another server may have it',
    'session/session-clock.ts',
    `this.#end.finish(timedOut('nobody took over the frozen session'), [], false);`,
    `void timedOut;
        this.#core.setState('resume');
        this.#core.setState('confirm');
        this.#core.host.emit({ type: 'thawed', session: this.#core.session });`,
  ),
  mutant(
    'confirmed-ignored-by-the-origin',
    ['I5', 'leaks'],
    'the origin keeps its copy, and its application never learns that the session has moved',
    'session/peer-dispatch.ts',
    'origin.handleConfirmed(peer, frame);',
    '',
  ),
  mutant(
    'confirmed-sent-with-the-accept',
    ['I5', 'I6'],
    'the origin drops its copy before the client took the new one',
    'session/destination.ts',
    `session.queue(framePayload('accept', accept));
      if (terminal) return;`,
    `session.queue(framePayload('accept', accept));
      this.#host.sessionHost.confirmed(session);
      if (terminal) return;`,
  ),
  mutant(
    'ticket-of-a-session-let-go-of-starts-an-application',
    ['I1'],
    'an application begins without a state in mid-input, of a session that another one has ended',
    'session/destination.ts',
    '(transfer ?? head).terminal',
    '(transfer?.terminal ?? false)',
  ),
  mutant(
    'abort-ignored',
    ['I5', 'leaks'],
    'an origin still hands a session over to a destination that has given it up',
    'session/peer-dispatch.ts',
    'origin.handleAbort(peer, frame);',
    '',
  ),
  mutant(
    'release-never-sent',
    ['I5', 'leaks'],
    'a server that was left behind goes on acting for the session until its time runs out',
    'session/farewells.ts',
    'else host.arm(new Repeated(now, releaseDelays(this.#config.timers), send));',
    '',
  ),
  mutant(
    'pull-believed-without-the-client’s-proof',
    ['I8', 'I5'],
    'any member can take any session',
    'session/origin.ts',
    'if (!ok || migrate.origin !== this.#host.config.name)',
    'if (migrate.origin !== this.#host.config.name)',
  ),
  mutant(
    'session-given-back-stays-frozen',
    ['I6'],
    'a planned migration that failed leaves the session standing still at its origin',
    'session/client-migration.ts',
    'if (attempt.mayHaveFrozen || this.#core.attachment?.suspended) this.thaw(now);',
    '',
  ),
  mutant(
    'output-tail-one-byte-short',
    ['I1'],
    'one byte is missing where the output goes on at the destination',
    'session/session-transfer.ts',
    'const tailFrom = Math.min(outputBytes, Math.max(clientReceived, streams.send.retainedFrom));',
    'const tailFrom = Math.min(outputBytes, Math.max(clientReceived + 1, streams.send.retainedFrom));',
  ),
  mutant(
    'input-log-begins-one-byte-late',
    ['I1'],
    'the destination’s application never sees one byte of the input',
    'session/session-transfer.ts',
    'const log = terminal ? [] : streams.logFrom(inputBytes);',
    'const log = terminal ? [] : streams.logFrom(inputBytes)?.map((part, i) => part.subarray(i === 0 ? 1 : 0));',
  ),
  mutant(
    'moved-acknowledgements-forgotten',
    ['I1'],
    'output that the client acknowledged to the origin while it waited is expected at the wrong offset',
    'session/server-streams.ts',
    'const start = Math.max(named, restored.tailFrom ?? 0);',
    'const start = named;',
  ),
];
