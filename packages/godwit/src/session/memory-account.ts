/** What all sessions of a server hold, kept up to date as each changes (protocol.md §12.3). */

/** What is counted; `accountedBytes` is the account's own. */
export interface MemoryHolder {
  readonly heldBytes: number;
  /** What was counted last; undefined while the holder does not count. */
  accountedBytes: number | undefined;
}

export class MemoryAccount {
  #totalBytes = 0;

  get totalBytes(): number {
    return this.#totalBytes;
  }

  enter(holder: MemoryHolder): void {
    holder.accountedBytes ??= 0;
    this.note(holder);
  }

  /** The holder may have changed. */
  note(holder: MemoryHolder): void {
    if (holder.accountedBytes === undefined) return;
    const { heldBytes } = holder;
    this.#totalBytes += heldBytes - holder.accountedBytes;
    holder.accountedBytes = heldBytes;
  }

  leave(holder: MemoryHolder): void {
    this.#totalBytes -= holder.accountedBytes ?? 0;
    holder.accountedBytes = undefined;
  }
}
