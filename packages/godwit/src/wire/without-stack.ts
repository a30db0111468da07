/**
 * Errors without the text of a stack, where they come by the thousands and say nothing about our own code: V8 walks the stack
 * for each, which costs tens of microseconds where the frames are those of compiled code.
 */

/** Runs `work`; what is thrown or made in it has no stack. */
export function withoutStack<T>(work: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
