/** Where two byte streams begin to differ, and how. */

/** The first difference of an output to what it should be. */
export interface Difference {
  /** Of the first byte that differs. */
  readonly offset: number;
  /**
   * `lost`: it goes on as expected from `bytes` further on. `duplicated`: it goes on as expected from `bytes` further
   * back. `corrupt`: it does neither.
   */
  readonly kind: 'lost' | 'duplicated' | 'corrupt';
  /** How many bytes are lost or duplicated; of a corrupt output, how many differ before it goes on as expected. */
  readonly bytes: number;
  /** What should be there, at most 16 bytes; none behind the end. */
  readonly expected: Buffer;
  /** What is. */
  readonly actual: Buffer;
}

const SHOWN_BYTES = 16;
/** As many equal bytes in a row tell that two outputs are in step again, unless one ends before. */
const STEP_BYTES = 8;
/** How far to look for where they are in step again. */
const SHIFT_MAX = 65_536;

/**
 * Compares `actual`, which begins at `start` of the output, with that of `expected`. Where `isWhole` is false, `actual` may
 * end early: whoever wrote it was stopped.
 */
export function findDifference(
  expected: Buffer,
  actual: Buffer,
  { start = 0, isWhole = true }: { readonly start?: number; readonly isWhole?: boolean } = {},
): Difference | undefined {
  const wanted = expected.subarray(Math.min(start, expected.byteLength));
  const length = Math.min(wanted.byteLength, actual.byteLength);
  let at = 0;
  while (at < length && wanted[at] === actual[at]) at += 1;
  if (at === actual.byteLength && (at === wanted.byteLength || !isWhole)) return undefined;
  const rest = { expected: wanted.subarray(at), actual: actual.subarray(at) };
  return {
    offset: start + at,
    ...classify(rest.expected, rest.actual, expected.subarray(0, start + at), isWhole),
    expected: Buffer.from(rest.expected.subarray(0, SHOWN_BYTES)),
    actual: Buffer.from(rest.actual.subarray(0, SHOWN_BYTES)),
  };
}

function classify(
  expected: Buffer,
  actual: Buffer,
  before: Buffer,
  isWhole: boolean,
): Pick<Difference, 'kind' | 'bytes'> {
  if (actual.byteLength === 0) return { kind: 'lost', bytes: expected.byteLength };
  const all = Buffer.concat([before, expected]);
  for (let shift = 1; shift <= SHIFT_MAX; shift += 1) {
    if (shift <= before.byteLength && inStep(all.subarray(before.byteLength - shift), actual, isWhole))
      return { kind: 'duplicated', bytes: shift };
    if (shift < expected.byteLength && inStep(expected.subarray(shift), actual, isWhole))
      return { kind: 'lost', bytes: shift };
    if (shift >= before.byteLength && shift >= expected.byteLength) break;
  }
  return { kind: 'corrupt', bytes: corruptBytes(expected, actual, isWhole) };
}

/** Both go on alike for `STEP_BYTES`; or to the end of both, or of one that was stopped. */
function inStep(expected: Buffer, actual: Buffer, isWhole: boolean): boolean {
  const length = Math.min(STEP_BYTES, expected.byteLength, actual.byteLength);
  if (length < STEP_BYTES) {
    const endsAlike = expected.byteLength === actual.byteLength;
    // A byte or two may fit by chance.
    const wasStopped = !isWhole && length === actual.byteLength && length >= STEP_BYTES / 2;
    if (!endsAlike && !wasStopped) return false;
  }
  return expected.subarray(0, length).equals(actual.subarray(0, length));
}

/** Until both are in step again, at the same offset. */
function corruptBytes(expected: Buffer, actual: Buffer, isWhole: boolean): number {
  const length = Math.min(expected.byteLength, actual.byteLength);
  for (let at = 1; at < length; at += 1)
    if (inStep(expected.subarray(at), actual.subarray(at), isWhole)) return at;
  return Math.max(expected.byteLength, actual.byteLength);
}
