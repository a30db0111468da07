/**
 * Deliberate faults of the protocol core, to test the instruments that look for such faults. A mutant is a patch of the
 * sources, kept outside of them: shipped code has no test switch. Where its text no longer matches, it says so, loudly.
 */

/** The checkers a mutant is meant for: invariants of protocol.md §15, and the three that go with them. */
export type Guarded = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'buffers' | 'timers' | 'leaks';

export interface Edit {
  /** Below packages/godwit/src. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly search: string;
  readonly replace: string;
}

export interface Mutant {
  /** In kebab-case, unique. */
  readonly name: string;
  /** What the fault would do to users: why it has to be caught. */
  readonly reason: string;
  readonly breaks: readonly Guarded[];
  readonly edits: readonly Edit[];
}

/** A mutant that changes one place. */
export function mutant(
  name: string,
  breaks: readonly Guarded[],
  reason: string,
  file: string,
  search: string,
  replace: string,
): Mutant {
  return { name, breaks, reason, edits: [{ file, search, replace }] };
}

/** The text of `file` with the mutant's faults in it. Throws when an edit does not match exactly once. */
export function applyEdits(subject: Mutant, file: string, text: string): string {
  let mutated = text;
  for (const edit of subject.edits) {
    if (edit.file !== file) continue;
    const parts = mutated.split(edit.search);
    if (parts.length !== 2)
      throw new Error(
        `mutant ${subject.name} matches ${parts.length - 1} times in packages/godwit/src/${file}, not once: ` +
          `correct it in test/sim/mutants. It looks for:\n${edit.search}`,
      );
    mutated = parts.join(edit.replace);
  }
  return mutated;
}
