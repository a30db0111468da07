/**
 * Compares a stream with its source and tells what went wrong: bytes lost, duplicated or corrupt. After a fault it finds
 * its place again, so that one lost block counts as one lost block and not as a stream full of rubbish.
 *
 * It looks at bytes alone: how the stream is cut into chunks makes no difference. It can be exported and taken up in
 * another process, since the receiving end of a stream may itself be a service that moves.
 */
import type { Source } from './source.ts';

/** What was wrong with a stream, in bytes and in places. */
export interface Verdict {
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  readonly incidents: { readonly lost: number; readonly duplicated: number; readonly corrupt: number };
}

export type Fault = 'lost' | 'duplicated' | 'corrupt';

/** What `exportState` gives: plain data, a few dozen bytes of JSON unless a fault is being looked at. */
export interface ComparerState {
  readonly position: number;
  readonly received: number;
  readonly verdict: Verdict;
  /** Base64. */
  readonly pending: string;
}

/** Bytes received after a mismatch before it is judged: enough to tell how a fault goes on. Memory: as much a stream. */
const WINDOW_BYTES = 64 * 1024;

/** Bytes that must agree in a row to say: here is my place again. */
const ANCHOR_BYTES = 32;

/** How far from the expected position, either way, the place is looked for before the whole source is searched. */
const NEAR_BYTES = 1024 * 1024;

/** Places with the same anchor that are tried before the best so far is taken: runs of zeros have very many. */
const CANDIDATES_MAX = 256;

/** Fewer bytes than this say nothing about where they come from. */
const ANCHOR_MIN_BYTES = 8;

/** Faults of one stream for which the whole source is searched. Beyond, the stream is rubbish and only has to be counted. */
const THOROUGH_INCIDENTS_MAX = 64;

/** How the stream may go on after a mismatch: `damaged` bytes that are wrong, and then at `position` of the source. */
interface Hypothesis {
  readonly damaged: number;
  readonly position: number;
  /** Bytes of the window that agree from there on. */
  readonly agreeing: number;
}

export class StreamComparer {
  readonly #source: Source;
  readonly #counts: Counts = emptyCounts();
  /** Where in the source the next byte should come from. */
  #position = 0;
  #received = 0;
  /** What came since the first byte that does not agree. */
  #pending: Buffer = Buffer.alloc(0);

  constructor(source: Source, state?: ComparerState) {
    this.#source = source;
    if (state === undefined) return;
    this.#position = state.position;
    this.#received = state.received;
    this.#pending = Buffer.from(state.pending, 'base64');
    this.#counts = { ...state.verdict, incidents: { ...state.verdict.incidents } };
  }

  /** Bytes of the stream so far. */
  get received(): number {
    return this.#received;
  }

  push(bytes: Uint8Array): void {
    this.#received += bytes.length;
    if (this.#pending.length > 0) {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      this.#judge(WINDOW_BYTES);
    } else {
      this.#follow(bytes);
    }
  }

  /** Nothing more comes for now: what does not agree is judged by what there is of it. */
  settle(): Verdict {
    this.#judge(1);
    return this.verdict;
  }

