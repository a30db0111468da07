/**
 * Busy polling: a process that has sent something small, and to which something comes within microseconds as a rule, looks for it
 * instead of going to sleep. To wake a process takes its peer some 20 µs in the kernel where the processor idles, on virtual machines
 * more: longer than all that both ends do for a message (docs/performance.md). Where it takes longer to come, or comes no sooner for
 * being looked for, the process sleeps as every other does.
 */
import os from 'node:os';
import { LookingTrial } from './looking-trial.ts';

/** How long to look where nobody says otherwise, in microseconds. Where there is one processor, the peer may need it. */
export const BUSY_POLL_US = os.availableParallelism() > 1 ? 100 : 0;
/** Writes of so many bytes begin no wait: they are part of a bulk stream, whose ends do not take turns. */
const LARGE_WRITE_BYTES = 16 * 1024;
/** What the process slept for was worth looking for if it came within so many times the time it would have looked. */
const ASLEEP_FACTOR = 2;
/** Looking begins at this score, … */
const ENOUGH = 8;
const MAX_SCORE = 16;
/** … to which a wait that was worth it adds 1, and from which one that was not takes so many: four in five have to be worth it. */
const MISS_COST = 4;
/**
 * A process to which several messages come in a turn of its event loop is not asleep much, and looking would take from what it has to
 * do. So many such turns, those to which one came taken off, …
 */
const MAX_CROWDED_TURNS = 8;
/** … make it sleep as it would until so many waits were worth it. */
const PAUSE = 256;

/** What it needs of the event loop. */
export interface TurningLoop {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Calls back in the next turn, for which the loop does not sleep. */
  nextTurn(callback: () => void): void;
  /** How often the system has taken the processor away from this process, ever. */
  preemptions(): number;
}

/** Whether to look for what comes next, and for how long; one of a process, since it is the process that sleeps. */
export class BusyPoll {
  readonly #loop: TurningLoop;
  readonly #turn: () => void;
  readonly #trial: LookingTrial;
  #score = 0;
  /** When the first small write left behind which nothing came yet. */
  #wroteAt: number | undefined;
  /** For how long it is worth to look for what follows it, in milliseconds. */
  #worthMs = 0;
  /** Whether it is looked for; and until when, if it is. */
  #looks = false;
  #looksUntil = 0;
  #isTurning = false;
  #readsInTurn = 0;
  #crowdedTurns = 0;

  constructor(loop: TurningLoop) {
    this.#loop = loop;
    this.#trial = new LookingTrial(() => loop.preemptions());
    this.#turn = () => this.#look();
  }

  /** Whether the event loop turns without sleeping. */
  get isLooking(): boolean {
    return this.#isTurning;
  }

  /** So many bytes have been written; what comes behind them may be looked for so long, in milliseconds; 0: not at all. */
  wrote(bytes: number, budgetMs: number): void {
    if (budgetMs === 0) return;
    if (bytes >= LARGE_WRITE_BYTES) {
      this.#wroteAt = undefined;
      return;
    }
    const at = this.#loop.now();
    if (this.#wroteAt !== undefined) {
      // The first write counts: who writes on and on, and is not answered, waits in vain.
      if (at - this.#wroteAt <= this.#worthMs) return;
      this.#waited(at - this.#wroteAt, false);
    }
    this.#wroteAt = at;
    this.#looks = this.#score >= ENOUGH && this.#trial.looks;
    this.#worthMs = this.#looks ? budgetMs : budgetMs * ASLEEP_FACTOR;
    if (!this.#looks) return;
    this.#looksUntil = at + budgetMs;
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#readsInTurn = 0;
    this.#loop.nextTurn(this.#turn);
  }

  /** Something came, on whatever carrier: the process is awake. */
  read(): void {
    this.#readsInTurn += 1;
    if (this.#wroteAt === undefined) return;
    const ms = this.#loop.now() - this.#wroteAt;
    this.#waited(ms, ms <= this.#worthMs);
  }

  #look(): void {
    const at = this.#loop.now();
    if (this.#wroteAt !== undefined && this.#looks && !this.#isCrowded() && at < this.#looksUntil) {
      this.#loop.nextTurn(this.#turn);
      return;
    }
    this.#isTurning = false;
    if (this.#wroteAt !== undefined && this.#looks)
      this.#waited(Math.max(at - this.#wroteAt, this.#worthMs), false);
  }

  /** Whether so much comes that there is no need to look for it. */
  #isCrowded(): boolean {
    const reads = this.#readsInTurn;
    this.#readsInTurn = 0;
    if (reads === 0) return false;
    this.#crowdedTurns = reads > 1 ? this.#crowdedTurns + 1 : Math.max(this.#crowdedTurns - 1, 0);
    if (this.#crowdedTurns < MAX_CROWDED_TURNS) return false;
    this.#crowdedTurns = 0;
    this.#score = ENOUGH - PAUSE;
    return true;
  }

  /** The wait is over, or was given up, after so many milliseconds. */
  #waited(ms: number, wasWorthIt: boolean): void {
    this.#wroteAt = undefined;
    if (wasWorthIt) this.#score = Math.min(this.#score + 1, MAX_SCORE);
    else if (this.#score > 0) this.#score = Math.max(this.#score - MISS_COST, 0);
    if (this.#looks === this.#trial.looks) this.#trial.waited(ms);
  }
}

// Of this module's own, whatever a test puts in their places later: a loop whose clock stands would never sleep again.
const { setImmediate } = globalThis;
const clock = performance.now.bind(performance);

/** Of this process, or of this thread of it. */
export const busyPoll = new BusyPoll({
  now: clock,
  nextTurn: (callback) => void setImmediate(callback),
  preemptions: () => process.resourceUsage().involuntaryContextSwitches,
});
