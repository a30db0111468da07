/** What a client that looks at gaps has in common, whoever carries its records. */
import { setTimeout } from 'node:timers/promises';
import type { MigrationReport } from 'godwit';
import { fail, type Program } from '../harness/program.ts';
import { StampCounter, type Verdict } from './stamps.ts';

export interface Blackout {
  /** The longest time within the window in which nothing was delivered. */
  readonly gapMs: number;
  /** What Godwit reports of the move; plain net has none. */
  readonly report: MigrationReport | undefined;
}

/** The longest gap between two deliveries. */
class GapWindow {
  #lastMs = performance.now();
  #longestMs = 0;

  deliver(): void {
    const ms = performance.now();
    this.#longestMs = Math.max(this.#longestMs, ms - this.#lastMs);
    this.#lastMs = ms;
  }

  /** From now on; the gap that is running counts from its beginning. */
  open(): void {
    this.#longestMs = 0;
  }

  close(): number {
    return Math.max(this.#longestMs, performance.now() - this.#lastMs);
  }
}

/** One stream of records, whatever carries it. */
export interface Reader {
  /** The port of the server at the other end. */
  readonly port: () => number;
  /** Whether the TLS session with that server was resumed; undefined without TLS. */
  readonly resumed?: () => boolean | undefined;
  /** Asks to be served elsewhere. */
  readonly migrate?: () => Promise<MigrationReport>;
  /** Comes when another server serves, and a first byte of it was delivered. */
  readonly moved: () => Promise<MigrationReport | undefined>;
}

/** Where a reader delivers to. */
export interface Delivery {
  readonly deliver: (chunk: Buffer) => void;
  readonly counter: StampCounter;
}

/** Opens a reader, and lets the benchmark look at its gaps. */
export async function watchGaps(open: (delivery: Delivery) => Promise<Reader>): Promise<Program['calls']> {
  const gap = new GapWindow();
  const counter = new StampCounter();
  const deliver = (chunk: Buffer): void => {
    gap.deliver();
    counter.push(chunk);
  };
  const reader = await open({ deliver, counter });
  let moved: ReturnType<Reader['moved']> | undefined;
  let openedMs = 0;

  /** Closes the window when it has been open for so long, and the move is over. */
  const closeAfter = async (windowMs: number): Promise<Blackout> => {
    const report = await moved;
    const leftMs = openedMs + windowMs - performance.now();
    if (leftMs > 0) await setTimeout(leftMs);
    const gapMs = gap.close();
    return { gapMs, report };
  };

  return {
    port: () => reader.port(),
    resumed: () => reader.resumed?.(),
    /** A window in which nothing happens. */
    calm: (windowMs: number): Promise<Blackout> => {
      [moved, openedMs] = [undefined, performance.now()];
      gap.open();
      return closeAfter(windowMs);
    },
    /** A window that begins as the move is asked for. */
    migrate: (windowMs: number): Promise<Blackout> => {
      [moved, openedMs] = [reader.moved(), performance.now()];
      gap.open();
      reader.migrate?.().catch((error: Error) => fail(`the session did not move: ${error.message}`));
      return closeAfter(windowMs);
    },
    /** Opens a window in which the server will die. */
    expectDeath: (): void => {
      [moved, openedMs] = [reader.moved(), performance.now()];
      gap.open();
    },
    survive: closeAfter,
    verdict: (): Verdict => counter.verdict,
  };
}
