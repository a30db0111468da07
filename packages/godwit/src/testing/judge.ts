/** Whether a run went as it must, and if not, what is wrong with the handler and what to do. */
import type { CheckSettings } from './check-options.ts';
import { CheckError, sayBytes, sayDifference, sayOrigin, type CheckCode } from './check-error.ts';
import { findDifference, type Difference } from './difference.ts';
import type { Execution } from './execution.ts';
import type { RunResult } from './run.ts';

/** What the first run of a check has shown: later ones must show the same. */
export interface Baseline {
  readonly result: RunResult;
  /** What the handler wrote. */
  readonly history: Buffer;
  /** The output that the client read, or what `normalize` makes of it. */
  readonly comparable: Buffer;
}

const ADVICE = {
  notDeterministic:
    'The handler is not deterministic: between snapshots output may depend on state and input bytes alone, not on time, chance or other connections. Make it so, or use delivery "commit"',
  normalized:
    'What `normalize` leaves of the output must be the same whenever the same input is executed: let it replace all that may differ',
  oracle:
    'Delivery "commit" allows that, but then the check needs to know what is right: give it `normalize`, which replaces what may differ, or `verify`',
  chunks:
    'The output depends on how the input is cut into chunks: a chunk is no message. Gather input until a message is whole',
  restore:
    'What it exported does not say all that it had done by then: export all that the output depends on, as of that very moment, and take it from `importState`; where the handler holds input back, `bytesConsumed` must name the first byte that is not in the state',
  successor:
    "It is the successor, which must make of its predecessor's state, and of the same input, what its predecessor made",
  notImported: 'it never called `importState`, so it began with nothing',
} as const;

const FAILED = {
  threw: 'the handler threw',
  rejected:
    'the promise that the handler returned was rejected, which ends a process that does not catch it (a connection that has left is no error: `socket.signal` tells)',
  socket: "the handler's socket failed",
} as const;

export class Judge {
  readonly #settings: CheckSettings;
  #baseline: Baseline | undefined;

  constructor(settings: CheckSettings) {
    this.#settings = settings;
  }

  /** The first run: from now on others are compared with it. */
  async begin(result: RunResult): Promise<void> {
    this.#judgeEnd(result);
    this.#judgeHistory(result);
    await this.#judgeByUser(result);
    this.#baseline = {
      result,
      history: historyOf(result, this.#settings.delivery),
      comparable: this.#comparable(result.output),
    };
  }

  /** Throws a CheckError for what is wrong. */
  async judge(result: RunResult): Promise<void> {
    this.#judgeExecutions(result);
    this.#judgeEnd(result);
    this.#judgeHistory(result);
    this.#judgeOutput(result);
    await this.#judgeByUser(result);
    this.#judgeEffects(result);
  }

  /** Whether a run without faults differs from the first. */
  differs(result: RunResult): boolean {
    return result.end.kind !== 'closed' || this.#outputDifference(result) !== undefined;
  }

  /** No state was exported, or the session could not have been restored from it. */
  judgeExports(result: RunResult): void {
    const { exportsRequired, delivery } = this.#settings;
    const { executions, snapshots, input, output } = result;
    const reason = executions.find(
      ({ unprotectedBecause }) => unprotectedBecause !== undefined,
    )?.unprotectedBecause;
    const isMissing = snapshots === 0 && input.byteLength + output.byteLength > 0;
    if (!(exportsRequired || delivery === 'commit') || (!isMissing && reason === undefined)) return;
    const hasExporter = executions.some((execution) => execution.hasExporter);
    const found = !isMissing
      ? `the session became unprotected: ${String(reason)}`
      : hasExporter
        ? 'the handler exported no state: whenever it was asked it answered "not now", or a state over `limits.maxStateBytes`'
        : 'the handler exported no state: it called neither `onExportState` nor `exportState`';
    const advice =
      delivery === 'commit'
        ? 'In `commit` mode output counts only together with a state'
        : 'A crash costs the execution of all input again, and, beyond 4 MiB of it, the session; where connections are short, say so by { exports: "optional" }';
    this.#fail('ERR_GODWIT_CHECK_NO_STATE', `${found}. ${advice}`, result, executions.at(-1));
  }

  // --- Output ---------------------------------------------------------------------------------------------------

