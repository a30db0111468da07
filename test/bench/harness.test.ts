/** What a benchmark does when something goes wrong, with real processes. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Bench, QUICK } from '../../bench/harness/bench.ts';
import { ensureBuilt } from '../../bench/harness/fresh-build.ts';
import type { StreamClientConfig } from '../../bench/programs/stream-client.ts';

const root = dirname(dirname(import.meta.dirname));
const main = join(root, 'bench/main.ts');

const bench = new Bench({ name: 'planted', scale: QUICK, log: () => undefined });

before(() => ensureBuilt(() => undefined));

describe('a program that fails', () => {
  const start = (when: 'begin' | 'call') =>
    bench.start('server', { program: 'test/bench/planted/failing.ts', config: { when } });

  test('before it is ready is reported with what it said', async () => {
    await assert.rejects(
      bench.within(() => start('begin')),
      /planted, server ended with exit code 1:\nplanted: it never began/,
    );
  });

  test('while it is called is reported with what it said', async () => {
    await assert.rejects(
      bench.within(async () => (await start('call')).call('die')),
      /planted, server ended with exit code 1:\nplanted: it died when it was called/,
    );
  });

  test('by an exception is reported with the exception', async () => {
    await assert.rejects(
      bench.within(async () => (await start('call')).call('throwAtUs')),
      /planted, server: Error: planted: it threw/,
    );
  });

  test('while nobody looks fails the measurement all the same', async () => {
    await assert.rejects(
      bench.within(async () => {
        const child = await start('call');
        child.call('die').catch(() => undefined);
        await child.ended;
      }),
      /planted: it died when it was called/,
    );
  });
});

test('a run in which a session becomes unprotected fails, and says so', async () => {
  const upload = async (): Promise<void> => {
    const { server } = await bench.startBoth('godwit', {
      server: { program: 'test/bench/planted/unprotected-server.ts', config: {} },
      client: {
        program: 'bench/programs/stream-client.ts',
        config: (port) =>
          ({
            implementation: 'godwit',
            ports: [port],
            direction: 'up',
            writeBytes: 65_536,
            writesPerTurn: 64,
          }) satisfies StreamClientConfig,
      },
    });
    await server.call('never');
  };
  await assert.rejects(
    bench.within(upload),
    /became unprotected at the (server|client), so the figure does not count/,
  );
});

describe('the command', () => {
  test('says what it can do', () => {
    const help = execFileSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
    for (const name of ['bulkDown', 'crashBlackout', 'scale', 'peers', '--json', '--quick'])
      assert.ok(help.includes(name), name);
  });

  test('refuses what it does not know', async () => {
    for (const argument of ['bulkSideways', '--quickly']) {
      const child = spawn(process.execPath, [main, argument], { stdio: 'ignore' });
      assert.deepEqual(await once(child, 'exit'), [2, null]);
    }
  });

  // The first is what a terminal does, the second what `kill` does.
  for (const [how, whole] of [
    ['interrupted from the keyboard', true],
    ['interrupted alone', false],
  ] as const) {
    test(`leaves nothing running when it is ${how}`, async () => {
      // A process group of its own, so that everything it started can be found.
      const child = spawn(process.execPath, [main, '--quick', '--json', 'bulkDown'], {
        stdio: ['ignore', 'ignore', 'pipe'],
        detached: true,
      });
      const group = child.pid ?? 0;
      await once(createInterface(child.stderr), 'line');
      while (processesOf(group).length < 3) await setTimeout(20);
      const exit = once(child, 'exit');
      process.kill(whole ? -group : group, 'SIGINT');
      assert.deepEqual(await exit, [130, null]);
      const lateMs = performance.now() + 5_000;
      while (processesOf(group).length > 0 && performance.now() < lateMs) await setTimeout(20);
      assert.deepEqual(processesOf(group), []);
    });
  }
});

/** The processes of a group that live. */
function processesOf(group: number): string[] {
  const all = execFileSync('ps', ['-A', '-o', 'pgid=,pid=,stat='], { encoding: 'utf8' });
  return all
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([pgid, , stat]) => Number(pgid) === group && !stat?.startsWith('Z'))
    .map(([, pid]) => String(pid));
}
