/** Puts tickets together from their pieces, as a client does (protocol.md §7.3). */
import { concatBytes, type Frame } from '../../packages/godwit/src/wire/index.ts';

export interface Ticket {
  readonly epoch: number;
  readonly k: number;
  readonly input: number;
  readonly output: number;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export class WholeTickets {
  /** The newest last. */
  readonly all: Ticket[] = [];
  #pieces: Uint8Array[] = [];

  take({ epoch, k, input, output, headBytes, totalBytes, offset, bytes }: Frame<'snapshot'>): void {
    this.#pieces = offset === 0 ? [bytes] : [...this.#pieces, bytes];
    const whole = concatBytes(this.#pieces);
    if (whole.byteLength < totalBytes) return;
    const head = whole.slice(0, headBytes);
    this.all.push({ epoch, k, input, output, head, body: whole.slice(headBytes) });
  }
}
