/**
 * What the death of a server costs at the least: a plain node:net client that notices the reset, connects to another
 * server and gets a first byte, measured from the last byte of the one that died.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { killChild, startChild } from '../../packages/cli/src/demo/child.ts';

const SERVERS = 2;

/** Neither a start nor a measurement takes longer, unless something is broken. */
const LIMIT_MS = 20_000;

interface FloorServer {
  readonly child: ChildProcess;
  readonly port: number;
}

export class FloorMeter {
  readonly #folder: string;
  /** The first one is the next to die. */
  #servers: FloorServer[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(folder: string): Promise<FloorMeter> {
    const meter = new FloorMeter(folder);
    for (let index = 0; index < SERVERS; index++) await meter.#add();
    return meter;
  }

  /** Kills a server once it has delivered so many bytes. Returns the gap in milliseconds. */
  async measure(killAtByte: number): Promise<number> {
    const [victim, heir] = this.#servers;
    if (victim === undefined || heir === undefined) throw new Error('the floor has no servers');
    const signal = AbortSignal.timeout(LIMIT_MS);
    const first = net.connect(victim.port, '127.0.0.1');
    let delivered = 0;
    let lastMs = 0;
    first.on('data', (chunk) => {
      lastMs = performance.now();
      if (delivered < killAtByte && delivered + chunk.length >= killAtByte) victim.child.kill('SIGKILL');
      delivered += chunk.length;
    });
    // It ends in a FIN or a reset, whichever the kernel makes of the death.
    await new Promise<void>((resolve, reject) => {
      first.once('end', resolve).once('error', () => resolve());
      signal.addEventListener('abort', () => reject(new Error('the floor: no end of the first connection')));
    });
    const second = net.connect(heir.port, '127.0.0.1');
    await once(second, 'data', { signal });
    const gapMs = performance.now() - lastMs;

    first.destroy();
    second.destroy();
    this.#servers = [heir];
    await killChild(victim.child);
    await this.#add();
    return gapMs;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map(({ child }) => killChild(child)));
  }

  async #add(): Promise<void> {
    const child = startChild({
      entry: join(import.meta.dirname, 'floor-process.ts'),
      config: {},
      logFile: join(this.#folder, 'floor.log'),
    });
    const [port] = (await once(child, 'message', { signal: AbortSignal.timeout(LIMIT_MS) })) as [number];
    this.#servers.push({ child, port });
  }
}
