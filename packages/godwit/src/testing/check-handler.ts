/** `checkHandler`: runs a connection handler again and again, under crashes and re-chunked input, and compares. */
import { createHash } from 'node:crypto';
import type { CheckError } from './check-error.ts';
import { readCheckOptions, type CheckOptions, type CheckSettings, type Handler } from './check-options.ts';
import { Judge } from './judge.ts';
import { planFaults, type RunPlan, type Shape } from './run-plan.ts';
import { perform, type RunResult } from './run.ts';
import { takeClock } from './shifted-clock.ts';

/** What a check that found nothing has done. */
export interface CheckReport {
  readonly seed: number;
  readonly runs: number;
  /** Servers that were killed under a session. */
  readonly crashes: number;
  /** Planned moves that were asked for. */
  readonly moves: number;
  /** Times that the handler went on from a state of its own. */
  readonly restores: number;
  /** Times that it began again from the session's start. */
  readonly replays: number;
  /** States that it exported. */
  readonly snapshots: number;
  /** Side effects that were executed again, and recognised by their keys. */
  readonly repeatedEffects: number;
  readonly inputBytes: number;
  /** What the client read in the first run, which nothing interrupted; compare it with what you expect. */
  readonly output: Buffer;
  /** SHA-256 of `output`, in hexadecimal. */
  readonly outputHash: string;
  /** What the first run recorded, by key; the session's id in a key reads `session`. */
  readonly effects: ReadonlyMap<string, unknown>;
  readonly elapsedMs: number;
}

/**
 * Runs `handler`, the listener given to `createServer`, with real clients and servers in memory: twice without a fault,
 * with re-chunked input, and with servers killed at offset after offset, and checks that the client reads the same bytes,
 * exactly once, every time. See docs/testing-your-handler.md.
 *
 * Resolves with a report. Rejects with a `CheckError`, whose message says what was found, where, and what to do; and with
 * `TypeError` or `RangeError` for options that make no sense.
 */
export async function checkHandler(handler: Handler, options: CheckOptions): Promise<CheckReport> {
  const settings = readCheckOptions(handler, options);
  const giveClockBack = settings.shiftClock ? takeClock() : undefined;
  try {
    return await new Check(settings).check();
  } finally {
    giveClockBack?.();
  }
}

class Check {
  readonly #settings: CheckSettings;
  readonly #judge: Judge;
  readonly #startedAt = performance.now();
  readonly #counts = {
    runs: 0,
    crashes: 0,
    moves: 0,
    restores: 0,
    replays: 0,
    snapshots: 0,
    repeatedEffects: 0,
  };
  #inputBytes: number | undefined;

  constructor(settings: CheckSettings) {
    this.#settings = settings;
    this.#judge = new Judge(settings);
  }

  async check(): Promise<CheckReport> {
    const first = await this.#perform({ number: 0, ...UNDISTURBED });
    await this.#judge.begin(first);
    this.#inputBytes = first.input.byteLength;
    await this.#judge.judge(await this.#perform({ number: 1, ...UNDISTURBED }));
    const tickets = await this.#rechunk();
    const { seed, delivery, crashes, rechunk, only } = this.#settings;
    const shape: Shape = {
      inputBytes: first.input.byteLength,
      outputBytes: first.output.byteLength,
      tickets,
    };
    for (const plan of planFaults({ seed, delivery, crashes, shape, from: 3 + rechunk }))
      if (only === undefined || only === plan.number) await this.#run(plan);
    return {
      seed,
      ...this.#counts,
      inputBytes: first.input.byteLength,
      output: first.output,
      outputHash: createHash('sha256').update(first.output).digest('hex'),
      effects: first.effects.values,
      elapsedMs: performance.now() - this.#startedAt,
    };
  }

  /** Runs without a fault, with input in pieces. Answers how many tickets such runs have at the least. */
  async #rechunk(): Promise<number> {
    let tickets = Infinity;
    for (let count = 0; count <= this.#settings.rechunk; count += 1) {
      const chunking = count === 0 ? 'bytes' : 'drawn';
      const result = await this.#run({ number: 2 + count, chunking, cadence: 'often', faults: [] });
      this.#judge.judgeExports(result);
      if (chunking === 'drawn') tickets = Math.min(tickets, result.tickets);
    }
    return tickets;
  }

  async #run(plan: RunPlan): Promise<RunResult> {
    const result = await this.#perform(plan);
    try {
      await this.#judge.judge(result);
    } catch (error) {
      await this.#lookForChance(error as CheckError);
      throw error;
    }
    return result;
  }

  /** What looks like a fault of chunks or of restoring may be chance that did not show before. */
  async #lookForChance(error: CheckError): Promise<void> {
    if (error.difference === undefined || error.code === 'ERR_GODWIT_INTERNAL') return;
    for (let count = 0; count < CONTROL_RUNS; count += 1) {
      const control = await this.#perform({ number: error.run.number + count, ...UNDISTURBED });
      if (this.#judge.differs(control)) await this.#judge.judge(control);
    }
  }

  async #perform(plan: RunPlan): Promise<RunResult> {
    const result = await perform(this.#settings, plan, this.#inputBytes);
    const counts = this.#counts;
    counts.runs += 1;
    counts.crashes += result.struck.filter(({ kind }) => kind === 'crash').length;
    counts.moves += result.struck.filter(({ kind }) => kind === 'move').length;
    counts.restores += result.executions.filter(({ restart }) => (restart?.k ?? 0) > 0).length;
    counts.replays += result.executions.filter(
      ({ number, restart }) => number > 0 && restart?.k === 0,
    ).length;
    counts.snapshots += result.snapshots;
    counts.repeatedEffects += result.effects.repeats;
    return result;
  }
}

const UNDISTURBED = { chunking: 'as-written', cadence: 'never', faults: [] } as const;
/** Runs without any disturbance, to see whether the handler is deterministic after all. */
const CONTROL_RUNS = 8;
