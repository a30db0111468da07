/** A Redis server of our own, for as long as it is needed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { missingAfterInstall } from '../../scripts/debian-packages.ts';

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 10;

export interface RedisProcess {
  /** Path of its socket. */
  readonly socket: string;
  readonly stop: () => Promise<void>;
}

/** Why there can be none; undefined where there can. Installs it where it is missing, and says so. */
export async function redisObstacle(log: (line: string) => void): Promise<string | undefined> {
  const missing = await missingAfterInstall([{ command: 'redis-server', packageName: 'redis-server' }], log);
  return missing.length === 0
    ? undefined
    : 'there is no redis-server on this machine, and it could not be installed; Debian has it as redis-server';
}

export async function startRedis(): Promise<RedisProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-bench-redis-'));
  const socket = join(folder, 'redis.sock');
  // No port, nothing on disk.
  const options = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const child = spawn('redis-server', options, { stdio: 'ignore' });
  const onExit = (): void => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', onExit);
  const lateMs = performance.now() + START_TIMEOUT_MS;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > lateMs) throw new Error('redis-server did not start');
    await setTimeout(POLL_MS);
  }
  return {
    socket,
    stop: async () => {
      process.off('exit', onExit);
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
