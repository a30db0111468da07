/** A state machine that is a table: what is not in it is a bug of ours, and says so (protocol.md §14). */

export type TransitionTable<S extends string, E extends string> = Readonly<
  Record<S, Readonly<Partial<Record<E, S>>>>
>;

/** Our own bug, never a peer's fault: ends the session it happened in and is reported. */
export class AssertionFailure extends Error {
  readonly code = 'ERR_GODWIT_INTERNAL';
  constructor(message: string) {
    super(message);
    this.name = 'AssertionFailure';
  }
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** The state behind `event`. Throws `AssertionFailure` where the table has none. */
export function nextState<S extends string, E extends string>(
  table: TransitionTable<S, E>,
  state: S,
  event: E,
): S {
  const next = table[state][event];
  if (next === undefined) throw new AssertionFailure(`no transition for ${event} in state ${state}`);
  return next;
}
