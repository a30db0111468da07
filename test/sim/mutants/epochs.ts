/** Faults of epochs, attaches and triggers: who may take a session, and when (I2, I5). */
import { mutant, type Mutant } from './mutant.ts';

export const EPOCH_MUTANTS: readonly Mutant[] = [
  mutant(
    'pull-of-a-stale-epoch-freezes',
    ['I5', 'I6'],
    'a PULL for an attach that its client gave up freezes a session that works',
    'session/origin.ts',
    'if (migrate.epoch <= session.highestEpoch)',
    'if (migrate.epoch < 0)',
  ),
  mutant(
    'release-of-a-stale-epoch-taken',
    ['I5', 'I6'],
    'a RELEASE that comes late ends a session whose client has come back since',
    'session/origin.ts',
    'if (migrate && migrate.epoch > session.highestEpoch)',
    'if (migrate)',
  ),
  mutant(
    'client-asks-twice-under-one-epoch',
    ['I5'],
    'an abandoned attempt and the one after it look the same to servers',
    'session/client-migration.ts',
    `this.#core.askedEpoch += 1;
    const attachId`,
    `if (this.#core.attempt === undefined || attempt.attempts === 0) this.#core.askedEpoch += 1;
    const attachId`,
  ),
  {
    name: 'old-carrier-goes-on-delivering',
    breaks: ['I2'],
    reason: 'what a zombie still sends is taken for the new server’s output',
    edits: [
      {
        file: 'session/client-migration.ts',
        search: `if (old && old.carrierId !== outstanding.ready.carrierId) this.#core.hangUp(old.carrierId);`,
        replace: 'void old;',
      },
      {
        file: 'session/client-session.ts',
        search: `if (!isCurrent) throw new ProtocolError(WireCode.Protocol, 'DATA on a carrier that is not attached');`,
        replace: '',
      },
    ],
  },
  {
    name: 'trigger-of-an-old-epoch-obeyed',
    breaks: ['I5', 'I8'],
    reason: 'a TRIGGER that was recorded moves sessions for ever after',
    edits: [
      {
        file: 'session/client-triggers.ts',
        search: `this.#core.destroyed ||
      frame.epoch !== this.#core.attachment?.epoch
    )`,
        replace: `this.#core.destroyed
    )`,
      },
      {
        file: 'session/client-triggers.ts',
        search: `if (this.#core.state !== 'attached' || frame.epoch !== this.#core.attachment?.epoch) return;`,
        replace: `if (this.#core.state !== 'attached' || !this.#core.attachment) return;`,
      },
    ],
  },
  mutant(
    'trigger-obeyed-twice',
    ['I5', 'I8'],
    'a TRIGGER that is repeated after its migration failed asks again',
    'session/client-triggers.ts',
    'return this.#last.epoch === frame.epoch && frame.counter <= this.#last.counter;',
    'return frame.counter < 0;',
  ),
  mutant(
    'confirm-never-sent',
    ['I5', 'I6'],
    'no attach is ever confirmed: every server that took the session lets go of it',
    'session/client-migration.ts',
    `this.#core.sendMaced(outstanding.ready.carrierId, 'confirm', confirm, 'confirm', [accept.payload]);`,
    'void confirm;',
  ),
  mutant(
    'confirm-not-waited-for',
    ['I5', 'I3'],
    'an attach that its client abandoned writes tickets and releases the origin',
    'session/session-attachment.ts',
    `this.#core.host.emit({ type: 'attached', session: this.#core.session, carrierId });`,
    `this.#core.host.emit({ type: 'attached', session: this.#core.session, carrierId });
    if (acceptPayload) this.confirm();`,
  ),
  mutant(
    'ticket-written-before-confirm',
    ['I4', 'I5'],
    'an abandoned attempt leaves a ticket of a rival history behind',
    'session/snapshot-cadence.ts',
    'if (!this.#core.confirmed || this.#core.carrierId === undefined',
    'if (this.#core.carrierId === undefined',
  ),
  mutant(
    'offer-never-expires',
    ['leaks', 'timers'],
    'an attach that nobody confirmed stays at the destination for ever',
    'session/session-clock.ts',
    `this.#attachment.expire({`,
    'void ({',
  ),
  mutant(
    'attach-of-a-stale-epoch-taken',
    ['I2', 'I5'],
    'a MIGRATE that was overtaken takes the session away from the carrier it lives on by now',
    'session/destination.ts',
    'if (migrate.epoch <= session.highestEpoch)',
    'if (migrate.epoch < 0)',
  ),
];
