/** Runs the system's own commands, such as ip and nft. */
import { execFile, spawnSync } from 'node:child_process';

/** None of them takes long; one that hangs must not hold up the run. */
const LIMIT_MS = 20_000;

/** Where Debian keeps what only root needs, which not every root has in its path. */
const environment = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };

export interface RunOptions {
  /** For its standard input. */
  readonly input?: string;
  readonly limitMs?: number;
}

/** Resolves to what the command printed. Rejects with what it complained of. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input, limitMs = LIMIT_MS } = options;
  return new Promise((resolve, reject) => {
    const settings = { env: environment, timeout: limitMs, killSignal: 'SIGKILL' as const };
    const child = execFile(command, [...args], settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
    // A command that ends before it has read everything says itself what was wrong.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}

/** The same for the end of the process, when nothing can be awaited any more. Answers what was printed, if it went well. */
export function runNow(command: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, [...args], {
    env: environment,
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout : undefined;
}
