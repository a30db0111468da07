/** `npm run demo`: a transfer that survives the deaths of its servers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { USAGE, UsageError, parseDemoArguments } from './arguments.ts';
import type { DemoOptions } from './arguments.ts';
import { openDisplay } from './display.ts';
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
  const interrupted = catchInterrupts(interrupt);
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
    const status = interrupted();
    if (status !== undefined) {
      rmSync(folder, { recursive: true });
      return status;
    }
    const { message } = error as Error;
    console.error(`The demo failed: ${message}\nRepeat this run's choices with --seed ${seed}.`);
    if (json) console.log(JSON.stringify({ ok: false, problems: [message], delivery, seed }));
    keepLogs(folder);
    return 1;
  }
}

/** Turns Ctrl-C into an orderly end; the result is the exit code for it once it has come. */
function catchInterrupts(interrupt: AbortController): () => number | undefined {
  let status: number | undefined;
  const catchOne = (signal: NodeJS.Signals, code: number): void => {
    process.once(signal, () => {
      status = code;
      interrupt.abort(new Error(`interrupted by ${signal}`));
    });
  };
  catchOne('SIGINT', 130);
  catchOne('SIGTERM', 143);
  catchOne('SIGHUP', 129);
  return () => status;
}

function keepLogs(folder: string): void {
  console.error(`The logs of the servers and of the client are in ${folder}`);
}
