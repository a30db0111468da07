/** Commands that a test or a benchmark needs of the machine, installed from Debian where they are missing. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface Tool {
  readonly command: string;
  /** The Debian package that brings it. */
  readonly packageName: string;
}

/** Debian keeps in the last two what only root needs, which not every root has in its path. */
const FOLDERS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];

/** For one call of apt-get, in milliseconds. */
const INSTALL_LIMIT_MS = 180_000;

/** Between two tries while somebody else installs something, another test file as a rule, in milliseconds: no event tells of the end of it. */
const LOCKED_PAUSE_MS = 1_000;

/** Commands that are not there, after what could be installed was: that takes root, and apt-get. Says what it installs. */
export async function missingAfterInstall(
  tools: readonly Tool[],
  log: (line: string) => void,
): Promise<readonly string[]> {
  const packages = new Set(
    tools.flatMap(({ command, packageName }) => (isThere(command) ? [] : packageName)),
  );
  if (packages.size > 0 && isThere('apt-get') && process.getuid?.() === 0) await install(packages, log);
  return tools.map(({ command }) => command).filter((command) => !isThere(command));
}

async function install(packages: ReadonlySet<string>, log: (line: string) => void): Promise<void> {
  log(`installing the Debian packages ${[...packages].join(' and ')}`);
  const settings = {
    // A package of a server would start it: nobody asked for that.
    env: { ...process.env, RUNLEVEL: '1', DEBIAN_FRONTEND: 'noninteractive' },
    timeout: INSTALL_LIMIT_MS,
  };
  const aptGet = (...args: readonly string[]): Promise<unknown> =>
    promisify(execFile)('apt-get', args, settings);
  const arrange = ['install', '--yes', '--no-install-recommends', ...packages];
  const endsAt = performance.now() + INSTALL_LIMIT_MS;
  for (;;) {
    try {
      await aptGet(...arrange).catch(async () => {
        await aptGet('update');
        await aptGet(...arrange);
      });
      return;
    } catch (error) {
      const { message } = error as Error;
      if (!message.includes('Could not get lock') || performance.now() > endsAt) {
        log(message);
        return;
      }
      await wait(LOCKED_PAUSE_MS);
    }
  }
}

function isThere(command: string): boolean {
  return FOLDERS.some((folder) => folder !== '' && existsSync(`${folder}/${command}`));
}
