/** A client that reads records and looks at how long nothing comes. Plain net does what it can: it connects elsewhere. */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type * as godwit from 'godwit';
import { fail, runProgram } from '../harness/program.ts';
import { dialled, type ClientChoices } from './implementation.ts';
import { StampCounter, type Verdict } from './stamps.ts';

export interface Blackout {
  /** The longest time within the window in which nothing was delivered. */
  readonly gapMs: number;
  /** What Godwit reports of the move; plain net has none. */
  readonly report: godwit.MigrationReport | undefined;
}

/** The longest gap between two deliveries. */
class GapWindow {
  #lastMs = performance.now();
  #longestMs = 0;

  deliver(): void {
    const ms = performance.now();
    this.#longestMs = Math.max(this.#longestMs, ms - this.#lastMs);
    this.#lastMs = ms;
  }

  /** From now on; the gap that is running counts from its beginning. */
  open(): void {
    this.#longestMs = 0;
  }

  close(): number {
    return Math.max(this.#longestMs, performance.now() - this.#lastMs);
  }
}

/** One stream of records, whatever carries it. */
interface Reader {
  /** The port of the server at the other end. */
  readonly port: () => number;
  /** Asks to be served elsewhere. */
  readonly migrate?: () => Promise<godwit.MigrationReport>;
  /** Comes when another server serves, and a first byte of it was delivered. */
  readonly moved: () => Promise<godwit.MigrationReport | undefined>;
}

await runProgram(async (config: ClientChoices) => {
  const gap = new GapWindow();
  const counter = new StampCounter();
  const deliver = (chunk: Buffer): void => {
    gap.deliver();
    counter.push(chunk);
  };
  const reader =
    config.implementation === 'net'
      ? await readByNet(config, deliver, counter)
      : await readByGodwit(config, deliver);
  let moved: ReturnType<Reader['moved']> | undefined;
  let openedMs = 0;

  /** Closes the window when it has been open for so long, and the move is over. */
  const closeAfter = async (windowMs: number): Promise<Blackout> => {
    const report = await moved;
    const leftMs = openedMs + windowMs - performance.now();
    if (leftMs > 0) await setTimeout(leftMs);
    const gapMs = gap.close();
    return { gapMs, report };
  };

  return {
    calls: {
      port: () => reader.port(),
      /** A window in which nothing happens. */
      calm: (windowMs: number): Promise<Blackout> => {
        [moved, openedMs] = [undefined, performance.now()];
        gap.open();
        return closeAfter(windowMs);
      },
      /** A window that begins as the move is asked for. */
      migrate: (windowMs: number): Promise<Blackout> => {
        [moved, openedMs] = [reader.moved(), performance.now()];
        gap.open();
        reader.migrate?.().catch((error: Error) => fail(`the session did not move: ${error.message}`));
        return closeAfter(windowMs);
      },
      /** Opens a window in which the server will die. */
      expectDeath: (): void => {
        [moved, openedMs] = [reader.moved(), performance.now()];
        gap.open();
      },
      survive: closeAfter,
      verdict: (): Verdict => counter.verdict,
    },
  };
});

async function readByGodwit(config: ClientChoices, deliver: (chunk: Buffer) => void): Promise<Reader> {
  const socket = (await dialled(config)) as unknown as godwit.Socket;
  socket.on('error', (error) => fail(`the session ended: ${error.message}`));
  socket.on('data', deliver);
  await once(socket, 'data');
  return {
    port: () => socket.currentServer?.port ?? 0,
    migrate: () => socket.migrate(),
    moved: async () => {
      const [report] = (await once(socket, 'migrated')) as [godwit.MigrationReport];
      await once(socket, 'data');
      return report;
    },
  };
}

/** Notices the end, however it comes, and begins anew with the next server at once. */
async function readByNet(
  { ports }: ClientChoices,
  deliver: (chunk: Buffer) => void,
  counter: StampCounter,
): Promise<Reader> {
  let place = 0;
  let arrived = Promise.withResolvers<undefined>();
  const connect = (): void => {
    const socket = net.connect(ports[place] ?? 0, '127.0.0.1');
    let over = false;
    const goOn = (): void => {
      if (over) return;
      over = true;
      socket.destroy();
      place = (place + 1) % ports.length;
      connect();
    };
    counter.restart();
    socket.on('data', deliver);
    socket.once('data', () => arrived.resolve(undefined));
    socket.on('end', goOn).on('error', goOn).on('close', goOn);
  };
  connect();
  await arrived.promise;
  return {
    port: () => ports[place] ?? 0,
    moved: async () => {
      arrived = Promise.withResolvers<undefined>();
      await arrived.promise;
      return undefined;
    },
  };
}
