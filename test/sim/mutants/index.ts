/** All mutants: one deliberate fault each, for every invariant. */
import { EPOCH_MUTANTS } from './epochs.ts';
import { FENCE_MUTANTS } from './fences.ts';
import { FOUND_MUTANTS } from './found.ts';
import { HANDOVER_MUTANTS } from './handover.ts';
import { LIMIT_MUTANTS } from './limits.ts';
import type { Mutant } from './mutant.ts';
import { STREAM_MUTANTS } from './streams.ts';
import { TICKET_MUTANTS } from './tickets.ts';
import { WIRE_MUTANTS } from './wire.ts';

export const MUTANTS: readonly Mutant[] = [
  ...EPOCH_MUTANTS,
  ...HANDOVER_MUTANTS,
  ...FENCE_MUTANTS,
  ...TICKET_MUTANTS,
  ...STREAM_MUTANTS,
  ...LIMIT_MUTANTS,
  ...WIRE_MUTANTS,
  ...FOUND_MUTANTS,
];
