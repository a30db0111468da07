/** What the simulator looks for, and what it writes down when it finds it. */

/** The invariants of docs/protocol.md §15, and what else must hold. */
export const CHECKERS = {
  I1: 'exactly once',
  I2: 'no zombies',
  I3: 'a ticket is enough',
  I4: 'never back',
  I5: 'one at a time',
  I6: 'a failed move harms nothing',
  I7: 'every buffer has a limit',
  I8: 'strangers change nothing',
  limits: 'no buffer beyond its limit',
  timers: 'every timer fires or is cancelled',
  leaks: 'nothing is left after the end',
  liveness: 'a healed world finishes',
  assertion: 'the core never fails',
} as const;

export type CheckerName = keyof typeof CHECKERS;

export interface Violation {
  readonly checker: CheckerName;
  readonly message: string;
  /** When, in ms of the world. */
  readonly atMs: number;
}

/** One fault shows again and again; the first few say all. */
const MAX_VIOLATIONS = 8;

export class Violations {
  readonly all: Violation[] = [];
  readonly #now: () => number;
  readonly #seen = new Set<string>();
  /** Told of each. */
  onViolation: ((violation: Violation) => void) | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  report(checker: CheckerName, message: string): void {
    const key = `${checker} ${message.replace(/\d+/g, '#')}`;
    if (this.#seen.has(key) || this.all.length >= MAX_VIOLATIONS) return;
    this.#seen.add(key);
    const violation = { checker, message, atMs: this.#now() };
    this.all.push(violation);
    this.onViolation?.(violation);
  }

  expect(holds: boolean, checker: CheckerName, message: () => string): void {
    if (!holds) this.report(checker, message());
  }
}
