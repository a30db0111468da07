/** Cleans up after runs that could not do it themselves, because they were killed. */
import { readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runNow } from './commands.ts';
import { NAMESPACE_PREFIX } from './network.ts';

/** Of the folders of runs; the id of the process follows, as in the names of namespaces. */
export const FOLDER_PREFIX = NAMESPACE_PREFIX;

/** The file system with the database, in the folder of a run. */
export const DISK_FOLDER = 'disk';

const NAME = new RegExp(`^${NAMESPACE_PREFIX}(\\d+)-`);

/** Removes the namespaces, processes and folders of runs whose process is gone; answers their names. */
export async function cleanLeftovers(): Promise<string[]> {
  const namespaces = (await run('ip', ['netns', 'list']))
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter(isLeft);
  for (const namespace of namespaces) {
    for (const pid of (await run('ip', ['netns', 'pids', namespace])).split('\n').filter(Boolean))
      kill(Number(pid));
    await run('ip', ['netns', 'del', namespace]);
  }
  const folders = readdirSync(tmpdir()).filter(isLeft);
  for (const folder of folders) {
    const path = join(tmpdir(), folder);
    runNow('umount', ['--lazy', join(path, DISK_FOLDER)]);
    rmSync(path, { recursive: true, force: true });
  }
  return [...namespaces, ...folders];
}

/** Made by a run whose process is gone. */
function isLeft(name: string): boolean {
  const pid = Number(NAME.exec(name)?.[1] ?? NaN);
  if (!Number.isInteger(pid)) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** Its parent is gone, and it stands still: of those that run, each has ended by itself. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
