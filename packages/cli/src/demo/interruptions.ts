/** What ends a command before it is done: a signal, or that nobody reads what it prints any more. */

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** What a shell reports of a program that writes to a closed pipe; Node ignores SIGPIPE and reports EPIPE. */
const CLOSED_OUTPUT_STATUS = 141;

/**
 * Calls back once, with the exit code that goes with what happened, and why. What comes after the first interruption
 * changes nothing, but for a second signal of a kind: that one ends the process at once, as if nobody had listened.
 */
export function onInterruption(interrupted: (status: number, reason: Error) => void): void {
  let over = false;
  const interrupt = (status: number, reason: string): void => {
    if (over) return;
    over = true;
    interrupted(status, new Error(reason));
  };
  for (const [signal, status] of Object.entries(SIGNALS))
    process.once(signal, () => interrupt(status, `interrupted by ${signal}`));
  // Every later write fails as well, so the listeners stay.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      interrupt(CLOSED_OUTPUT_STATUS, 'nobody reads the output any more');
    });
  }
}
