import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConnectArguments } from '../socket/connect-options.ts';
import { DEFAULT_SERVER_LIMITS, DEFAULT_SERVER_TIMERS, overloadPolicy } from '../session/index.ts';
import { DEFAULT_HALF_OPEN_LIMITS } from './half-open.ts';
import { DEFAULT_GATE_LIMITS } from './preface-gate.ts';
import { readServerOptions } from './server-options.ts';

const CODES = ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE'];

function isRefused(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    return CODES.includes((error as NodeJS.ErrnoException).code ?? '') || error instanceof RangeError;
  }
}

/** What a limit may be by mistake: a variable of the environment that is not set is NaN as a number, and text as it is. */
const NONSENSE = [NaN, -1, Infinity, '5', null];

for (const [kind, names] of [
  ['limits', { ...DEFAULT_SERVER_LIMITS, ...DEFAULT_GATE_LIMITS, ...DEFAULT_HALF_OPEN_LIMITS }],
  ['timers', DEFAULT_SERVER_TIMERS],
] as const)
  test(`each of the ${kind} of a server is a number that makes sense, and its default is one`, () => {
    readServerOptions({ [kind]: names });
    for (const name of Object.keys(names))
      for (const value of NONSENSE)
        assert.ok(
          isRefused(() => readServerOptions({ [kind]: { [name]: value } })),
          `${kind}.${name}: ${String(value)}`,
        );
  });

test('a snapshot is not always due', () => {
  assert.ok(isRefused(() => readServerOptions({ timers: { snapshotIntervalMs: 0 } })));
  readServerOptions({ timers: { snapshotIntervalMs: 1 } });
});

test('limits are whole', () => {
  assert.ok(isRefused(() => readServerOptions({ limits: { maxSessions: 1.5 } })));
});

test('numbers of a client, and of a policy, make sense', () => {
  for (const value of NONSENSE) {
    for (const name of ['giveUpTimeoutMs', 'maxStandbys'])
      assert.ok(
        isRefused(() => readConnectArguments([{ port: 1, [name]: value }])),
        `${name}: ${String(value)}`,
      );
    if (value !== null)
      assert.ok(
        isRefused(() => overloadPolicy({ eventLoopDelayMs: value as number })),
        String(value),
      );
  }
});
