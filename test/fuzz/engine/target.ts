/** What the fuzzer runs, and what it says when a property does not hold. */
import type { Script } from './script.ts';

/** Properties, as failures and planted faults name them. */
export type Property =
  /** Nothing but a `ProtocolError`, or a coded refusal, comes of a peer's bytes. */
  | 'no crash'
  /** Work and virtual time for an input are bounded. */
  | 'no hang'
  /** What is allocated, and what is kept, is in proportion to bytes received, or below named limits. */
  | 'bounded memory'
  /** Unauthenticated bytes change no state of a session (invariant I8). */
  | 'strangers change nothing'
  /** Other sessions of the same process complete, every byte exactly once. */
  | 'others unharmed'
  /** What is taken for a peer's is the peer's. */
  | 'authentic'
  /** Bytes and values say the same, however the bytes come in. */
  | 'faithful'
  /** The code does what a simple model of it does. */
  | 'as its model';

/** A property does not hold. Any other error that a target throws is a crash. */
export class Violation extends Error {
  readonly property: Property;
  constructor(property: Property, message: string) {
    super(message);
    this.name = 'Violation';
    this.property = property;
  }
}

export function hold(property: Property, condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(property, message());
}

/** Fed with scripts, which coverage guides. */
export interface ScriptTarget {
  readonly kind: 'script';
  readonly name: string;
  /** What it feeds to what. */
  readonly summary: string;
  /** Operations that steps may name; one that stands here twice is drawn twice as often. */
  readonly operations: readonly string[];
  /** What the corpus begins with. */
  readonly seeds: () => Script[];
  /** Throws when a property does not hold. Steps with unknown operations are ignored. */
  readonly run: (script: Script) => void;
}

/** Fed by fast-check: commands on the real thing and on a model of it. */
export interface ModelTarget {
  readonly kind: 'model';
  readonly name: string;
  readonly summary: string;
  /** Runs for about so long. `around` runs each run, and sees what it reached. */
  readonly explore: (options: {
    seed: number;
    budgetMs: number;
    around: (run: () => void) => void;
  }) => ModelOutcome;
  /** Throws when the counterexample still is one. */
  readonly replay: (counterexample: Counterexample, around: (run: () => void) => void) => void;
}

export interface ModelOutcome {
  readonly runs: number;
  readonly failure: { readonly counterexample: Counterexample; readonly error: unknown } | undefined;
}

/** How fast-check finds a failure again. */
export interface Counterexample {
  readonly seed: number;
  readonly path: string;
  readonly replayPath: string | undefined;
  /** For people. */
  readonly text: string;
}

export type Target = ScriptTarget | ModelTarget;
