/** The `onread` option of net: incoming bytes are copied into the application's own buffer, past the stream. */

interface OnRead {
  readonly buffer: Uint8Array | (() => unknown);
  /** Answers false to pause. */
  readonly callback: (bytes: number, buffer: Uint8Array) => unknown;
}

export class UserBuffer {
  readonly #owner: object;
  readonly #onRead: OnRead;
  #buffer: Uint8Array = new Uint8Array(0);

  /** Undefined where the option is none, or is not complete: net ignores that too. */
  static from(onRead: unknown, owner: object): UserBuffer | undefined {
    if (typeof onRead !== 'object' || onRead === null) return undefined;
    const { buffer, callback } = onRead as Partial<OnRead>;
    const isBuffer = buffer instanceof Uint8Array || typeof buffer === 'function';
    return isBuffer && typeof callback === 'function'
      ? new UserBuffer({ buffer, callback }, owner)
      : undefined;
  }

  private constructor(onRead: OnRead, owner: object) {
    this.#onRead = onRead;
    this.#owner = owner;
  }

  /** Takes the first buffer of a connection. */
  renew(): void {
    const { buffer } = this.#onRead;
    const next = typeof buffer === 'function' ? buffer() : buffer;
    if (next instanceof Uint8Array) this.#buffer = next;
  }

  /** Copies as much as fits; answers how many bytes that is. 0: the buffer is empty. */
  fill(bytes: Uint8Array): number {
    const length = Math.min(bytes.byteLength, this.#buffer.byteLength);
    this.#buffer.set(bytes.subarray(0, length));
    return length;
  }

  /** Tells the application of bytes in its buffer. False: it wants no more for now. */
  tell(bytes: number): boolean {
    const wantsMore = this.#onRead.callback.call(this.#owner, bytes, this.#buffer) !== false;
    if (typeof this.#onRead.buffer === 'function') this.renew();
    return wantsMore;
  }
}
