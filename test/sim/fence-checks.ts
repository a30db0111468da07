/** What must hold of a fence's records, and of the servers that ask it (protocol.md §10.10; I4, I5). */
import { WireCode, comparePoints, toHex, type Frame } from '../../packages/godwit/src/wire/index.ts';
import type {
  FenceAnswer,
  FenceQuestion,
  FenceRecord,
  ServerSession,
} from '../../packages/godwit/src/session/index.ts';
import { VirtualFence } from '../world/virtual-fence.ts';
import { fenceConditions, type FencePlan } from './fence-plan.ts';
import type { Simulation } from './simulation.ts';

export class FenceChecks {
  readonly store: VirtualFence;
  readonly #simulation: Simulation;
  readonly #plan: FencePlan;

  constructor(simulation: Simulation, plan: FencePlan) {
    this.#simulation = simulation;
    this.#plan = plan;
    const { world } = simulation;
    this.store = new VirtualFence(
      fenceConditions(
        plan,
        () => world.now,
        () => world.now > simulation.plan.healsAtMs,
      ),
    );
    this.store.onWrite = (before, after) => this.#written(before, after);
    this.store.onAnswer = (answer, question) => this.#answered(answer, question);
    for (const { atMs, lastsMs, how } of plan.faults)
      world.scheduler.at(atMs, () => {
        simulation.faults.disturbances.add(atMs, lastsMs);
        simulation.coverage.count('workload', `fence ${how}`);
      });
    simulation.coverage.count('workload', `fence ${plan.config.mode}`);
  }

  /** A ticket is here, so the fence knows of it: always where `strict` would not have released it otherwise. */
  ticketArrives(sessionId: string, { epoch, k }: Frame<'snapshot'>): void {
    if (this.#plan.config.mode !== 'strict') return;
    const records = [...this.store.records].filter(([key]) => key.startsWith(sessionId));
    this.#expect(
      records.some(([, { newest }]) => comparePoints(newest, { epoch, k }) >= 0),
      'I4',
      () => `ticket (${epoch}, ${k}) was released, and the fence does not know of it`,
    );
  }

  /** A server counts as the session's, by CONFIRM or by a client that names it as the one that it leaves. */
  confirmedAt(server: string, { id, epoch }: ServerSession): void {
    if (this.#plan.config.mode !== 'strict') return;
    const records = [...this.store.records].filter(([key]) => key.startsWith(id));
    this.#expect(
      records.some(([, record]) => record.epoch >= epoch),
      'I5',
      () => `${server} is confirmed for epoch ${epoch}, and the fence does not know of it`,
    );
  }

  /** Two servers that own one epoch, or a record that falls back, is what a fence is there to prevent. */
  #written(before: FenceRecord | undefined, after: FenceRecord): void {
    if (!before) return;
    this.#expect(
      after.epoch > before.epoch || (after.epoch === before.epoch && after.owner === before.owner),
      'I5',
      () =>
        `epoch ${after.epoch} belongs to ${before.server} (${before.owner}), and goes to ${after.server} (${after.owner})`,
    );
    this.#expect(
      comparePoints(after.newest, before.newest) >= 0 &&
        comparePoints(after.acknowledged, before.acknowledged) >= 0 &&
        (after.ended || !before.ended),
      'I4',
      () => `the record of ${after.server} falls back`,
    );
  }

  /** Clients mean well here: one comes with a ticket that is too old only if it got a newer one since it asked. */
  #answered(answer: FenceAnswer, { sessionId, point }: FenceQuestion): void {
    this.#simulation.coverage.count('workload', `fence ${answer.kind}`);
    const held = this.#simulation.clientOf(toHex(sessionId))?.client.session.streams.tickets.held;
    if (held && comparePoints(held, point) > 0) return;
    this.#expect(
      answer.kind !== 'refused' || answer.code !== WireCode.StalePoint,
      'I4',
      () => 'the fence refuses the ticket of a client that means well',
    );
  }

  #expect(holds: boolean, checker: 'I4' | 'I5', message: () => string): void {
    this.#simulation.violations.expect(holds, checker, message);
  }
}
