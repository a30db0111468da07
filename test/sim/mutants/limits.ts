/** Faults of limits, protection, timers and ends (I6, I7, buffers, timers, leaks). */
import { mutant, type Mutant } from './mutant.ts';

export const LIMIT_MUTANTS: readonly Mutant[] = [
  mutant(
    'output-tail-without-limit',
    ['I7', 'buffers'],
    'a client that does not read fills its server’s memory',
    'session/session-output.ts',
    'send.retainedBytes < this.#core.host.config.limits.outputTailBytes &&',
    '',
  ),
  mutant(
    'loss-of-protection-not-said',
    ['I7', 'I6'],
    'a client that may keep no more waits for a ticket that never comes',
    'session/snapshot-cadence.ts',
    `this.#output.queue(this.#core.protection.frame);
    if (wasProtected) this.tellUnprotected();`,
    'if (wasProtected) this.tellUnprotected();',
  ),
  mutant(
    'blocked-commit-never-degrades',
    ['I7'],
    'in commit mode an output larger than the stage stands still for ever',
    'session/protection.ts',
    'if (isOutputBlocked) this.#lostOutput = this.#streams.outputNext;',
    'void isOutputBlocked;',
  ),
  mutant(
    'timers-outlive-the-session',
    ['timers', 'leaks'],
    'a session that is over wakes its process up for ever',
    'session/client-core.ts',
    `this.timers.clear();
    this.opening?.race.end();`,
    'this.opening?.race.end();',
  ),
  mutant(
    'detached-session-never-ends',
    ['leaks', 'timers'],
    'a session whose client died stays at its server for ever',
    'session/session-attachment.ts',
    `this.#core.timers.set('detached', this.#core.now + this.#core.host.config.timers.detachedTimeoutMs);`,
    'void 0;',
  ),
  mutant(
    'carriers-of-a-race-left-open',
    ['leaks'],
    'every migration leaves carriers open that it set up and did not use',
    'session/candidate-race.ts',
    'for (const ready of this.#ready) this.#host.hangUp(ready.carrierId);',
    '',
  ),
  mutant(
    'client-never-gives-up',
    ['I6', 'timers'],
    'a client whose servers are all gone for good never tells its application',
    'session/client-session.ts',
    `this.#giveUp();
        return;`,
    'return;',
  ),
  mutant(
    'retention-without-limit',
    ['I7', 'buffers'],
    'a client whose server makes no tickets keeps everything it ever sent',
    'session/client-streams.ts',
    'this.send.retainedBytes < this.#limits.retainLimitBytes',
    'this.send.retainedBytes < Infinity',
  ),
  mutant(
    'input-log-without-limit',
    ['I7', 'buffers'],
    'an application that makes no snapshots fills its server’s memory',
    'session/server-streams.ts',
    'if (this.#log.length + bytes.byteLength > this.#logLimitBytes) {',
    'if (this.#log.length < 0) {',
  ),
  mutant(
    'reset-not-acknowledged-by-the-client',
    ['I6', 'timers'],
    'a server that reset a session keeps it until its time runs out',
    'session/client-frames.ts',
    `this.#core.queue(carrierId, encodeFrame('resetAck', {}));`,
    '',
  ),
  mutant(
    'close-not-acknowledged',
    ['leaks', 'timers'],
    'every session stays at its server for a minute after its end',
    'session/client-frames.ts',
    `this.#core.queue(carrierId, encodeFrame('closeAck', {}));`,
    '',
  ),
  mutant(
    'tombstone-forgotten-at-once',
    ['I6', 'I4'],
    'a ticket brings a session back that has ended',
    'session/tombstones.ts',
    'const place = this.#takePlace();',
    'if (this.#size >= 0) return;\n    const place = this.#takePlace();',
  ),
  {
    name: 'restore-attempted-though-input-is-gone',
    breaks: ['I1', 'I6'],
    reason: 'an unprotected session is restored with a hole in its input, or not refused with its code',
    edits: [
      {
        file: 'session/restore-rules.ts',
        search: 'if (migrate.retainedFrom > head.input)',
        replace: 'if (head.input < 0)',
      },
      {
        file: 'session/destination.ts',
        search: `if (!transfer && migrate.retainedFrom > point.input)
      throw new ProtocolError(WireCode.Unprotected, 'input the restart point needs is gone', true);`,
        replace: '',
      },
      {
        file: 'session/destination.ts',
        search: `if (migrate.retainedFrom > streams.receive.received)
      throw new ProtocolError(WireCode.Unprotected, 'input the restart point needs is gone', true);`,
        replace: '',
      },
    ],
  },
  mutant(
    'reset-not-acknowledged-by-the-server',
    ['I6', 'timers'],
    'a client that reset its session waits for an answer until its time runs out',
    'session/session-frames.ts',
    `[encodeFrame('resetAck', {})],`,
    '[],',
  ),
  mutant(
    'close-before-the-last-byte-is-out',
    ['I1'],
    'the session ends while its last bytes are still at the server',
    'session/session-output.ts',
    'if (this.#canClose && !this.#core.closeSent && send.sent === send.next) this.#sendClose();',
    'if (this.#canClose && !this.#core.closeSent) this.#sendClose();',
  ),
];
