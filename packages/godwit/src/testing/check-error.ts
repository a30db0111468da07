/** Why a check failed: a code to compare, and a message that says what was found, where, and what to do. */
import { GodwitError, type GodwitErrorCode } from '../errors.ts';
import type { Difference } from './difference.ts';
import type { Execution, Restart } from './execution.ts';
import type { Fault, RunPlan } from './run-plan.ts';

/** The codes that `checkHandler` rejects with, besides those of `TypeError` and `RangeError` for its arguments. */
export type CheckCode = Extract<GodwitErrorCode, `${string}_CHECK_${string}`> | 'ERR_GODWIT_INTERNAL';

/** Which run failed. */
export interface FailedRun extends RunPlan {
  /** With `only: number`, the same run again. */
  readonly seed: number;
}

export interface CheckErrorDetails {
  readonly run: FailedRun;
  readonly difference?: Difference | undefined;
  readonly fault?: Fault | undefined;
  readonly restart?: Restart | undefined;
  readonly cause?: unknown;
}

/** A check that failed. */
export class CheckError extends GodwitError {
  declare readonly code: CheckCode;
  readonly run: FailedRun;
  /** Where the output begins to differ, if that is what was found. */
  readonly difference: Difference | undefined;
  /** The crash or move that the failing execution follows; undefined when there was none. */
  readonly fault: Fault | undefined;
  /** From where the failing execution was restored; `k` is 0 where it began at the session's start. */
  readonly restart: Restart | undefined;

  constructor(code: CheckCode, message: string, details: CheckErrorDetails) {
    const { run, difference, fault, restart, cause } = details;
    const again = `run ${run.number}; again with { seed: ${run.seed}, only: ${run.number} }`;
    super(code, `${message} (${again})`, { cause });
    this.name = 'CheckError';
    this.run = run;
    this.difference = difference;
    this.fault = fault;
    this.restart = restart;
  }
}

/** "output differs at byte 12: 3 bytes are lost; expected "abc", got "d"" */
export function sayDifference({ offset, kind, bytes, expected, actual }: Difference, of = 'output'): string {
  const count = bytes === 1 ? '1 byte is' : `${bytes} bytes are`;
  return `${of} differs at byte ${offset}: ${count} ${kind}; expected ${sayBytes(expected)}, got ${sayBytes(actual)}`;
}

/** "after a crash at output offset 77, restored from snapshot k=3 (input 70, output 60, state "…")" */
export function sayOrigin(execution: Execution): string {
  const { cause, restart } = execution;
  const after = cause === undefined ? 'without a crash' : `after a ${cause.kind} at ${sayPlace(cause)}`;
  if (cause === undefined || restart === undefined) return after;
  const { k, input, output, state } = restart;
  if (k === 0) return `${after}, executed again from the session's start`;
  const shown = state === undefined ? 'empty' : sayBytes(state);
  return `${after}, restored from restart point k=${k} (input ${input}, output ${output}, state ${shown})`;
}

function sayPlace({ at, offset }: Fault): string {
  return at === 'ticket' ? `a ticket at ${offset} bytes` : `${at} offset ${offset}`;
}

const SHOWN_BYTES = 48;

/** Text where it is text, and hexadecimal where not. */
export function sayBytes(bytes: Uint8Array): string {
  if (bytes.byteLength === 0) return 'nothing';
  const shown = Buffer.from(bytes.subarray(0, SHOWN_BYTES));
  const isText = shown.every(
    (byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127),
  );
  const text = isText ? JSON.stringify(shown.toString('latin1')) : `0x${shown.toString('hex')}`;
  return bytes.byteLength > SHOWN_BYTES ? `${text}… (${bytes.byteLength} bytes)` : text;
}