  /** The stream has ended: what the source still holds is lost. */
  end(): Verdict {
    this.#judge(1);
    if (this.#position < this.#source.length) this.#count('lost', this.#source.length - this.#position);
    this.#position = this.#source.length;
    return this.verdict;
  }

  get verdict(): Verdict {
    return { ...this.#counts, incidents: { ...this.#counts.incidents } };
  }

  exportState(): ComparerState {
    return {
      position: this.#position,
      received: this.#received,
      verdict: this.verdict,
      pending: this.#pending.toString('base64'),
    };
  }

  #follow(bytes: Uint8Array): void {
    const agreeing = commonPrefix(bytes, this.#source.read(this.#position, bytes.length));
    this.#position += agreeing;
    if (agreeing === bytes.length) return;
    this.#pending = Buffer.from(bytes.subarray(agreeing));
    this.#judge(WINDOW_BYTES);
  }

  /** Takes what is pending from its first mismatch to the next, as long as at least `enough` bytes are there. */
  #judge(enough: number): void {
    while (this.#pending.length >= enough) {
      const window = this.#pending.subarray(0, WINDOW_BYTES);
      const { damaged, position, agreeing } = this.#explain(window);
      const shift = position - (this.#position + damaged);
      if (damaged > 0) this.#count('corrupt', damaged);
      if (agreeing > 0 && shift > 0) this.#count('lost', shift);
      if (agreeing > 0 && shift < 0) this.#count('duplicated', -shift);
      this.#position = position + agreeing;

      const rest = this.#pending.subarray(damaged + agreeing);
      this.#pending = Buffer.alloc(0);
      if (rest.length > 0) this.#follow(rest);
    }
  }

  #count(fault: Fault, bytes: number): void {
    this.#counts[fault] += bytes;
    this.#counts.incidents[fault] += 1;
  }

  /** The likeliest way on: the one after which the most bytes agree, and of those the one nearest by. */
  #explain(window: Buffer): Hypothesis {
    const inPlace = this.#findInPlace(window);
    const near = this.#findMoved(window, 0, this.#position - NEAR_BYTES, this.#position + NEAR_BYTES);
    if (near !== undefined && near.agreeing > (inPlace?.agreeing ?? 0)) return near;
    if (inPlace !== undefined) return inPlace;
    const { lost, duplicated, corrupt } = this.#counts.incidents;
    if (lost + duplicated + corrupt < THOROUGH_INCIDENTS_MAX) {
      const found = this.#findMoved(window, 0, 0, this.#source.length) ?? this.#findDamagedAndMoved(window);
      if (found !== undefined) return found;
    }
    const position = Math.min(this.#position + window.length, this.#source.length);
    return { damaged: window.length, position, agreeing: 0 };
  }

  /** The stream goes on where it should, once so many bytes are damaged. */
  #findInPlace(window: Buffer): Hypothesis | undefined {
    const source = this.#source.read(this.#position, window.length);
    let run = 0;
    for (let i = 0; i < source.length; i++) {
      run = window[i] === source[i] ? run + 1 : 0;
      // At the end of the stream, fewer bytes have to do.
      if (run < ANCHOR_BYTES && !(run > 0 && i === window.length - 1)) continue;
      const damaged = i + 1 - run;
      const agreeing = commonPrefix(window.subarray(damaged), source.subarray(damaged));
      return { damaged, position: this.#position + damaged, agreeing };
    }
    return undefined;
  }

  /** The stream goes on elsewhere, between two positions of the source. */
  #findMoved(window: Buffer, damaged: number, from: number, to: number): Hypothesis | undefined {
    const skip = damaged + constantRun(window.subarray(damaged));
    const anchor = window.subarray(skip, skip + ANCHOR_BYTES);
    if (anchor.length < ANCHOR_MIN_BYTES) return undefined;
    const start = Math.max(0, from);
    const haystack = Buffer.from(this.#source.read(start, Math.min(to, this.#source.length) - start));
    const distance = (hypothesis: Hypothesis): number =>
      Math.abs(hypothesis.position - this.#position - damaged);
    let best: Hypothesis | undefined;
    let tried = 0;
    for (let at = haystack.indexOf(anchor); at >= 0; at = haystack.indexOf(anchor, at + 1)) {
      const position = start + at - (skip - damaged);
      if (++tried > CANDIDATES_MAX) break;
      if (position < 0) continue;
      const agreeing = commonPrefix(
        window.subarray(damaged),
        this.#source.read(position, window.length - damaged),
      );
      if (agreeing === 0) continue;
      const found = { damaged, position, agreeing };
      const better =
        best === undefined ||
        agreeing > best.agreeing ||
        (agreeing === best.agreeing && distance(found) < distance(best));
      if (better) best = found;
    }
    return best;
  }

  /** Looks for the first piece that is known again, then walks back to where it begins. */
  #findDamagedAndMoved(window: Buffer): Hypothesis | undefined {
    for (let damaged = ANCHOR_BYTES; damaged + ANCHOR_BYTES <= window.length; damaged += ANCHOR_BYTES) {
      const expected = this.#position + damaged;
      const found = this.#findMoved(window, damaged, expected - NEAR_BYTES, expected + NEAR_BYTES);
      if (found === undefined) continue;

      const most = Math.min(ANCHOR_BYTES, found.position);
      const before = Buffer.from(this.#source.read(found.position - most, most));
      let back = 0;
      while (back < most && window[damaged - 1 - back] === before[most - 1 - back]) back++;
      return {
        damaged: damaged - back,
        position: found.position - back,
        agreeing: found.agreeing + back,
      };
    }
    return undefined;
  }
}

/** Nothing wrong so far. */
export const NO_FAULTS: Verdict = emptyCounts();

export function addVerdicts(a: Verdict, b: Verdict): Verdict {
  return {
    lost: a.lost + b.lost,
    duplicated: a.duplicated + b.duplicated,
    corrupt: a.corrupt + b.corrupt,
    incidents: {
      lost: a.incidents.lost + b.incidents.lost,
      duplicated: a.incidents.duplicated + b.incidents.duplicated,
      corrupt: a.incidents.corrupt + b.incidents.corrupt,
    },
  };
}

export interface Counts {
  lost: number;
  duplicated: number;
  corrupt: number;
  incidents: { lost: number; duplicated: number; corrupt: number };
}

export function emptyCounts(): Counts {
  return { lost: 0, duplicated: 0, corrupt: 0, incidents: { lost: 0, duplicated: 0, corrupt: 0 } };
}

/** How many bytes agree from the start. */
function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  if (Buffer.compare(a.subarray(0, length), b.subarray(0, length)) === 0) return length;
  let i = 0;
  while (a[i] === b[i]) i++;
  return i;
}

/** How much of the start, all of one value, says nothing about the place: all but the last few bytes of the run. */
function constantRun(bytes: Uint8Array): number {
  let run = 1;
  while (run < bytes.length && bytes[run] === bytes[0]) run++;
  return run < bytes.length ? Math.max(0, run - ANCHOR_MIN_BYTES) : 0;
}
