/** Where each mutant shows, as a search from the first seed on found it: kept, so that not every run has to search. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Known {
  /** The seed, or the case of the exhaustive run, that was the first to show it. */
  readonly by: string;
  /** The checker that objected. */
  readonly checker: string;
  /** Seeds and cases that the search ran, this one included. */
  readonly runs: number;
}

const FILE = join(import.meta.dirname, 'known.json');

export function readKnown(): Readonly<Partial<Record<string, Known>>> {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Partial<Record<string, Known>>;
}

/** Adds what was found, or replaces what was known. Mutants that are no more are forgotten. */
export function writeKnown(found: Readonly<Record<string, Known>>, names: readonly string[]): void {
  const all = { ...readKnown(), ...found };
  const kept = names.flatMap((name) => (all[name] ? [[name, all[name]] as const] : []));
  writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(kept), undefined, 2)}\n`);
}
