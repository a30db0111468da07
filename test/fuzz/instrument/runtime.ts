/**
 * What instrumented sources report to: which blocks ran, how often, and how many bytes were allocated. One instance a
 * process, shared by every instrumented copy of the sources.
 */

/** Blocks of all instrumented copies together. Memory cost: 2 bytes each. */
const MAX_BLOCKS = 1 << 20;

/** What an allocation costs beside its bytes, so that many empty ones count too. */
const ALLOCATION_OVERHEAD_BYTES = 64;

/** The name under which instrumented sources find the runtime. */
export const RUNTIME_NAME = '__godwitFuzz';

/** The code under test ran so many blocks for one input that it will not end. */
export class EndlessLoop extends Error {
  constructor(blocks: number) {
    super(`more than ${blocks} blocks ran for one input: an endless loop, or work out of proportion`);
    this.name = 'EndlessLoop';
  }
}

class Runtime {
  /** How often each block ran for the present input, at most 255. */
  readonly counts = new Uint8Array(MAX_BLOCKS);
  /** The blocks that ran for the present input, in order of their first run. */
  readonly touched = new Uint32Array(MAX_BLOCKS);
  touchedCount = 0;
  /** Bytes allocated for the present input. */
  allocatedBytes = 0;
  #registered = 0;
  #blocksLeft = Infinity;
  #blocksMax = Infinity;
  readonly #files: { readonly name: string; readonly first: number; readonly lines: readonly number[] }[] =
    [];

  /** Called once by each instrumented source; `lines` has the line of each of its blocks. Answers its first block. */
  register(name: string, lines: readonly number[]): number {
    const first = this.#registered;
    this.#registered += lines.length;
    if (this.#registered > MAX_BLOCKS) throw new RangeError(`more than ${MAX_BLOCKS} blocks`);
    this.#files.push({ name, first, lines });
    return first;
  }

  /** Called by each block. */
  hit(block: number): void {
    const count = this.counts[block] as number;
    if (count === 0) {
      this.touched[this.touchedCount] = block;
      this.touchedCount += 1;
    }
    if (count < 255) this.counts[block] = count + 1;
    this.#blocksLeft -= 1;
    if (this.#blocksLeft < 0) {
      this.#blocksLeft = Infinity; // what handles the error may run
      throw new EndlessLoop(this.#blocksMax);
    }
  }

  /** Called around each `new Uint8Array(…)`. */
  allocated(bytes: Uint8Array): Uint8Array {
    this.allocatedBytes += bytes.byteLength + ALLOCATION_OVERHEAD_BYTES;
    return bytes;
  }

  /** A new input begins. */
  begin(maxBlocks: number): void {
    for (let i = 0; i < this.touchedCount; i += 1) this.counts[this.touched[i] as number] = 0;
    this.touchedCount = 0;
    this.allocatedBytes = 0;
    this.#blocksLeft = maxBlocks;
    this.#blocksMax = maxBlocks;
  }

  /** The present input is over: whatever runs from here on is not limited. */
  end(): void {
    this.#blocksLeft = Infinity;
  }

  /** Where blocks are, as `file:line`; those of several copies of a file share their names. */
  *places(): IterableIterator<readonly [block: number, place: string]> {
    for (const { name, first, lines } of this.#files)
      for (const [index, line] of lines.entries()) yield [first + index, `${name}:${line}`];
  }
}

export type { Runtime };

const shared = globalThis as unknown as { [RUNTIME_NAME]?: Runtime };

export const runtime: Runtime = (shared[RUNTIME_NAME] ??= new Runtime());
