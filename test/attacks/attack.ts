/** What an attack is: what somebody does to real servers and clients, over real sockets, and what must come of it. */
import type { Edit } from './patched-library.ts';
import type { Scene } from './scene.ts';

/** What came of it: how it was refused, or what the attacker gained. */
export type Outcome = { readonly refused: string } | { readonly gained: string };

export interface Attack {
  /** What is tried, in words; unique. */
  readonly name: string;
  /** How it must be refused: the code on the wire, or what else shows that nothing came of it. */
  readonly expected: string;
  /** What stops it, in words. */
  readonly defence: string;
  /** Takes the defence out of the library. Where the defence is a setting, `run` leaves it out itself (`scene.isDefended`). */
  readonly edits?: readonly Edit[];
  /** Without this setting, which is not the default, the attack can't be stopped. */
  readonly setting?: string;
  run(scene: Scene): Promise<Outcome>;
}

export function refused(how: string): Outcome {
  return { refused: how };
}

export function gained(what: string): Outcome {
  return { gained: what };
}
