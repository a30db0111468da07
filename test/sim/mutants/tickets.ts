/** Faults of snapshots and tickets: what a restore begins with (I1, I3, I4). */
import { mutant, type Mutant } from './mutant.ts';

export const TICKET_MUTANTS: readonly Mutant[] = [
  mutant(
    'input-forgotten-with-the-first-piece-of-a-ticket',
    ['I3'],
    'a server that dies while a ticket is in transit takes input with it that only the old ticket covers',
    'session/client-streams.ts',
    `const ticket = this.tickets.accept(frame);
    if (!ticket) return undefined;
    this.send.trim(ticket.input);`,
    `this.send.trim(frame.input);
    const ticket = this.tickets.accept(frame);
    if (!ticket) return undefined;`,
  ),
  mutant(
    'input-forgotten-one-byte-early',
    ['I3'],
    'one byte of what the newest ticket needs is gone',
    'session/client-streams.ts',
    'this.send.trim(ticket.input);',
    'this.send.trim(ticket.input + 1);',
  ),
  mutant(
    'input-forgotten-on-acknowledgement',
    ['I3'],
    'what the dead server had acknowledged nobody has',
    'session/client-streams.ts',
    'if (!this.#protected) this.send.trim(Math.min(this.send.acknowledged, this.#lost.input));',
    'this.send.trim(this.send.acknowledged);',
  ),
  mutant(
    'input-acknowledged-by-a-ticket-before-it-is-consumed',
    ['I1', 'I3'],
    'a ticket claims input that its state has not seen: after a crash it is skipped',
    'session/snapshot-cadence.ts',
    'input: input + (inputFinished ? 1 : 0),',
    'input: Math.max(input + (inputFinished ? 1 : 0), this.#core.streams.receive.received),',
  ),
  mutant(
    'ticket-covers-one-byte-too-much-output',
    ['I1', 'I3'],
    'after a crash one byte of the output is missing',
    'session/snapshot-cadence.ts',
    'output: this.#core.streams.outputNext,',
    'output: this.#core.streams.outputNext + (this.#core.streams.finished ? 0 : 1),',
  ),
  mutant(
    'ticket-before-the-output-it-covers',
    ['I3'],
    'a client holds a ticket whose output it does not have',
    'session/snapshot-sender.ts',
    'if (!transit || transit.offset >= transit.bytes.byteLength || sent < transit.point.output) return false;',
    'if (!transit || transit.offset >= transit.bytes.byteLength) return false;',
  ),
  mutant(
    'ticket-in-transit-takes-the-newest-point’s-name',
    ['I3', 'I4'],
    'the client believes that it holds a newer point than its ticket has, and frees input for it',
    'session/snapshot-sender.ts',
    'const { epoch, k, input, output } = transit.point;',
    'const { epoch, k, input, output } = sent < this.#newest.output ? transit.point : this.#newest;',
  ),
  mutant(
    'piece-of-a-superseded-ticket-mixed-in',
    ['I3'],
    'a ticket is put together from pieces of two, and opens nowhere',
    'session/snapshot-sender.ts',
    'this.#transit = { point, bytes, headBytes: head.byteLength, offset: 0 };',
    'this.#transit = { point, bytes: this.#mixed(bytes), headBytes: head.byteLength, offset: 0 };\n  }\n' +
      '  #last = new Uint8Array(0);\n' +
      '  #mixed(bytes: Uint8Array): Uint8Array {\n' +
      '    const from = MAX_SNAPSHOT_CHUNK_BYTES;\n' +
      '    const mixed = bytes.slice();\n' +
      '    if (this.#last.byteLength > from && bytes.byteLength > from)\n' +
      '      mixed.set(this.#last.subarray(from, Math.min(this.#last.byteLength, bytes.byteLength)), from);\n' +
      '    this.#last = bytes;\n' +
      '    return mixed;',
  ),
  {
    name: 'older-restart-point-accepted-by-the-client',
    breaks: ['I4'],
    reason: 'a ticket that came while MIGRATE was out is left behind: the session goes back',
    edits: [
      {
        file: 'session/client-streams.ts',
        search: `held &&
      !resumed &&
      (accept.restartEpoch < held.epoch`,
        replace: `held &&
      held.k < 0 &&
      (accept.restartEpoch < held.epoch`,
      },
    ],
  },
  mutant(
    'snapshot-number-not-raised',
    ['I4'],
    'two points bear one name, and the older may be taken for the newer',
    'session/snapshot-cadence.ts',
    'k: this.#core.k + 1,',
    'k: Math.max(1, this.#core.k),',
  ),
  mutant(
    'divergence-not-checked',
    ['I1'],
    'an application that is not deterministic gives its client a mixture of two executions',
    'session/server-streams.ts',
    'if (regeneration.digest !== undefined && regeneration.crc !== regeneration.digest) {',
    'if (regeneration.digest === undefined && regeneration.crc !== 0) {',
  ),
  mutant(
    'digest-begins-elsewhere',
    ['I6'],
    'an honest application is accused of divergence',
    'session/digest-window.ts',
    'this.#copies.trim(offset);\n    this.#from = this.#copies.start;',
    'this.#copies.trim(offset);\n    this.#from = this.#copies.start + 1;',
  ),
  mutant(
    'ticket-never-refreshed',
    ['I3', 'timers'],
    'a session that has been quiet for an hour cannot be restored',
    'session/session-clock.ts',
    'this.#cadence.refreshTicket();',
    '',
  ),
  mutant(
    'point-of-a-ticket-not-acknowledged-taken-for-held',
    ['I3'],
    'after a new carrier the server believes that its client holds its newest point, and sends it no ticket',
    'session/snapshot-sender.ts',
    'if (comparePoints(named, this.#newest) === 0)',
    `if (comparePoints(named, this.#newest) <= 0) {
      const { epoch, k } = this.#newest;
      named = { epoch, k };
    }
    if (comparePoints(named, this.#newest) === 0)`,
  ),
];
