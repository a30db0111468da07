/**
 * Names of options that nobody knows. net ignores them, and so do we, since programs hand whole bags of options around: but
 * not one that is nearly the name of an option of ours, for a mistyped `keys` or `delivery` is a cluster that loses sessions.
 */
import { GodwitError } from '../errors.ts';

/** Whose option it is. */
export type OptionOrigin = 'godwit' | 'net';

/** Names up to this length may be one letter off, longer ones two. */
const SHORT_NAME_LENGTH = 6;

/** Throws ERR_GODWIT_OPTION_UNKNOWN for a name that is nearly one of ours. */
export function checkOptionNames(given: object, known: Readonly<Record<string, OptionOrigin>>): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue;
    const meant = Object.keys(known).find(
      (candidate) => known[candidate] === 'godwit' && isNearly(name, candidate),
    );
    if (meant !== undefined) throw unknownOption(name, `did you mean "${meant}"?`);
  }
}

/** Throws ERR_GODWIT_OPTION_UNKNOWN for any name that is not known: all of these are ours. */
export function checkAllNames(option: string, given: object | undefined, known: object): void {
  for (const name of Object.keys(given ?? {})) {
    if (Object.hasOwn(known, name)) continue;
    const meant = Object.keys(known).find((candidate) => isNearly(name, candidate));
    const hint =
      meant === undefined ? `there are ${Object.keys(known).join(', ')}` : `did you mean "${meant}"?`;
    throw unknownOption(`${option}.${name}`, hint);
  }
}

function unknownOption(name: string, hint: string): GodwitError {
  return new GodwitError('ERR_GODWIT_OPTION_UNKNOWN', `there is no option "${name}": ${hint}`);
}

function isNearly(given: string, meant: string): boolean {
  const most = meant.length <= SHORT_NAME_LENGTH ? 1 : 2;
  // Most names differ by their length already, and connections are made often.
  if (Math.abs(given.length - meant.length) > most) return false;
  return countEdits(given.toLowerCase(), meant.toLowerCase()) <= most;
}

/** How many letters to insert, drop, replace or swap with their neighbour to make one word of another. */
function countEdits(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let row = 1; row <= from.length; row += 1) {
    rows.push([row]);
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = at(row - 1, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const edits = [replaced, at(row - 1, column) + 1, at(row, column - 1) + 1];
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && isSwap) edits.push(at(row - 2, column - 2) + 1);
      rows[row]?.push(Math.min(...edits));
    }
  }
  return at(from.length, to.length);
}
