/** Child processes that talk to us, that log to a file, and that never outlive us. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';

const running = new Set<ChildProcess>();

// Whatever way this process ends in, short of SIGKILL; after that, children notice that their channel is gone.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface ChildOptions {
  /** The module to run. */
  readonly entry: string;
  /** Its first argument, as JSON. */
  readonly config: object;
  /** File that standard output and standard error are appended to. */
  readonly logFile: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** A command that runs what follows it, such as `nsenter`, in the same process. Default: none. */
  readonly launcher?: readonly string[];
}

export function startChild({ entry, config, logFile, environment, launcher }: ChildOptions): ChildProcess {
  const log = openSync(logFile, 'a');
  try {
    const [execPath, ...execArgv] = [...(launcher ?? []), process.execPath, ...process.execArgv];
    const child = fork(entry, [JSON.stringify(config)], {
      ...(execPath !== undefined && { execPath, execArgv }),
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, ...environment },
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    return child;
  } finally {
    closeSync(log);
  }
}

/** Ends a child at once and resolves when it is gone. */
export async function killChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** The end of a log, for an error message. */
export function tailOf(logFile: string, lines = 12): string {
  const text = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  // Where in the source it happened is in the file; what happened is what to show.
  return text
    .filter((line) => !line.startsWith('    at '))
    .slice(-lines)
    .join('\n');
}

/** Of a child: what messages about it say. */
export interface ChildLabel {
  readonly name: string;
  readonly logFile: string;
}

/** What children tell has a type; one of them says what went wrong. */
export type ChildMessage = { readonly type: string } | { readonly type: 'failed'; readonly message: string };

/** The next message of that type. Rejects if the process ends or says that it failed, or after the limit. */
export async function expectMessage<Message extends ChildMessage, Type extends Message['type']>(
  child: ChildProcess,
  type: Type,
  limitMs: number,
  label: ChildLabel,
): Promise<Extract<Message, { type: Type }>> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), limitMs);
  const onExit = (): void => over.abort();
  child.once('exit', onExit);
  try {
    while (true) {
      const [message] = (await once(child, 'message', { signal: over.signal })) as [ChildMessage];
      if (message.type === 'failed' && 'message' in message)
        throw new Error(`${label.name}: ${message.message}`);
      if (message.type === type) return message as Extract<Message, { type: Type }>;
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
    if (child.exitCode !== null || child.signalCode !== null)
      throw endedByItself(label, child.signalCode ?? `exit code ${child.exitCode}`);
    throw new Error(`${label.name} was not ${type} within ${limitMs / 1000} s`, { cause: error });
  } finally {
    clearTimeout(timer);
    child.off('exit', onExit);
  }
}

export function endedByItself({ name, logFile }: ChildLabel, how: string): Error {
  return new Error(`${name} ended by itself (${how}). Its log ends with:\n${tailOf(logFile)}`);
}