  /** In `replay` mode, and wherever nothing else is asked for, every execution writes what the first run did. */
  #judgeExecutions(result: RunResult): void {
    if (this.#settings.normalize !== undefined || !this.#compares) return;
    const expected = (this.#baseline as Baseline).history;
    for (const execution of result.executions) {
      const start = execution.restart?.output;
      if (start === undefined || execution.isAbandoned) continue;
      const isWhole = execution.hasEnded && execution.failure === undefined;
      const difference = this.#compare(expected, execution.written.bytes, result, { start, isWhole });
      if (difference !== undefined) this.#differs(difference, result, execution);
    }
  }

  #judgeOutput(result: RunResult): void {
    const difference = this.#outputDifference(result);
    if (difference === undefined) return;
    // The execution that wrote the byte; of normalised output nobody can say.
    const wrote = result.executions.findLast(
      ({ restart, isAbandoned }) =>
        !isAbandoned && restart !== undefined && restart.output <= difference.offset,
    );
    const last = result.executions.at(-1);
    this.#differs(difference, result, this.#settings.normalize === undefined ? (wrote ?? last) : last);
  }

  #outputDifference(result: RunResult): Difference | undefined {
    if (!this.#compares || this.#baseline === undefined) return undefined;
    return this.#compare(this.#baseline.comparable, this.#comparable(result.output), result);
  }

