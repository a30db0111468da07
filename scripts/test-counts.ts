/**
 * A reporter for `node --test` that says nothing but the totals and what failed, as one line of JSON, for `scripts/test.ts` to read.
 */
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Files that ran to their end without a single test. node:test would count each as a test that passed. */
  readonly emptyFiles: readonly string[];
  /** Tests that failed, in the order in which they ended: those within them that did, not what contains these. */
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly name: string;
  readonly file: string;
  /** What the test said, its stack included, where it has one. */
  readonly message: string;
}

export default async function* counts(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const emptyFiles: string[] = [];
  const failures: Failure[] = [];
  for await (const event of events) {
    if (event.type === 'test:pass' && isFileItself(event.data)) emptyFiles.push(event.data.name);
    if (event.type === 'test:fail' && event.data.todo === undefined) {
      const { name, file = '', details } = event.data;
      const error = details.error as Error & { failureType?: string };
      if (error.failureType !== 'subtestsFailed') failures.push({ name, file, message: messageOf(error) });
    }
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
      failures,
    };
    yield `${JSON.stringify(total)}\n`;
  }
}

/** node:test wraps what a test threw. */
function messageOf(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.stack ?? cause.message;
}

/** A file without tests is reported as a test that carries the file's name. */
function isFileItself({ name, file, nesting }: { name: string; file?: string; nesting: number }): boolean {
  return nesting === 0 && file !== undefined && resolve(name) === resolve(file);
}
