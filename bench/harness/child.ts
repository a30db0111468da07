/**
 * The processes that a benchmark measures. Each runs a program of `bench/programs`, answers calls, and never outlives us.
 * One that fails takes the benchmark with it, and what it had to say on standard error is in the message.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { ROOT, compiledPath } from './fresh-build.ts';
import type { Answer, Call } from './program.ts';

/** How much of a child's standard error a failure quotes, in characters. */
const STDERR_KEPT = 4_000;

/** A child that does not begin or answer within this time hangs, in milliseconds. */
const CALL_TIMEOUT_MS = 60_000;

/** How long a child may take to end when asked, writing its profile included, in milliseconds. */
const STOP_TIMEOUT_MS = 5_000;

const running = new Set<ChildProcess>();

// Whatever way this process ends in, short of SIGKILL; after that, children notice that their channel is gone.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface ChildOptions {
  /** The file, from the root of the repository. */
  readonly program: string;
  /** What it is to the benchmark, for messages: `server of bulkDown (godwit)`. */
  readonly title: string;
  /** Sent as soon as it is there; the program is loaded meanwhile. */
  readonly config: object | Promise<object>;
  /** What the program finds in `process.argv`. */
  readonly arguments?: readonly string[];
  /** Options for node itself. */
  readonly nodeOptions?: readonly string[];
}

/** A program's process, from when it is ready. */
export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ready = Promise.withResolvers<unknown>();
  readonly #ended = Promise.withResolvers<undefined>();
  #stderr = '';
  #failure: Error | undefined;
  #expected = false;
  #nextId = 1;

  private constructor(options: ChildOptions) {
    this.#options = options;
    const environment = { ...process.env };
    // What is meant for this process, such as a test runner's, is not meant for what is measured.
    delete environment.NODE_OPTIONS;
    delete environment.NODE_TEST_CONTEXT;
    this.#process = fork(compiledPath(options.program), options.arguments ?? [], {
      cwd: ROOT,
      execArgv: [...(options.nodeOptions ?? [])],
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    running.add(this.#process);
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    this.#process.on('message', (answer: Answer) => this.#onAnswer(answer));
    // 'close' comes when standard error has been read to its end.
    this.#process.once('close', (code, signal) => {
      running.delete(this.#process);
      this.#onEnd(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    this.#process.once('error', (error) => this.#onEnd(error.message));
  }

  /** Starts a program; resolves when it is ready, rejects with its standard error when it never is. */
  static async start(options: ChildOptions): Promise<Child> {
    const child = new Child(options);
    try {
      const config = await Promise.race([options.config, child.#ready.promise]);
      child.#process.send(config as object, () => undefined);
      await child.#within(child.#ready.promise, 'to begin');
    } catch (error) {
      await child.kill();
      throw error;
    }
    return child;
  }

  /** What the program said when it was ready. */
  async ready<T>(): Promise<T> {
    return (await this.#ready.promise) as T;
  }

  /** Comes when the process is gone, for whatever reason. */
  get ended(): Promise<undefined> {
    return this.#ended.promise;
  }

  /** Calls a function of the program. Rejects when it throws, when the process ends, or when no answer comes. */
  async call<T>(name: string, argument?: unknown): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    const answer = Promise.withResolvers<unknown>();
    this.#calls.set(id, answer);
    this.#process.send({ id, name, argument } satisfies Call, (error) => {
      if (error !== null) answer.reject(this.#failure ?? error);
    });
    try {
      return (await this.#within(answer.promise, `to answer ${name}`)) as T;
    } finally {
      this.#calls.delete(id);
    }
  }

  /** Asks it to end, so that it can write its profile. Throws if it had failed before it was asked. */
  async stop(): Promise<void> {
    if (this.#failure !== undefined && !this.#expected) throw this.#failure;
    this.#expected = true;
    if (this.#hasEnded()) return;
    this.#process.send({ id: 0, name: 'stop', argument: undefined } satisfies Call, () => undefined);
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends it at once, as a crash would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    if (this.#hasEnded()) return;
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  #hasEnded(): boolean {
    return !running.has(this.#process);
  }

  #onAnswer(answer: Answer): void {
    if ('ready' in answer) {
      this.#ready.resolve(answer.ready);
      return;
    }
    const call = this.#calls.get(answer.id);
    if ('error' in answer) call?.reject(new Error(`${this.#options.title}: ${answer.error}`));
    else call?.resolve(answer.value);
  }

  #onEnd(how: string): void {
    this.#ended.resolve(undefined);
    const said = this.#stderr.trim();
    const error = new Error(`${this.#options.title} ended with ${how}${said === '' ? '' : `:\n${said}`}`);
    this.#failure ??= error;
    this.#ready.promise.catch(() => undefined);
    this.#ready.reject(error);
    for (const call of this.#calls.values()) call.reject(error);
  }

  async #within<T>(promise: Promise<T>, what: string): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const said = this.#stderr.trim();
      late.reject(
        new Error(
          `${this.#options.title} took more than ${CALL_TIMEOUT_MS / 1000} s ${what}${said === '' ? '' : `:\n${said}`}`,
        ),
      );
    }, CALL_TIMEOUT_MS);
    try {
      return await Promise.race([promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
