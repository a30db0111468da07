/** Faults of framing and of what strangers may do (I1, I8). */
import { mutant, type Mutant } from './mutant.ts';

export const WIRE_MUTANTS: readonly Mutant[] = [
  mutant(
    'header-in-two-chunks-misread',
    ['I1', 'I6'],
    'a frame whose header comes in two chunks breaks the session',
    'wire/decoder.ts',
    `if (this.#at === this.#chunk.byteLength && !this.#nextChunk()) return false;
      this.#header =`,
    `if (this.#at === this.#chunk.byteLength && !this.#nextChunk()) {
        this.#header = 0;
        return false;
      }
      this.#header =`,
  ),
  mutant(
    'payload-in-two-chunks-misread',
    ['I1', 'I6'],
    'a control frame that comes in two chunks is decoded with a hole in it',
    'wire/decoder.ts',
    `copy(this.#chunk, this.#at, count, payload, payload.byteLength - this.#missing);`,
    `copy(this.#chunk, this.#at, count, payload, 0);`,
  ),
  mutant(
    'migrate-believed-without-proof',
    ['I8'],
    'whoever saw a ticket on the wire can take its session',
    'session/destination.ts',
    'if (!ok) otherwise();',
    'if (!ok && otherwise.length > 0) otherwise();',
  ),
];
