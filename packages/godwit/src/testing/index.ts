/**
 * For tests of applications: runs a connection handler under crashes at every offset and with re-chunked input, and
 * checks that its client reads every byte exactly once.
 */
export { checkHandler, type CheckReport } from './check-handler.ts';
export { CheckError, type CheckCode, type CheckErrorDetails, type FailedRun } from './check-error.ts';
export type {
  CheckOptions,
  CheckServerOptions,
  Handler,
  HandlerContext,
  Successor,
  VerifyContext,
} from './check-options.ts';
export type { Difference } from './difference.ts';
export type { Effects, Recorded } from './effects.ts';
export type { Restart } from './execution.ts';
export type { Cadence, Chunking, Fault, FaultKind, FaultPlace, RunPlan } from './run-plan.ts';
