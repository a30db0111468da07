/**
 * Listeners that throw. As with net that is an uncaught exception, which ends the process. A process that handles it goes on:
 * the exception concerns that one connection, and of that no more than the listener.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';

async function run(
  signal: AbortSignal,
  file: string,
  ...args: readonly string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const options = ['--conditions=godwit-source', `${import.meta.dirname}/${file}`, ...args];
  const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { code, stdout, stderr };
}

const ALL_GOES_ON = (end: string): string[] => [
  `first is closed; its ${end} has read 2 bytes`,
  `second is closed; its ${end} has read 2 bytes`,
  'the server is closed',
];

for (const implementation of ['node:net', 'godwit']) {
  describe(`${implementation}: a listener that throws`, () => {
    for (const [end, event] of [
      ['server', 'data'],
      ['server', 'close'],
      ['client', 'data'],
      ['client', 'close'],
    ] as const) {
      test(`in '${event}' at the ${end}, handled: all that follows arrives`, async ({ signal }) => {
        const { code, stdout, stderr } = await run(
          signal,
          'children/thrower.ts',
          implementation,
          end,
          event,
          'handled',
        );
        assert.deepEqual(
          stdout.trim().split('\n'),
          [`caught: ${event} at the ${end}`, ...ALL_GOES_ON(end)],
          stderr,
        );
        assert.equal(code, 0);
      });
    }

    for (const [end, event] of [
      ['server', 'connection'],
      ['server', 'data'],
      ['client', 'data'],
    ] as const) {
      test(`in '${event}' at the ${end}, not handled: the process ends with that error`, async ({
        signal,
      }) => {
        const { code, stdout, stderr } = await run(
          signal,
          'children/thrower.ts',
          implementation,
          end,
          event,
          'not',
        );
        assert.equal(stdout, '');
        assert.match(stderr, new RegExp(`^Error: ${event} at the ${end}$`, 'm'));
        assert.equal(code, 1);
      });
    }
  });
}

describe('godwit alone: a listener that throws', () => {
  test("in 'connection', handled: that session is reset and gone, others are served", async ({ signal }) => {
    const { stdout, stderr } = await run(
      signal,
      'children/thrower.ts',
      'godwit',
      'server',
      'connection',
      'handled',
    );
    const expected = [
      'caught: connection at the server',
      'first fails: ERR_GODWIT_INTERNAL',
      'first is closed; its server has read 0 bytes',
      'second is closed; its server has read 2 bytes',
      'the server is closed',
    ];
    assert.deepEqual(stdout.trim().split('\n'), expected, stderr);
  });

  test("in 'connect', handled: the connection works nevertheless", async ({ signal }) => {
    const { stdout, stderr } = await run(
      signal,
      'children/thrower.ts',
      'godwit',
      'client',
      'connect',
      'handled',
    );
    const expected = ['caught: connect at the client', ...ALL_GOES_ON('client')];
    assert.deepEqual(stdout.trim().split('\n'), expected, stderr);
  });

  for (const [event, after] of [
    ['refused', ['the stranger is closed']],
    ['migrated', ['the client is closed', 'the socket of s0 is closed', 'the socket of s1 is closed']],
    ['client migrated', ['the client is closed', 'the socket of s0 is closed', 'the socket of s1 is closed']],
    ['migrating', ['the client is closed', 'the socket of s0 is closed', 'the socket of s1 is closed']],
  ] as const) {
    test(`in '${event}', handled: what has to follow follows`, async ({ signal }) => {
      const { stdout, stderr, code } = await run(signal, 'children/own-event-thrower.ts', event);
      const lines = stdout.trim().split('\n').sort();
      assert.deepEqual(lines, [`caught: a listener of ${event}`, ...after].sort(), stderr);
      assert.equal(code, 0);
    });
  }
});
