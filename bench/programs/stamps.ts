/** Records that say which one they are, so that whoever reads them can count what was lost and what came twice. */

/** Bytes of a record. */
export const RECORD_BYTES = 64;

/** The number takes so many bytes; the rest of the record repeats its last one. */
const NUMBER_BYTES = 6;

export function stampedRecord(number: number): Buffer {
  const record = Buffer.allocUnsafe(RECORD_BYTES).fill(number % 256);
  record.writeUIntBE(number, 0, NUMBER_BYTES);
  return record;
}

export interface Verdict {
  /** Bytes that came, in whole records and parts of them. */
  readonly received: number;
  readonly lost: number;
  readonly doubled: number;
}

/** Reads records, in whatever chunks they come, and compares them with 0, 1, 2, … */
export class StampCounter {
  readonly #partial = Buffer.alloc(RECORD_BYTES);
  #partialBytes = 0;
  #expected = 0;
  #received = 0;
  #lost = 0;
  #doubled = 0;

  /** Bytes in the order in which they came. Throws when they are no records. */
  push(chunk: Buffer): void {
    this.#received += chunk.length;
    let offset = 0;
    if (this.#partialBytes > 0) {
      offset = chunk.copy(this.#partial, this.#partialBytes, 0, RECORD_BYTES - this.#partialBytes);
      this.#partialBytes += offset;
      if (this.#partialBytes < RECORD_BYTES) return;
      this.#partialBytes = 0;
      this.#count(this.#partial, 0);
    }
    for (; offset + RECORD_BYTES <= chunk.length; offset += RECORD_BYTES) this.#count(chunk, offset);
    this.#partialBytes = chunk.copy(this.#partial, 0, offset);
  }

  /**
   * What follows begins with a whole record: there is a new connection. Part of a record that has come by then comes once
   * more, or is lost with the rest of it; its bytes are no use to anybody.
   */
  restart(): void {
    this.#doubled += this.#partialBytes;
    this.#partialBytes = 0;
  }

  /** The number of the first record that has not come yet. */
  get expected(): number {
    return this.#expected;
  }

  get verdict(): Verdict {
    return { received: this.#received, lost: this.#lost, doubled: this.#doubled };
  }

  #count(bytes: Buffer, offset: number): void {
    const number = bytes.readUIntBE(offset, NUMBER_BYTES);
    const last = bytes[offset + RECORD_BYTES - 1];
    if (last !== number % 256 || bytes[offset + NUMBER_BYTES] !== last)
      throw new Error(`what should be record ${number} is none`);
    if (number < this.#expected) {
      this.#doubled += RECORD_BYTES;
      return;
    }
    this.#lost += (number - this.#expected) * RECORD_BYTES;
    this.#expected = number + 1;
  }
}