  /** A client that leaves by itself leaves the one sooner and the other later: what both have is compared. */
  #compare(
    expected: Buffer,
    actual: Buffer,
    result: RunResult,
    { start = 0, isWhole = true }: { readonly start?: number; readonly isWhole?: boolean } = {},
  ): Difference | undefined {
    if (!result.hasClientLeft && !this.#baselineResult.hasClientLeft)
      return findDifference(expected, actual, { start, isWhole });
    const both = actual.subarray(0, Math.max(0, expected.byteLength - start));
    return findDifference(expected, both, { start, isWhole: false });
  }

  #differs(difference: Difference, result: RunResult, execution: Execution | undefined): never {
    const { delivery, normalize, successor } = this.#settings;
    const found = sayDifference(difference, normalize === undefined ? 'output' : 'normalised output');
    const origin = execution === undefined ? '' : `, ${sayOrigin(execution)}`;
    const isRestored = (execution?.restart?.k ?? 0) > 0;
    let code: CheckCode;
    let advice: string;
    if (isRestored) {
      code = 'ERR_GODWIT_CHECK_RESTORE';
      advice = execution?.hasImported === false ? `${ADVICE.restore}; ${ADVICE.notImported}` : ADVICE.restore;
    } else if (execution?.cause === undefined && result.plan.chunking !== 'as-written') {
      code = 'ERR_GODWIT_CHECK_CHUNKS';
      advice = ADVICE.chunks;
    } else if (delivery === 'commit' && normalize === undefined) {
      code = 'ERR_GODWIT_CHECK_ORACLE';
      advice = ADVICE.oracle;
    } else {
      code = 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC';
      advice = normalize === undefined ? ADVICE.notDeterministic : ADVICE.normalized;
    }
    if (successor !== undefined && execution !== undefined && execution.number > 0)
      advice = `${ADVICE.successor}. ${advice}`;
    this.#fail(code, `${found}${origin}. ${advice}`, result, execution, { difference });
  }

  /** The client read, at every offset, what the execution that survived had written there. */
  #judgeHistory(result: RunResult): void {
    const isWhole = result.end.kind === 'closed' && !result.hasClientLeft;
    const difference = findDifference(historyOf(result, this.#settings.delivery), result.output, { isWhole });
    if (difference === undefined) return;
    const message = `the client read other bytes than the handler wrote: ${sayDifference(difference)}. This is a bug in Godwit: please report it`;
    this.#fail('ERR_GODWIT_INTERNAL', message, result, result.executions.at(-1), { difference });
  }

  // --- Ends -----------------------------------------------------------------------------------------------------

  #judgeEnd(result: RunResult): void {
    const { end, executions } = result;
    const failed = executions.find(({ failure }) => failure !== undefined);
    const last = failed ?? executions.at(-1);
    const origin = last === undefined ? '' : `, ${sayOrigin(last)}`;
    const failure = failed?.failure ?? (end.kind === 'handlerFailed' ? end.failure : undefined);
    if (failure !== undefined) {
      const message = `${FAILED[failure.how]}${origin}: ${sayError(failure.error)}`;
      this.#fail('ERR_GODWIT_CHECK_HANDLER', message, result, last, { cause: failure.error });
    }
    if (end.kind === 'clientFailed')
      this.#fail(
        'ERR_GODWIT_CHECK_CLIENT',
        `the client function failed${origin}: ${sayError(end.error)}`,
        result,
        last,
        {
          cause: end.error,
        },
      );
    if (end.kind === 'failed')
      this.#fail(
        'ERR_GODWIT_CHECK_HANDLER',
        `the session failed${origin}: ${sayError(end.error)}`,
        result,
        last,
        {
          cause: end.error,
        },
      );
    if (end.kind === 'stalled') this.#stalled(result, last, origin);
  }

  #stalled(result: RunResult, execution: Execution | undefined, origin: string): never {
    const { timeoutMs } = this.#settings;
    const consumed = execution?.socket.bytesConsumed ?? 0;
    const written = (execution?.restart?.output ?? 0) + (execution?.written.length ?? 0);
    const where = `the handler has consumed ${consumed} of ${result.input.byteLength} bytes of input and written ${written} of output`;
    const advice =
      execution?.hasEnded === true
        ? 'it has ended its output: does it read its input to the end?'
        : 'it has not ended its output: is `end()` missing, or does it wait for something that was before the restart?';
    const message = `nothing moved for ${timeoutMs} ms${origin}: ${where}; ${advice}`;
    this.#fail('ERR_GODWIT_CHECK_STALLED', message, result, execution);
  }

  async #judgeByUser(result: RunResult): Promise<void> {
    const { output, input, effects } = result;
    try {
      await this.#settings.verify?.(Buffer.from(output), { input, effects: effects.values });
    } catch (error) {
      const last = result.executions.at(-1);
      const origin = last === undefined ? '' : `, ${sayOrigin(last)}`;
      const message = `\`verify\` refused the output of ${output.byteLength} bytes${origin}: ${sayError(error)}`;
      this.#fail('ERR_GODWIT_CHECK_VERIFY', message, result, last, { cause: error });
    }
  }

  // --- Effects --------------------------------------------------------------------------------------------------

  #judgeEffects(result: RunResult): void {
    const expected = this.#baselineResult.effects.values;
    const { values, conflict } = result.effects;
    const last = result.executions.at(-1);
    const origin = last === undefined ? '' : `, ${sayOrigin(last)}`;
    const fail = (found: string): never =>
      this.#fail('ERR_GODWIT_CHECK_EFFECTS', `${found}${origin}`, result, last);
    if (conflict !== undefined && this.#settings.delivery === 'replay')
      fail(
        `the side effect "${conflict.key}" was executed with ${say(conflict.first)} and again with ${say(conflict.later)}: it is not a function of the input`,
      );
    // A client that talks may have sent something else, where the output may differ.
    if (!result.input.equals(this.#baselineResult.input)) return;
    const extra = [...values.keys()].find((key) => !expected.has(key));
    if (extra !== undefined)
      fail(
        `a side effect was doubled: "${extra}" is not among the ${expected.size} of an uninterrupted run. Name it by \`socket.idempotencyKey()\`, which is the same when the same input is executed again`,
      );
    const missing = [...expected.keys()].find((key) => !values.has(key));
    if (missing !== undefined)
      fail(
        `a side effect is missing: "${missing}" was not recorded. It must be done before the state says so`,
      );
  }

  // --- Within ---------------------------------------------------------------------------------------------------

  /** In `commit` mode, whoever has given `verify` alone has said what is right. */
  get #compares(): boolean {
    const { delivery, normalize, verify } = this.#settings;
    return delivery === 'replay' || normalize !== undefined || verify === undefined;
  }

  get #baselineResult(): RunResult {
    return (this.#baseline as Baseline).result;
  }

  #comparable(output: Buffer): Buffer {
    const { normalize } = this.#settings;
    return normalize === undefined ? output : Buffer.from(normalize(Buffer.from(output)) as string);
  }

  #fail(
    code: CheckCode,
    message: string,
    result: RunResult,
    execution: Execution | undefined,
    more: { readonly difference?: Difference; readonly cause?: unknown } = {},
  ): never {
    throw new CheckError(code, message, {
      run: { ...result.plan, seed: this.#settings.seed },
      fault: execution?.cause,
      restart: execution?.restart,
      ...more,
    });
  }
}

/**
 * What the executions have written, each over what the one before had written behind its restart point. In `commit` mode
 * all of that has never been; in `replay` mode it is what the next execution will write again.
 */
function historyOf({ executions }: RunResult, delivery: 'replay' | 'commit'): Buffer {
  let history = Buffer.alloc(0);
  for (const { isAbandoned, restart, written } of executions) {
    // One that the client never heard of has left no trace.
    if (isAbandoned || restart === undefined) continue;
    const before = history.subarray(0, restart.output);
    const behind = history.subarray(delivery === 'replay' ? restart.output + written.length : history.length);
    history = Buffer.concat([before, written.bytes, behind]);
  }
  return history;
}

function sayError(error: unknown): string {
  if (!(error instanceof Error)) return say(error);
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? error.message : `${code}: ${error.message}`;
}

function say(value: unknown): string {
  if (value instanceof Uint8Array) return sayBytes(value);
  return typeof value === 'string' ? JSON.stringify(value) : String(JSON.stringify(value));
}
