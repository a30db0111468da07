/** How much a server node holds, for operators, and for tests that look for leaks. */

export interface NodePopulation {
  readonly sessions: number;
  /** Places that are taken: one for each session. */
  readonly places: number;
  /** What they hold, in bytes. */
  readonly heldBytes: number;
  readonly carriers: number;
  readonly unauthenticatedCarriers: number;
  /** Carriers that are known as writable, unwritable or waiting, whether they exist or not. */
  readonly flaggedCarriers: number;
  /** MIGRATEs that are neither accepted nor refused yet. */
  readonly attaches: number;
  /** Former servers that are told once the client confirms. */
  readonly farewells: number;
  /** Sessions frozen for a destination. */
  readonly handovers: number;
  /** Sessions of other servers that a standby watches here. */
  readonly watched: number;
  /** Questions to cryptography that are not answered yet. */
  readonly requests: number;
  /** Timers. */
  readonly deadlines: number;
  readonly tombstones: number;
}
