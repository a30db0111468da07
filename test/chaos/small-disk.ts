/** A small file system in memory, which can be full. */
import { statfsSync } from 'node:fs';
import { run, runNow } from './commands.ts';

/** Room for what a run of an hour writes. Memory is taken only for what is there. */
const SIZE_BYTES = 1024 * 1024 * 1024;

const FILL_ATTEMPTS_MAX = 20;

export class SmallDisk {
  readonly path: string;
  readonly #onExit = (): void => this.remove();

  private constructor(path: string) {
    this.path = path;
    // Before the folder that it is mounted in is removed.
    process.prependOnceListener('exit', this.#onExit);
  }

  /** Mounts it over an empty folder. */
  static async mount(path: string): Promise<SmallDisk> {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_BYTES}`, 'godwit-chaos', path]);
    return new SmallDisk(path);
  }

  /** From now on it has no room for anything new. */
  async fill(): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      const { blocks, bfree, bsize } = statfsSync(this.path);
      try {
        await this.#resize((blocks - bfree + 1) * bsize);
        return;
      } catch (error) {
        // Somebody may have written meanwhile: then so little would not hold what is there.
        if (attempts === FILL_ATTEMPTS_MAX) throw error;
      }
    }
  }

  async empty(): Promise<void> {
    await this.#resize(SIZE_BYTES);
  }

  remove(): void {
    process.off('exit', this.#onExit);
    // Lazily: processes may have files open there, and go away with us.
    runNow('umount', ['--lazy', this.path]);
  }

  async #resize(bytes: number): Promise<void> {
    await run('mount', ['-o', `remount,size=${bytes}`, this.path]);
  }
}
