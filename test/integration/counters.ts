/** Processes that number every byte they get, and a client that sees to it that no number is missing or comes twice. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { KeyRing, type Socket } from 'godwit';

export interface Counters {
  readonly addresses: readonly string[];
  /** Kills a server, called `s0`, `s1`, …; resolves when it is gone. */
  kill(name: string): Promise<void>;
}

/** A process of this folder's `children/`, with its output to read. */
export function start(file: string, ...args: readonly string[]): ChildProcess {
  const options = ['--conditions=godwit-source', `${import.meta.dirname}/${file}`, ...args];
  return spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** The next line of its output, which has not been printed before it is asked for. */
export async function nextLine(child: ChildProcess): Promise<string> {
  const [line] = (await once(createInterface(child.stdout as NodeJS.ReadableStream), 'line')) as [string];
  return line;
}

/** One server process at each address. They end with the test. */
export async function startCounters(t: TestContext, addresses: readonly string[]): Promise<Counters> {
  const key = KeyRing.generateKey();
  const children = addresses.map((_, place) =>
    start('children/counter.ts', String(place), key, ...addresses),
  );
  t.after(() => children.forEach((child) => child.kill('SIGKILL')));
  await Promise.all(children.map(nextLine));
  return {
    addresses,
    kill: async (name) => {
      const child = children[Number(name.slice(1))];
      assert.ok(child !== undefined, `no server is called ${name}`);
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Sends byte after byte and checks each answer; kills the serving process every so often. */
export async function count(
  client: Socket,
  counters: Counters,
  { to, killEvery }: { to: number; killEvery: number },
): Promise<void> {
  let next = 0;
  client.write('x');
  for await (const line of createInterface(client)) {
    assert.equal(line, String(next));
    next += 1;
    if (next === to) break;
    if (next % killEvery === 0) await counters.kill(client.currentServer?.name ?? '');
    client.write('x');
  }
  assert.equal(next, to);
}
