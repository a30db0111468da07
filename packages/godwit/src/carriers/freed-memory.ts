/**
 * What V8 frees, the process keeps. A stream allocates memory for what it reads, V8 collects it 64 MiB at a time, and the
 * allocator of glibc then gives the top of its heap back to the kernel, page by page, only to ask for it again: those page
 * faults cost a receiver more than the bytes themselves (docs/performance.md).
 */

/**
 * glibc raises its thresholds for giving memory back when a block as large as this is freed (mallopt(3), M_TRIM_THRESHOLD and
 * M_MMAP_THRESHOLD), in bytes; larger ones than 32 MiB do not count. Up to twice as much freed memory stays with the process.
 */
const LARGE_BLOCK_BYTES = 31 * 1024 * 1024;

let isKept = false;

/**
 * To be called where a bulk stream begins. Allocates and frees one block that nobody touches, so it is never made of real
 * memory; once a process. With other allocators it does nothing.
 */
export function keepFreedMemory(): void {
  if (isKept) return;
  isKept = true;
  // Transferred to nothing, it is freed at once, and not when it is collected.
  Buffer.allocUnsafeSlow(LARGE_BLOCK_BYTES).buffer.transfer(0);
}
