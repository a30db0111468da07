/** Bytes in the order they came, kept for a comparison. */
export class ByteLog {
  #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies: who wrote the bytes may use the memory again. */
  append(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#chunks.push(Buffer.from(bytes));
    this.#length += bytes.byteLength;
  }

  /** All of it. */
  get bytes(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }
}
