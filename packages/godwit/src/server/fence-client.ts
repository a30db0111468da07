/** Asks a fence for the core, which waits no longer than `timeoutMs` for any answer (protocol.md §10.10). */
import { settleQuestion, type Fence } from '../cluster/fence.ts';
import { fenceKey } from '../crypto/index.ts';
import type { FenceAnswer, FenceQuestion } from '../session/index.ts';
import { Deadline, now } from '../socket/timers.ts';

export interface FenceClientOptions {
  readonly fence: Fence;
  readonly timeoutMs: number;
  /** How long a record is kept behind its last write, in ms: longer than any ticket that was released with it is good. */
  readonly lifetimeMs: number;
}

export class FenceClient {
  readonly #options: FenceClientOptions;
  /** It has not answered in time: until it does, or then, only one question at a time waits for it. */
  #silentUntil: number | undefined;

  constructor(options: FenceClientOptions) {
    this.#options = options;
  }

  /** `then` is called once, later. */
  ask(question: FenceQuestion, then: (answer: FenceAnswer) => void): void {
    const { fence, timeoutMs, lifetimeMs } = this.#options;
    const message = `it has not answered within ${timeoutMs} ms`;
    if (this.#silentUntil !== undefined && now() < this.#silentUntil) {
      queueMicrotask(() => then({ kind: 'unavailable', message }));
      return;
    }
    if (this.#silentUntil !== undefined) this.#silentUntil = now() + timeoutMs;
    let isOver = false;
    const answer = (given: FenceAnswer): void => {
      if (isOver) return;
      isOver = true;
      deadline.set(undefined);
      then(given);
    };
    const deadline = new Deadline(() => {
      this.#silentUntil = now() + timeoutMs;
      answer({ kind: 'unavailable', message });
    });
    deadline.set(now() + timeoutMs);
    settleQuestion(fence, fenceKey(question.secret, question.sessionId), question, lifetimeMs).then(
      (given) => {
        this.#silentUntil = undefined;
        answer(given);
      },
      (error: unknown) =>
        answer({ kind: 'unavailable', message: error instanceof Error ? error.message : String(error) }),
    );
  }
}
