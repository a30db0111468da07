/** The client processes of a chaos run, one on each client host, and what they tell. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { endedByItself, killChild, startChild } from '../../packages/cli/src/demo/child.ts';
import { IncidentRecord } from './incident.ts';
import type { ClientCommand, ClientConfig, ClientMessage, SessionOutcome } from './messages.ts';

/** A client that does not answer for so long is broken, in milliseconds. */
const ANSWER_LIMIT_MS = 30_000;

export interface ClientGroupOptions {
  readonly configs: readonly ClientConfig[];
  readonly launcher: (host: string) => readonly string[];
  readonly folder: string;
  readonly onOutcome: (outcome: SessionOutcome) => void;
  /** A session could not be opened, and is tried again. */
  readonly onNotOpened: (code: string) => void;
  /** A client process ended or failed. */
  readonly onFailure: (error: Error) => void;
}

export class ClientGroup {
  readonly #options: ClientGroupOptions;
  readonly #children = new Map<string, ChildProcess>();
  readonly #incidents = new Map<number, IncidentRecord>();
  #stopped = false;
  #lastIncident = 0;

  private constructor(options: ClientGroupOptions) {
    this.#options = options;
  }

  /** Resolves when all clients have begun. */
  static async start(options: ClientGroupOptions): Promise<ClientGroup> {
    const group = new ClientGroup(options);
    try {
      await Promise.all(options.configs.map((config) => group.#start(config)));
    } catch (error) {
      await group.stop();
      throw error;
    }
    return group;
  }

  get names(): string[] {
    return [...this.#children.keys()];
  }

  /** How many sessions have bytes in flight at each server. */
  async census(): Promise<Map<string, number>> {
    const answers = await Promise.all(
      this.names.map((name) => this.#ask(name, { type: 'census' }, 'census')),
    );
    const flowing = new Map<string, number>();
    for (const answer of answers)
      for (const [server, count] of Object.entries(answer.flowing))
        flowing.set(server, (flowing.get(server) ?? 0) + count);
    return flowing;
  }

  /** From now on these clients watch what happens to their sessions with these servers, or to all of them. */
  async watch(names: readonly string[], servers?: readonly string[]): Promise<IncidentRecord> {
    const id = ++this.#lastIncident;
    const record = new IncidentRecord(id);
    this.#incidents.set(id, record);
    const command = { type: 'watch', incident: id, ...(servers && { servers }) } as const;
    const answers = await Promise.all(
      names.map((name) => this.#ask(name, command, 'watched', (answer) => answer.incident === id)),
    );
    record.watched = answers.reduce((sum, { watched }) => sum + watched, 0);
    record.flowing = answers.reduce((sum, { flowing }) => sum + flowing, 0);
    return record;
  }

  /** Asks the sessions that are watched for it to move away. */
  move({ id }: IncidentRecord): void {
    this.#tellAll({ type: 'move', incident: id });
  }

  healed({ id }: IncidentRecord): void {
    this.#tellAll({ type: 'healed', incident: id });
  }

  /** Has all sessions end. Resolves to the names of those clients that were not done in time. */
  async finish(limitMs: number): Promise<string[]> {
    const done = this.names.map(async (name) => {
      const answer = this.#ask(name, { type: 'finish' }, 'finished', () => true, limitMs);
      return answer.then(
        () => [],
        () => [name],
      );
    });
    return (await Promise.all(done)).flat();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#children.values()].map((child) => killChild(child)));
  }

  async #start(config: ClientConfig): Promise<void> {
    const { folder, launcher, onFailure } = this.#options;
    const { name } = config;
    const logFile = join(folder, `${name}.log`);
    const child = startChild({
      entry: join(import.meta.dirname, 'client-process.ts'),
      config,
      logFile,
      launcher: launcher(name),
    });
    this.#children.set(name, child);
    child.on('message', (message: ClientMessage) => this.#handle(name, message));
    child.once('exit', (code, signal) => {
      if (!this.#stopped) onFailure(endedByItself({ name, logFile }, signal ?? `exit code ${code}`));
    });
    await this.#answer(child, 'ready', () => true, ANSWER_LIMIT_MS);
  }

  #handle(name: string, message: ClientMessage): void {
    switch (message.type) {
      case 'moved':
        this.#incidents.get(message.incident)?.addMoved();
        return;
      case 'settled':
        this.#incidents.get(message.incident)?.addSettled(message.blackoutMs);
        return;
      case 'notOpened':
        this.#options.onNotOpened(message.code);
        return;
      case 'ended':
        this.#options.onOutcome(message.outcome);
        return;
      case 'failed':
        this.#options.onFailure(new Error(`${name}: ${message.message}`));
        return;
      case 'ready':
      case 'census':
      case 'watched':
      case 'finished':
        // Answers, which `#answer` waits for.
        return;
    }
  }

  #ask<Type extends ClientMessage['type']>(
    name: string,
    command: ClientCommand,
    type: Type,
    isMeant: (answer: Extract<ClientMessage, { type: Type }>) => boolean = () => true,
    limitMs: number = ANSWER_LIMIT_MS,
  ): Promise<Extract<ClientMessage, { type: Type }>> {
    const child = this.#children.get(name);
    if (child === undefined) throw new Error(`there is no client called "${name}"`);
    const answer = this.#answer(child, type, isMeant, limitMs);
    child.send(command);
    return answer;
  }

  async #answer<Type extends ClientMessage['type']>(
    child: ChildProcess,
    type: Type,
    isMeant: (answer: Extract<ClientMessage, { type: Type }>) => boolean,
    limitMs: number,
  ): Promise<Extract<ClientMessage, { type: Type }>> {
    const { promise, resolve, reject } = Promise.withResolvers<Extract<ClientMessage, { type: Type }>>();
    const look = (message: ClientMessage): void => {
      if (message.type !== type) return;
      const answer = message as Extract<ClientMessage, { type: Type }>;
      if (isMeant(answer)) resolve(answer);
    };
    child.on('message', look);
    const failed = (why: string): void => reject(new Error(`a client did not answer "${type}": ${why}`));
    const onExit = (): void => failed('it has ended');
    child.once('exit', onExit);
    const timer = setTimeout(() => failed(`not within ${limitMs / 1000} s`), limitMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      child.off('message', look).off('exit', onExit);
    }
  }

  #tellAll(command: ClientCommand): void {
    for (const child of this.#children.values()) if (child.connected) child.send(command);
  }
}
