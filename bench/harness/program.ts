/** What the programs of benchmarks have in common: they are started with a configuration, and answer calls. */

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

export interface Program {
  /** What the benchmark should know when the program is ready: the port it listens on, for instance. */
  readonly ready?: unknown;
  /** What the benchmark may call. Arguments and answers travel as JSON. */
  readonly calls: Readonly<Record<string, (argument: never) => unknown>>;
}

/** Runs this process as a program of the benchmark that started it. */
export async function runProgram<Config>(set: (config: Config) => Program | Promise<Program>): Promise<void> {
  const { calls, ready } = await set(JSON.parse(process.argv[2] ?? '{}') as Config);
  const cpuAtStart = process.cpuUsage();
  const all: Readonly<Record<string, (argument: never) => unknown>> = {
    stop: () => process.exit(0),
    /** Processor time since it was ready, in milliseconds. */
    cpuMs: () => {
      const { user, system } = process.cpuUsage(cpuAtStart);
      return (user + system) / 1000;
    },
    ...calls,
  };
  process.on('message', (call: Call) => {
    void answer(call, all[call.name]);
  });
  // The benchmark is gone, and nobody else will end this process.
  process.once('disconnect', () => process.exit(1));
  send({ ready: ready ?? null });
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
