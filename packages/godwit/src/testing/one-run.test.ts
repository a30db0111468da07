import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCheckOptions, type CheckOptions, type CheckSettings, type Handler } from './check-options.ts';
import { Judge } from './judge.ts';
import { perform, type RunResult } from './run.ts';
import type { Fault } from './run-plan.ts';

const INPUT = 'some input of the session\n';

/** Says how much there was, when it has come to its end. */
const count: Handler = (socket) => {
  let bytes = socket.importState(Number) ?? 0;
  socket.onExportState(() => String(bytes));
  socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  socket.on('end', () => socket.end(`${bytes} bytes\n`));
};
const ANSWER = `${INPUT.length} bytes\n`;
/** With the FIN, which counts as one. */
const ALL_OUTPUT = ANSWER.length + 1;

function settingsOf(handler: Handler, options: Partial<CheckOptions> = {}): CheckSettings {
  return readCheckOptions(handler, { input: INPUT, server: { allowHalfOpen: true }, ...options });
}

function runWith(settings: CheckSettings, ...faults: Fault[]): Promise<RunResult> {
  return perform(settings, { number: 2, chunking: 'drawn', cadence: 'never', faults }, INPUT.length);
}

test('a run strikes where its plan says, and the handler goes on at another server each time', async () => {
  const result = await runWith(
    settingsOf(count),
    { kind: 'crash', at: 'input', offset: 5 },
    { kind: 'crash', at: 'input', offset: 20 },
  );
  assert.deepEqual(result.end, { kind: 'closed' });
  assert.equal(result.output.toString(), ANSWER);
  assert.equal(result.input.toString(), INPUT);
  assert.deepEqual(
    result.executions.map(({ number, cause, restart }) => [number, cause?.offset, restart?.k]),
    [
      [0, undefined, 0],
      [1, 5, 0],
      [2, 20, 0],
    ],
  );
});

test('a run goes on when its client has all of the output, until the handler has all of the input', async () => {
  const result = await runWith(
    settingsOf(count),
    { kind: 'crash', at: 'output', offset: ALL_OUTPUT },
    { kind: 'move', at: 'input', offset: 2 },
  );
  assert.deepEqual(result.end, { kind: 'closed' });
  assert.deepEqual(
    result.executions.map(({ written }) => written.bytes.toString()),
    [ANSWER, ANSWER],
  );
});

test('what a client has read stays right when it leaves before the handler has written it again', async () => {
  const slow: Handler = (socket, { execution }) => {
    socket.onExportState(() => '');
    if (execution === 0) socket.write('what there was');
  };
  const settings = settingsOf(slow, {
    input: undefined as never,
    client: async (socket) => {
      for await (const chunk of socket) if (chunk) break;
    },
  });
  const judge = new Judge(settings);
  await judge.begin(await runWith(settings));
  const result = await runWith(settings, { kind: 'crash', at: 'output', offset: 14 });
  assert.deepEqual(result.struck.length, 1);
  assert.equal(result.output.toString(), 'what there was');
  await judge.judge(result);
});
