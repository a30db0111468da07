/** Logs whose times can be compared between the processes of one machine. */

/** Milliseconds of the machine's monotonic clock. */
export function clockMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** Writes lines to standard error with the time since the run began. */
export function logSince(startedMs: number): (line: string) => void {
  return (line) => console.error(`${((clockMs() - startedMs) / 1000).toFixed(3).padStart(9)} s  ${line}`);
}
