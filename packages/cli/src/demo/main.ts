/** `npm run demo`: a transfer that survives the deaths of its servers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { USAGE, UsageError, parseDemoArguments } from './arguments.ts';
import type { DemoOptions } from './arguments.ts';
import { openDisplay } from './display.ts';
import { onInterruption } from './interruptions.ts';
import { formatReport } from './report.ts';
import { runDemo } from './run-demo.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let options;
  try {
    options = parseDemoArguments(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  return demonstrate(options);
}

async function demonstrate(options: DemoOptions): Promise<number> {
  const { json, seed, file, fileBytes, delivery } = options;
  const folder = mkdtempSync(join(tmpdir(), 'godwit-demo-'));
  const interrupt = new AbortController();
  let interruptedStatus: number | undefined;
  onInterruption((status, reason) => {
    interruptedStatus = status;
    interrupt.abort(reason);
  });
  const display = openDisplay(json ? process.stderr : process.stdout);
  display.event(`${file}, ${(fileBytes / 1e6).toFixed(1)} MB, ${delivery} delivery, seed ${seed}`);
  try {
    const result = await runDemo(options, { folder, watcher: display, signal: interrupt.signal });
    display.close();
    console.log(json ? JSON.stringify(result) : formatReport(result));
    if (!result.ok) keepLogs(folder);
    else rmSync(folder, { recursive: true });
    return result.ok ? 0 : 1;
  } catch (error) {
    display.close();
    if (interrupt.signal.aborted) {
      rmSync(folder, { recursive: true });
      return interruptedStatus ?? 1;
    }
    const { message } = error as Error;
    console.error(`The demo failed: ${message}\nRepeat this run's choices with --seed ${seed}.`);
    if (json) console.log(JSON.stringify({ ok: false, problems: [message], delivery, seed }));
    keepLogs(folder);
    return 1;
  }
}

function keepLogs(folder: string): void {
  console.error(`The logs of the servers and of the client are in ${folder}`);
}
