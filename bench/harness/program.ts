/** What the programs of benchmarks have in common: they are started with a configuration, and answer calls. */

import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';

/** From the benchmark to a program. `stop` ends it. */
export interface Call {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

/** From a program to the benchmark. */
export type Answer =
  | { readonly ready: unknown }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

/** How often memory is collected before it is measured, and the pause behind each, in milliseconds. */
const COLLECTIONS = 2;
const COLLECTION_PAUSE_MS = 40;

export interface Program {
  /** What the benchmark should know when the program is ready: the port it listens on, for instance. */
  readonly ready?: unknown;
  /** What the benchmark may call. Arguments and answers travel as JSON. */
  readonly calls: Readonly<Record<string, (argument: never) => unknown>>;
}

/**
 * Runs this process as a program of the benchmark that started it. The configuration is the first message: so a client
 * can be loaded while its server is not up yet.
 */
export async function runProgram<Config>(set: (config: Config) => Program | Promise<Program>): Promise<void> {
  // The benchmark is gone, and nobody else will end this process.
  process.once('disconnect', () => process.exit(1));
  const [config] = (await once(process, 'message')) as [Config];
  const { calls, ready } = await set(config);
  const cpuAtStart = process.cpuUsage();
  const all: Readonly<Record<string, (argument: never) => unknown>> = {
    stop: () => process.exit(0),
    /** Processor time since it was ready, in milliseconds. */
    cpuMs: () => {
      const { user, system } = process.cpuUsage(cpuAtStart);
      return (user + system) / 1000;
    },
    memory,
    ...calls,
  };
  process.on('message', (call: Call) => {
    void answer(call, all[call.name]);
  });
  send({ ready: ready ?? null });
}

/** What a process occupies, in bytes. */
export interface Memory {
  /** Resident, as the operating system counts. */
  readonly resident: number;
  /** Objects and buffers of JavaScript. */
  readonly heap: number;
}

/**
 * What is left when nothing is garbage, and V8 has given back what it allocates from: it does so by itself when a process has been
 * idle for 10 … 15 s, and here at once. The process needs `--expose-gc`.
 */
async function memory(): Promise<Memory> {
  // Pages go back to the system some time behind the collection that freed them.
  for (let round = 0; round < COLLECTIONS; round += 1) {
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    await setTimeout(COLLECTION_PAUSE_MS);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss, heap: heapUsed + external };
}

/** Ends this process as failed: what it measures is not what it should. */
export function fail(reason: string): never {
  console.error(reason);
  process.exit(1);
}

async function answer(
  { id, name, argument }: Call,
  called: ((argument: never) => unknown) | undefined,
): Promise<void> {
  try {
    if (called === undefined) throw new Error(`there is no ${name}`);
    send({ id, value: (await called(argument as never)) ?? null });
  } catch (error) {
    send({ id, error: String((error as Error).stack ?? error) });
  }
}

function send(message: Answer): void {
  process.send?.(message);
}
