/**
 * The heap of a server that has just begun. While modules are loaded nearly all that is allocated survives, which makes V8 widen its
 * young generation from 1 to 8 MiB, and soon 16; it never narrows it again in a process that always has something to do. A server
 * lives well with a quarter of that. And when it is killed the kernel first frees all its memory, some 0.2 ms for each MB, before
 * any client hears of it (docs/performance.md, "What the rest is made of").
 */
import { getHeapStatistics } from 'node:v8';
import { findCollector } from '../carriers/collector.ts';

/**
 * Heap in use, in bytes, up to which it is worth it: collecting stands still for some 3 ms for each MB of it. An application that has
 * loaded more than that is left alone, as its young generation is then a small part of its memory.
 */
const MAX_USED_BYTES = 16 * 1024 * 1024;

/** Collects all, and gives back what V8 would keep, if the heap is small. To be called before code is compiled that shall stay. */
export function freshenHeap(): void {
  if (getHeapStatistics().used_heap_size > MAX_USED_BYTES) return;
  findCollector()?.({ type: 'major', flavor: 'last-resort' });
}
