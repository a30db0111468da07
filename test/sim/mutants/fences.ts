/** Faults of the fence (I4, I5; protocol.md §10.10). */
import { mutant, type Mutant } from './mutant.ts';

export const FENCE_MUTANTS: readonly Mutant[] = [
  mutant(
    'ticket-released-before-the-fence',
    ['I4'],
    'a client comes with a ticket of which the fence does not know, and goes back to an older one',
    'session/snapshot-cadence.ts',
    'if (fence === undefined) this.#seal(point);',
    'if (fence === undefined || point.k > 0) this.#seal(point);',
  ),
  {
    name: 'attach-left-without-the-fence',
    breaks: ['I5', 'I4'],
    reason: 'a client has what it was offered long ago handed on, and goes back behind any ticket',
    edits: [
      {
        file: 'session/session-attachment.ts',
        search: 'if (!fence || this.#core.confirmed) {',
        replace: `const asks = Object.hasOwn(this, 'asks');
    Reflect.deleteProperty(this, 'asks');
    if (!fence || this.#core.confirmed || !asks) {`,
      },
      {
        // A frame on the session's own carrier goes on asking.
        file: 'session/session-attachment.ts',
        search: `host.setBusy(carrierId, true);
    this.goLive(`,
        replace: `host.setBusy(carrierId, true);
    Object.assign(this, { asks: true });
    this.goLive(`,
      },
    ],
  },
  mutant(
    'fence-takes-no-ticket-but-the-newest',
    ['I4'],
    'a client whose newest ticket died with its server loses its session',
    'session/fence-rules.ts',
    `const oldest = floor === 'released' ? record.newest : record.acknowledged;`,
    'const oldest = floor === undefined ? record.acknowledged : record.newest;',
  ),
  mutant(
    'fence-record-falls-back',
    ['I4'],
    'a client goes back to tickets that were superseded long ago',
    'session/fence-rules.ts',
    'const { epoch, k } = a !== undefined && comparePoints(a, b) > 0 ? a : b;',
    'const { epoch, k } = a !== undefined && comparePoints(a, b) < 0 ? a : b;',
  ),
  mutant(
    'copy-left-behind-takes-its-record-back',
    ['I5', 'I4'],
    'a server that was stopped wakes up and takes the session from its successor',
    'session/fence-rules.ts',
    `  if (heldEpoch > 0 && record.epoch >= heldEpoch) return WireCode.StaleEpoch;
  if (record.epoch >= epoch) return WireCode.StaleEpoch;`,
    '  void heldEpoch, epoch;',
  ),
];
