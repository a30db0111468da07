/**
 * A reporter for `node --test` that says nothing but the totals, as one line of JSON, for `scripts/test.ts` to read.
 */
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Files that ran to their end without a single test. node:test would count each as a test that passed. */
  readonly emptyFiles: readonly string[];
}

export default async function* counts(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const emptyFiles: string[] = [];
  for await (const event of events) {
    if (event.type === 'test:pass' && isFileItself(event.data)) emptyFiles.push(event.data.name);
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;

    const { passed, failed, cancelled, skipped, todo } = event.data.counts as unknown as Record<
      string,
      number
    >;
    const total: Counts = {
      passed: (passed ?? 0) - emptyFiles.length,
      failed: (failed ?? 0) + (cancelled ?? 0),
      skipped: (skipped ?? 0) + (todo ?? 0),
      emptyFiles,
    };
    yield `${JSON.stringify(total)}\n`;
  }
}

/** A file without tests is reported as a test that carries the file's name. */
function isFileItself({ name, file, nesting }: { name: string; file?: string; nesting: number }): boolean {
  return nesting === 0 && file !== undefined && resolve(name) === resolve(file);
}
