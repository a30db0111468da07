/** A fence of the virtual world: one for all servers, away from some of them, and slow, as a test wants. */
import { toHex } from '../../packages/godwit/src/wire/index.ts';
import {
  decideFence,
  type FenceAnswer,
  type FenceQuestion,
  type FenceRecord,
} from '../../packages/godwit/src/session/fence-rules.ts';
import type { Scheduler } from './scheduler.ts';

export interface FenceConditions {
  /** One way, in ms. Default 0: it answers at once. */
  readonly latencyMs?: () => number;
  /** Whether the server can't reach it now. Default: it can. */
  readonly isAway?: (server: string) => boolean;
  /** What was asked is done, and the answer lost. Default: never. */
  readonly losesAnswer?: () => boolean;
}

export class VirtualFence {
  readonly records = new Map<string, FenceRecord>();
  readonly answers: FenceAnswer[] = [];
  readonly #timeoutMs: number;
  conditions: FenceConditions;
  /** See what is written, and what is answered. */
  onWrite: ((before: FenceRecord | undefined, after: FenceRecord) => void) | undefined;
  onAnswer: ((answer: FenceAnswer, question: FenceQuestion) => void) | undefined;

  constructor(conditions: FenceConditions = {}, timeoutMs = 1000) {
    this.conditions = conditions;
    this.#timeoutMs = timeoutMs;
  }

  /** `then` is called once, after `timeoutMs` at the latest. */
  ask(
    scheduler: Scheduler,
    server: string,
    question: FenceQuestion,
    then: (answer: FenceAnswer) => void,
  ): void {
    const { latencyMs, isAway, losesAnswer } = this.conditions;
    const oneWayMs = latencyMs?.() ?? 0;
    if (isAway?.(server) === true) {
      giveUp(scheduler, this.#timeoutMs, then);
      return;
    }
    after(scheduler, oneWayMs, () => {
      const answer = this.#decide(question);
      if (2 * oneWayMs > this.#timeoutMs || losesAnswer?.() === true) {
        giveUp(scheduler, Math.max(0, this.#timeoutMs - oneWayMs), then);
        return;
      }
      after(scheduler, oneWayMs, () => {
        this.answers.push(answer);
        this.onAnswer?.(answer, question);
        then(answer);
      });
    });
  }

  /** Of the session, while only one of that id was ever opened. */
  recordOf(sessionId: string): FenceRecord | undefined {
    for (const [key, record] of this.records) if (key.startsWith(sessionId)) return record;
    return undefined;
  }

  #decide(question: FenceQuestion): FenceAnswer {
    const key = `${toHex(question.sessionId)} ${toHex(question.secret)}`;
    const verdict = decideFence(this.records.get(key), question);
    if (verdict.kind === 'refused') return verdict;
    if (verdict.next) {
      this.onWrite?.(this.records.get(key), verdict.next);
      this.records.set(key, verdict.next);
    }
    return { kind: 'granted' };
  }
}

function giveUp(scheduler: Scheduler, afterMs: number, then: (answer: FenceAnswer) => void): void {
  after(scheduler, afterMs, () => then({ kind: 'unavailable', message: 'it is away' }));
}

function after(scheduler: Scheduler, delayMs: number, run: () => void): void {
  if (delayMs === 0) run();
  else scheduler.after(delayMs, run);
}
