/** The server processes of a chaos run, one on each server host. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { endedByItself, expectMessage, killChild, startChild } from '../../packages/cli/src/demo/child.ts';
import { KEY_VARIABLE } from '../../packages/cli/src/demo/messages.ts';
import type { ServerCommand, ServerConfig, ServerMessage } from './messages.ts';

/** How long a server may take until it listens: machines may be busy. */
const START_LIMIT_MS = 30_000;

/** A drain gives up by itself before that. */
const DRAIN_LIMIT_MS = 40_000;

export interface FleetOptions {
  readonly configs: readonly ServerConfig[];
  /** A command that runs what follows it on a host. */
  readonly launcher: (host: string) => readonly string[];
  readonly entry: string;
  /** For the servers' logs. */
  readonly folder: string;
  readonly onApplied: (outcome: Extract<ServerMessage, { type: 'applied' }>['outcome']) => void;
  /** A server ended or failed that nobody had killed. */
  readonly onFailure: (error: Error) => void;
}

interface Member {
  readonly config: ServerConfig;
  readonly logFile: string;
  child: ChildProcess | undefined;
  /** Its end is wanted. */
  ending: boolean;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #members = new Map<string, Member>();
  /** Sealed with it, tickets of this run are worth nothing in any other. */
  readonly #key = randomBytes(32).toString('hex');

  private constructor(options: FleetOptions) {
    this.#options = options;
    for (const config of options.configs) {
      const logFile = join(options.folder, `${config.name}.log`);
      this.#members.set(config.name, { config, logFile, child: undefined, ending: false });
    }
  }

  /** Resolves when all servers listen. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    try {
      await Promise.all(fleet.names.map((name) => fleet.#start(fleet.#member(name))));
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  get names(): string[] {
    return [...this.#members.keys()];
  }

  /** SIGKILL, now. */
  kill(name: string): void {
    const member = this.#member(name);
    member.ending = true;
    member.child?.kill('SIGKILL');
  }

  /** Ends the server, if it has not ended yet, and starts another process in its place. */
  async restart(name: string): Promise<void> {
    const member = this.#member(name);
    member.ending = true;
    if (member.child !== undefined) await killChild(member.child);
    await this.#start(member);
  }

  /** The process stands still, but the kernel goes on to take its connections and bytes. */
  freeze(name: string): void {
    this.#member(name).child?.kill('SIGSTOP');
  }

  thaw(name: string): void {
    this.#member(name).child?.kill('SIGCONT');
  }

  /** Has every session of a server move to the others; resolves to how many did. */
  async drain(name: string): Promise<number> {
    const member = this.#member(name);
    if (member.child === undefined) throw new Error(`${name} does not run`);
    member.child.send({ type: 'drain' } satisfies ServerCommand);
    const label = { name, logFile: member.logFile };
    const { moved } = await expectMessage<ServerMessage, 'drained'>(
      member.child,
      'drained',
      DRAIN_LIMIT_MS,
      label,
    );
    return moved;
  }

  async stop(): Promise<void> {
    const members = [...this.#members.values()];
    for (const member of members) member.ending = true;
    await Promise.all(members.flatMap(({ child }) => (child === undefined ? [] : [killChild(child)])));
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`there is no server called "${name}"`);
    return member;
  }

  async #start(member: Member): Promise<void> {
    const { config, logFile } = member;
    const { entry, launcher, onApplied, onFailure } = this.#options;
    const child = startChild({
      entry,
      config,
      logFile,
      environment: { [KEY_VARIABLE]: this.#key },
      launcher: launcher(config.name),
    });
    member.child = child;
    member.ending = false;
    const label = { name: config.name, logFile };
    child.on('message', (message: ServerMessage) => {
      if (message.type === 'applied') onApplied(message.outcome);
      else if (message.type === 'failed') onFailure(new Error(`${config.name}: ${message.message}`));
    });
    child.once('exit', (code, signal) => {
      if (member.child !== child) return;
      member.child = undefined;
      if (!member.ending) onFailure(endedByItself(label, signal ?? `exit code ${code}`));
    });
    await expectMessage<ServerMessage, 'ready'>(child, 'ready', START_LIMIT_MS, label);
  }
}
