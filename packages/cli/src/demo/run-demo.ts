/** One run of the demo: three servers, one client, and somebody who kills. */
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DURATION_MIN_S } from './arguments.ts';
import type { DemoOptions } from './arguments.ts';
import { killChild, startChild, tailOf } from './child.ts';
import { drawTriggers } from './choices.ts';
import type { Trigger } from './choices.ts';
import type { ClientConfig, ClientMessage, Migration } from './messages.ts';
import { summarize } from './result.ts';
import type { DemoResult, Kill } from './result.ts';
import { ServerPool } from './server-pool.ts';
import type { TransferResult } from './transfer.ts';

const SERVERS = 3;

/** A transfer lasts so many times as long as the servers took to start: each kill costs a restart. */
const STARTS_PER_TRANSFER = 6;

/** When nothing has moved for so long, something hangs, and the run fails. */
const NO_PROGRESS_LIMIT_MS = 30_000;

/** How long a killed server stays down if nobody takes over its session. */
const RESTART_AFTER_MS = 500;

/** A kill hits bytes in flight only if some arrived so shortly before. */
const MOVING_WITHIN_MS = 1000;

/** How often the client reports its progress, over the whole transfer. */
const PROGRESS_REPORTS = 2000;

/** What somebody who watches is told. */
export interface Watcher {
  /** Something happened that deserves a line. */
  event(text: string): void;
  progress(status: DemoStatus): void;
}

export interface DemoStatus {
  readonly down: number;
  readonly up: number;
  readonly total: number;
  readonly server: string;
  readonly epoch: number;
  readonly migrations: number;
}

/** Rejects if the run could not be finished; a run that was finished and went wrong has a result that says so. */
export async function runDemo(
  options: DemoOptions,
  { folder, watcher, signal }: { folder: string; watcher: Watcher; signal: AbortSignal },
): Promise<DemoResult> {
  const failed = Promise.withResolvers<never>();
  const onAbort = (): void => failed.reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  failed.promise.catch(() => {}); // Nobody may be waiting yet.
  const { delivery, file, fileBytes } = options;
  const startedMs = performance.now();
  let pool: ServerPool | undefined;
  let run: DemoRun | undefined;
  try {
    watcher.event(`starting ${SERVERS} servers`);
    pool = await ServerPool.start({
      servers: SERVERS,
      delivery,
      file,
      rate: 0,
      folder,
      onFailure: failed.reject,
      signal,
    });
    const durationS = Math.max(
      DURATION_MIN_S,
      (STARTS_PER_TRANSFER * (performance.now() - startedMs)) / 1000,
    );
    const rate = options.rate ?? fileBytes / 1e6 / durationS;
    pool.setRate(rate);
    run = new DemoRun({ ...options, rate }, pool, watcher, folder, failed.reject);
    const transfer = await Promise.race([run.finished, failed.promise]);
    return summarize({
      options,
      transfer,
      migrations: run.migrations,
      kills: run.kills,
      sourceSha256: delivery === 'replay' ? await hashFile(file) : undefined,
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    await run?.stop();
    await pool?.stop();
  }
}

/** Watches the client, and pulls the triggers as its stream passes them. */
class DemoRun {
  readonly finished: Promise<TransferResult>;
  readonly migrations: Migration[] = [];
  readonly kills: Kill[] = [];
  readonly #options: DemoOptions & { readonly rate: number };
  readonly #pool: ServerPool;
  readonly #watcher: Watcher;
  readonly #triggers: Trigger[];
  readonly #client: ChildProcess;
  readonly #clientLog: string;
  readonly #fail: (error: Error) => void;
  readonly #stallTimer: NodeJS.Timeout;
  #down = 0;
  #up = 0;
  #movedAtMs = 0;
  #server = '';
  #epoch = 1;
  /** False from a kill or a drain until the session is at another server. */
  #settled = false;
  #over = false;

  constructor(
    options: DemoOptions & { readonly rate: number },
    pool: ServerPool,
    watcher: Watcher,
    folder: string,
    fail: (error: Error) => void,
  ) {
    const { seed, kills, fileBytes, delivery, file, rate } = options;
    this.#options = options;
    this.#pool = pool;
    this.#watcher = watcher;
    this.#fail = fail;
    this.#triggers = drawTriggers({ seed, kills, streamBytes: fileBytes });
    this.#clientLog = join(folder, 'client.log');
    const progressBytes = Math.ceil((2 * fileBytes) / PROGRESS_REPORTS);
    this.#client = startChild({
      entry: join(import.meta.dirname, 'client-process.ts'),
      config: { servers: pool.addresses, delivery, file, rate, seed, progressBytes } satisfies ClientConfig,
      logFile: this.#clientLog,
    });
    this.#stallTimer = setTimeout(() => fail(this.#diagnose()), NO_PROGRESS_LIMIT_MS);
    this.finished = new Promise((resolve, reject) => {
      this.#client.on('message', (message: ClientMessage) => {
        this.#stallTimer.refresh();
        if (message.type === 'done') resolve(message.result);
        else if (message.type === 'failed') reject(new Error(`the client failed: ${message.message}`));
        else this.#handle(message);
      });
      this.#client.once('exit', (code, signal) =>
        reject(
          new Error(
            `the client ended (${signal ?? `exit code ${code}`}). Its log ends with:\n${this.#tail()}`,
          ),
        ),
      );
    });
    this.finished.catch(() => {}); // Whoever waits for it may be late.
  }

  async stop(): Promise<void> {
    this.#over = true;
    clearTimeout(this.#stallTimer);
    await killChild(this.#client);
  }

  #handle(message: Exclude<ClientMessage, { type: 'done' | 'failed' }>): void {
    switch (message.type) {
      case 'connected':
        this.#server = message.server;
        this.#settled = true;
        this.#watcher.event(`connected to ${message.server}`);
        break;
      case 'progress':
        if (message.down > this.#down) this.#movedAtMs = performance.now();
        this.#down = message.down;
        this.#up = message.up;
        this.#pullTriggers();
        break;
      case 'migrating':
        break;
      case 'attached':
        this.#attached(message.server, message.epoch);
        break;
      case 'migrated': {
        const { migration } = message;
        this.migrations.push(migration);
        const { cause, from, to, blackoutMs } = migration;
        this.#watcher.event(
          `migrated ${from} -> ${to} (${cause}), ${blackoutMs.toFixed(1)} ms without a byte`,
        );
        break;
      }
    }
    this.#watcher.progress({
      down: Math.min(this.#down, this.#options.fileBytes),
      up: Math.min(this.#up, this.#options.fileBytes),
      total: this.#options.fileBytes,
      server: this.#server,
      epoch: this.#epoch,
      migrations: this.migrations.length,
    });
  }

  #attached(server: string, epoch: number): void {
    const kill = this.kills.at(-1);
    if (kill !== undefined && kill.followedBy === undefined && kill.server === this.#server) {
      const { pid } = this.#pool.get(server);
      if (pid !== kill.pid) kill.followedBy = { server, pid };
      this.#restart(kill.server);
    }
    this.#server = server;
    this.#epoch = epoch;
    this.#settled = true;
  }

  /** One at a time, and only while another server is there to take over. */
  #pullTriggers(): void {
    const next = this.#triggers[0];
    if (next === undefined || !this.#settled || this.#down < next.atByte) return;
    if (!this.#pool.servers.some(({ name, state }) => name !== this.#server && state === 'ready')) return;
    this.#triggers.shift();
    this.#settled = false;
    if (next.kind === 'kill') this.#kill();
    else this.#drain();
  }

  #kill(): void {
    const { name, pid } = this.#pool.get(this.#server);
    const unfinished = this.#down < this.#options.fileBytes || this.#up < this.#options.fileBytes;
    const inFlight = unfinished && performance.now() - this.#movedAtMs < MOVING_WITHIN_MS;
    this.#pool.kill(name);
    const kill: Kill = { server: name, pid, atByte: this.#down, inFlight, followedBy: undefined };
    this.kills.push(kill);
    this.#watcher.event(`SIGKILL to ${name} (process ${pid}) at byte ${this.#down}`);
    setTimeout(() => {
      if (kill.followedBy === undefined) this.#restart(name);
    }, RESTART_AFTER_MS).unref();
  }

  #drain(): void {
    const name = this.#server;
    this.#watcher.event(`draining ${name} at byte ${this.#down}`);
    this.#pool
      .drain(name)
      .then((moved) => {
        if (this.#over) return;
        this.#watcher.event(`${name} is drained: ${moved} moved; it restarts`);
        this.#restart(name);
      })
      .catch(this.#failUnlessOver);
  }

  #restart(name: string): void {
    const { state } = this.#pool.get(name);
    if (this.#over || state === 'starting' || state === 'ready') return;
    this.#pool
      .restart(name)
      .then(() => {
        if (!this.#over) this.#watcher.event(`${name} is back (process ${this.#pool.get(name).pid})`);
      })
      .catch(this.#failUnlessOver);
  }

  readonly #failUnlessOver = (error: Error): void => {
    if (!this.#over) this.#fail(error);
  };

  #diagnose(): Error {
    const servers = this.#pool.servers.map(({ name, state }) => `${name} ${state}`).join(', ');
    return new Error(
      `nothing moved for ${NO_PROGRESS_LIMIT_MS / 1000} s, at byte ${this.#down} down and ${this.#up} up, ` +
        `epoch ${this.#epoch} at ${this.#server || 'no server'} (${servers}). ` +
        `The client's log ends with:\n${this.#tail()}`,
    );
  }

  #tail(): string {
    return tailOf(this.#clientLog);
  }
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
