/** Every fault that a handler can have is planted in one, and reported: with its code, and with the first byte that differs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ServerSocket } from 'godwit';
import { CheckError, checkHandler, type CheckCode, type CheckOptions, type Handler } from 'godwit/testing';
import { LINES, numberLines, type LineState } from './handlers.ts';

/** What the handler without a fault makes of `LINES`. */
const ANSWERS = '1 ALPHA\n2 BETA\n3 GAMMA\n4 DELTA\n5 EPSILON\n';
/** Distinct neighbours, so that no shift goes unseen. */
const BYTES = Buffer.from(Array.from({ length: 60 }, (_, index) => 33 + ((index * 5) % 89)));

async function find(handler: Handler, options: CheckOptions): Promise<CheckError> {
  let error: unknown;
  await checkHandler(handler, { crashes: 64, ...options }).catch((thrown: unknown) => {
    error = thrown;
  });
  assert.ok(error instanceof CheckError, `found ${String(error)}`);
  assert.match(error.message, new RegExp(`\\{ seed: 1, only: ${error.run.number} \\}`));
  return error;
}

/** The handler's output differs from what it should be at `offset` of the line that follows the restart point. */
function assertDiffers(error: CheckError, code: CheckCode, offset: number, kind?: string): void {
  assert.equal(error.code, code, error.message);
  assert.equal(error.difference?.offset, offset, error.message);
  assert.match(error.message, new RegExp(`differs at byte ${offset}:`));
  if (kind !== undefined) assert.equal(error.difference.kind, kind, error.message);
}

/** Where the handler went on, after what fault: both are in the message. */
function restartOf(error: CheckError): { k: number; input: number; output: number } {
  const { fault, restart } = error;
  assert.ok(fault && restart && restart.k > 0, error.message);
  const place =
    fault.at === 'ticket' ? `a ticket at ${fault.offset} bytes` : `${fault.at} offset ${fault.offset}`;
  const { k, input, output } = restart;
  assert.ok(
    error.message.includes(
      `after a ${fault.kind} at ${place}, restored from restart point k=${k} (input ${input}, output ${output}, `,
    ),
  );
  return restart;
}

/** Echoes; `spoil` says what becomes of the first bytes behind a restart point. */
const echo =
  (spoil: (bytes: Buffer) => Buffer, lag = 0): Handler =>
  (socket) => {
    let isFirst = socket.importState() !== undefined;
    socket.onExportState(() => ({ state: 'x', bytesConsumed: Math.max(0, socket.bytesConsumed - lag) }));
    socket.on('data', (chunk: Buffer) => {
      socket.write(isFirst ? spoil(chunk) : chunk);
      isFirst = false;
    });
  };

describe('what goes wrong behind a restart point is found:', () => {
  test('lost bytes', async () => {
    const error = await find(
      echo((bytes) => bytes.subarray(2)),
      { input: BYTES },
    );
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', restartOf(error).output, 'lost');
    assert.equal(error.difference?.bytes, 2);
  });

  test('duplicated bytes', async () => {
    const error = await find(
      echo((bytes) => Buffer.concat([bytes.subarray(0, 1), bytes])),
      { input: BYTES },
    );
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', restartOf(error).output + 1, 'duplicated');
    assert.equal(error.difference?.bytes, 1);
  });

  test('a corrupt byte', async () => {
    const error = await find(
      echo((bytes) => Buffer.from(bytes.map((byte, index) => (index === 0 ? byte ^ 1 : byte)))),
      { input: BYTES },
    );
    const { output } = restartOf(error);
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', output, 'corrupt');
    assert.equal(error.difference?.expected[0], BYTES[output]);
    assert.equal(error.difference?.actual[0], (BYTES[output] as number) ^ 1);
  });

  test('a consumed offset that lags behind', async () => {
    const error = await find(
      echo((bytes) => bytes, 3),
      { input: BYTES },
    );
    const { input, output } = restartOf(error);
    assert.equal(input, Math.max(0, output - 3));
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', output, 'duplicated');
    assert.match(error.message, /bytesConsumed/);
  });

  test('a consumed offset that counts the part of a line that is not in the state', async () => {
    const error = await find(numberLines({ bytesConsumed: () => undefined }), { input: LINES });
    const { input, output } = restartOf(error);
    assert.ok(!LINES.slice(0, input).endsWith('\n'), 'the restart point is in the middle of a line');
    // The number of the line is right, its text begins too late.
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', output + 2, 'lost');
  });

  test('a counter that is not in the state', async () => {
    const error = await find(numberLines({ exported: ({ consumed }) => ({ count: 0, consumed }) }), {
      input: LINES,
    });
    const { output } = restartOf(error);
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', output);
    assert.equal(String(error.difference?.actual).slice(0, 2), '1 ');
    assert.match(error.message, /state "\{\\"count\\":0,/);
  });

  test('a state that is exported and never imported', async () => {
    const forgetful: Handler = (socket) => {
      let count = 0;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk: Buffer) => {
        count += chunk.length;
        socket.write(Buffer.alloc(chunk.length, 97 + (count % 26)));
      });
    };
    const perByte: Handler = (socket, context) => {
      const on = socket.on.bind(socket);
      socket.on = ((event: string, listener: (chunk: Buffer) => void) =>
        on(
          event,
          event === 'data' ? (chunk: Buffer) => chunk.forEach((byte) => listener(Buffer.of(byte))) : listener,
        )) as never;
      return forgetful(socket, context);
    };
    const error = await find(perByte, { input: BYTES });
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', restartOf(error).output);
    assert.match(error.message, /it never called `importState`/);
  });

  test('a handler that waits for what was before', async () => {
    const waiting = numberLines({
      started: (socket, execution) => {
        if (execution > 0) socket.pause();
        const on = socket.on.bind(socket);
        if (execution > 0)
          socket.on = ((event: string, listener: never) =>
            event === 'data' ? socket : on(event, listener)) as never;
      },
    });
    const error = await find(waiting, { input: LINES, timeoutMs: 100 });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_STALLED');
    assert.match(error.message, /nothing moved for 100 ms, after a crash at input offset \d+/);
    assert.match(error.message, /has consumed \d+ of \d+ bytes of input and written \d+ of output/);
    assert.ok(error.fault);
  });

  test('an end() that only the first execution calls', async () => {
    const handler: Handler = (socket) => {
      let count = socket.importState(Number) ?? 0;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk: Buffer) => {
        count += chunk.length;
        socket.write(chunk);
        // By then the state may say that all is done.
        if (count === BYTES.length) setImmediate(() => setImmediate(() => socket.end()));
      });
    };
    const error = await find(handler, {
      input: BYTES,
      timeoutMs: 100,
      server: { allowHalfOpen: true },
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_STALLED', error.message);
    assert.match(error.message, /is `end\(\)` missing/);
    assert.equal(restartOf(error).input, BYTES.length);
  });
});

describe('what the handler must not depend on is found:', () => {
  test('chunk boundaries', async () => {
    const error = await find(numberLines({ split: (text) => text.split('\n') }), { input: LINES });
    // Each line is what came behind the last boundary: of single bytes, nothing.
    assertDiffers(error, 'ERR_GODWIT_CHECK_CHUNKS', 2);
    assert.equal(String(error.difference?.actual), '\n2 \n3 \n4 \n5 \n');
    assert.equal(error.run.chunking, 'bytes');
    assert.equal(error.fault, undefined);
  });

  for (const [what, value] of [
    // Not of cryptographic use: chance is what is planted.
    ['chance', () => String(process.hrtime.bigint() % 997n)],
    ['time, in milliseconds', () => String(Date.now())],
    ['time, in minutes', () => `minute ${new Date().getMinutes()}`],
  ] as const) {
    test(what, async () => {
      const answers: string[] = [];
      const answer = (): string => {
        const text = `same ${value()}\n`;
        answers.push(text);
        return text;
      };
      const error = await find(numberLines({ answer }), { input: LINES });
      const [first, second] = [answers.slice(0, 5).join(''), answers.slice(5, 10).join('')];
      const differsAt = [...first].findIndex((character, index) => character !== second[index]);
      assertDiffers(error, 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC', differsAt);
      assert.match(error.message, /use delivery "commit"/);
    });
  }

  test('other connections', async () => {
    let connections = 0;
    const error = await find(
      numberLines({ started: () => (connections += 1), answer: (line) => `${connections} ${line}\n` }),
      {
        input: LINES,
      },
    );
    assertDiffers(error, 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC', 0, 'corrupt');
  });

  test('chance that shows in one execution of many, which is not taken for a fault of chunks or of the state', async () => {
    let executions = 0;
    const error = await find(
      numberLines({
        started: () => (executions += 1),
        answer: (line) => (executions > 20 && executions % 3 === 0 ? '?' : `${line}\n`),
      }),
      { input: LINES },
    );
    assertDiffers(error, 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC', 0);
    assert.equal(error.fault, undefined);
  });
});

describe('a handler that can not be restored is found, which', () => {
  test('exports nothing', async () => {
    const error = await find((socket) => void socket.pipe(socket), { input: LINES });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_NO_STATE');
    assert.match(error.message, /neither `onExportState` nor `exportState`.*exports: "optional"/s);
  });

  test('exports nothing, in commit mode', async () => {
    const error = await find((socket) => void socket.pipe(socket), {
      input: LINES,
      delivery: 'commit',
      exports: 'optional',
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_NO_STATE');
  });

  test('always answers "not now"', async () => {
    const handler: Handler = (socket) => {
      socket.onExportState(() => undefined);
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    };
    const error = await find(handler, { input: LINES });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_NO_STATE');
    assert.match(error.message, /not now/);
  });

  test('never ends its output', async () => {
    const error = await find(numberLines(), {
      input: LINES,
      timeoutMs: 100,
      server: { allowHalfOpen: true },
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_STALLED');
    assert.match(
      error.message,
      /has consumed 31 of 31 bytes of input and written 41 of output; it has not ended its output: is `end\(\)` missing/,
    );
    assert.equal(error.run.number, 0);
  });

  for (const [what, handler, cause] of [
    [
      'throws',
      () => {
        throw Object.assign(new Error('no'), { code: 'ERR_MINE' });
      },
      'ERR_MINE',
    ],
    [
      'throws when data come',
      (socket) =>
        void socket.on('data', () => {
          throw Object.assign(new Error('no'), { code: 'ERR_MINE' });
        }),
      'ERR_MINE',
    ],
    [
      'answers a promise that is rejected',
      () => Promise.reject(Object.assign(new Error('no'), { code: 'ERR_MINE' })),
      'ERR_MINE',
    ],
    [
      'exports a promise',
      (socket) => void socket.on('data', () => undefined).onExportState(() => Promise.resolve('') as never),
      'ERR_GODWIT_EXPORT_INVALID',
    ],
    [
      'says it has consumed what has not come',
      numberLines({ bytesConsumed: () => 1000 }),
      'ERR_OUT_OF_RANGE',
    ],
    [
      'pipes, and does not say what it has consumed',
      (socket) => void socket.onExportState(() => 'x').pipe(socket),
      'ERR_GODWIT_CONSUMED_UNKNOWN',
    ],
  ] as const satisfies readonly (readonly [string, Handler, string])[]) {
    test(what, async () => {
      const error = await find(handler, { input: LINES });
      assert.equal(error.code, 'ERR_GODWIT_CHECK_HANDLER', error.message);
      assert.equal((error.cause as NodeJS.ErrnoException).code, cause);
    });
  }

  test('does not catch that its connection has moved', async () => {
    const handler = async (socket: ServerSocket): Promise<void> => {
      let consumed = socket.bytesConsumed;
      socket.onExportState(() => ({ state: 'x', bytesConsumed: consumed }));
      for await (const chunk of socket) {
        consumed += (chunk as Buffer).length;
        socket.write(chunk as Buffer);
      }
    };
    const error = await find(handler, { input: LINES, crashes: 8 });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_HANDLER', error.message);
    assert.match(error.message, /was rejected.*`socket.signal` tells.*ERR_GODWIT_MOVED/s);
    assert.equal(error.run.faults[0]?.kind, 'move');
  });
});

describe('a side effect is found that', () => {
  test('is doubled, because its key is another when it is executed again', async () => {
    let calls = 0;
    const error = await find(
      numberLines({ effectKey: (_socket, at) => ((calls += 1) > 5 * 7 ? `call ${calls}` : `line at ${at}`) }),
      {
        input: LINES,
      },
    );
    assert.equal(error.code, 'ERR_GODWIT_CHECK_EFFECTS', error.message);
    assert.match(error.message, /a side effect was doubled: "call 36" is not among the 5 .*idempotencyKey/);
  });

  test('is missing, because the state said it was done before it was', async () => {
    const handler: Handler = (socket, { effects }) => {
      let count = socket.importState(Number) ?? 0;
      let late: (() => void) | undefined;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk: Buffer) => {
        for (const byte of chunk) {
          late?.();
          const at = count;
          late = () => effects.record(`byte ${at}`, byte);
          count += 1;
        }
        socket.write(chunk);
      });
      socket.on('end', () => late?.());
    };
    const error = await find(handler, { input: LINES });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_EFFECTS', error.message);
    const { input } = restartOf(error);
    assert.match(error.message, new RegExp(`a side effect is missing: "byte ${input - 1}"`));
  });

  test('is another when it is executed again', async () => {
    let calls = 0;
    const handler: Handler = (socket, { effects }) => {
      let count = socket.importState(Number) ?? 0;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk: Buffer) => {
        for (const byte of chunk) {
          if (byte === 10) effects.record(socket.idempotencyKey(count), (calls += 1));
          count += 1;
        }
        socket.write(chunk);
      });
    };
    const error = await find(handler, { input: LINES });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_EFFECTS', error.message);
    assert.match(error.message, /the side effect "session:\d+" was executed with \d+ and again with \d+/);
    assert.ok(error.fault);
  });
});

describe('in commit mode is found', () => {
  const ledger =
    (faults: { readonly isEarly?: boolean; readonly skew?: number } = {}): Handler =>
    (socket) => {
      const imported = socket.importState((bytes) => JSON.parse(String(bytes)) as LineState);
      const state = imported ?? { count: 0, consumed: 0 };
      let rest = '';
      const commit = (): void =>
        socket.exportState(JSON.stringify(state), {
          bytesConsumed: Math.min(state.consumed + (faults.skew ?? 0), socket.bytesConsumed),
        });
      socket.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          state.count += 1;
          state.consumed += line.length + 1;
          if (faults.isEarly) commit();
          socket.write(`${state.count} ${line} #${crypto.randomUUID()}\n`);
          if (!faults.isEarly) commit();
        }
      });
    };
  const normalize = (output: Buffer): string => output.toString().replace(/#[0-9a-f-]{36}/g, '#');
  const expected = '1 alpha #\n2 beta #\n3 gamma #\n4 delta #\n5 epsilon #\n';

  test('chance, where nobody has said what is right', async () => {
    const error = await find(ledger(), { input: LINES, delivery: 'commit' });
    assertDiffers(error, 'ERR_GODWIT_CHECK_ORACLE', error.difference?.offset ?? -1);
    assert.ok((error.difference?.offset ?? 0) >= '1 alpha #'.length);
    assert.match(error.message, /`normalize`.*`verify`/);
  });

  test('chance that `normalize` leaves', async () => {
    const error = await find(ledger(), {
      input: LINES,
      delivery: 'commit',
      normalize: (output) => output.toString().replace(/#[0-9a-f]{8}/g, '#'),
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC', error.message);
    assert.match(error.message, /normalised output differs/);
  });

  test('a state that is exported before the output it is of', async () => {
    const error = await find(ledger({ isEarly: true }), { input: LINES, delivery: 'commit', normalize });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_RESTORE', error.message);
    const { count } = JSON.parse(String(error.restart?.state)) as LineState;
    // The answer to the last line of the state was lost.
    const offset = expected.indexOf(`${count} `);
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', offset);
    assert.equal(String(error.difference?.actual)[0], String(count + 1));
  });

  test('a consumed offset that is wrong', async () => {
    const error = await find(ledger({ skew: 2 }), {
      input: LINES.repeat(2),
      delivery: 'commit',
      normalize,
      crashes: 'every-offset',
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_RESTORE', error.message);
    const { count, consumed } = JSON.parse(String(error.restart?.state)) as LineState;
    assert.ok((error.restart?.input ?? 0) > consumed);
    const whole = expected + expected.replace(/^./gm, (digit) => String(Number(digit) + 5));
    assertDiffers(error, 'ERR_GODWIT_CHECK_RESTORE', whole.indexOf(`${count + 1} `) + `${count + 1} `.length);
  });

  test('what `verify` refuses, in a run with a crash too', async () => {
    const reason = new Error('a receipt came twice');
    let outputs = 0;
    const error = await find(ledger(), {
      input: LINES,
      delivery: 'commit',
      verify: (output, { input }) => {
        outputs += 1;
        assert.equal(String(input), LINES);
        assert.equal(normalize(output), expected);
        if (outputs === 30) throw reason;
      },
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_VERIFY');
    assert.equal(error.cause, reason);
    assert.match(error.message, /a receipt came twice/);
    assert.ok(error.fault);
  });
});

describe('in a new version is found', () => {
  test('that it can not read the states of the old one', async () => {
    const error = await find(numberLines(), {
      input: LINES,
      server: { schema: 1 },
      successor: { handler: numberLines(), server: { schema: 2 } },
    });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_HANDLER');
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ERR_GODWIT_SCHEMA_MISMATCH');
  });

  test('that it answers otherwise', async () => {
    const successor = {
      handler: numberLines({ answer: (line, count) => `${count}. ${line.toUpperCase()}\n` }),
    };
    const error = await find(numberLines(), { input: LINES, successor });
    // Executed again from the start, the first answer differs behind its number.
    assertDiffers(error, 'ERR_GODWIT_CHECK_NOT_DETERMINISTIC', 1);
    assert.match(error.message, /It is the successor/);
  });
});

describe('on the side of the client is found', () => {
  test('a client function that fails', async () => {
    const reason = new assert.AssertionError({ message: 'that was not the answer' });
    const error = await find(numberLines(), { client: () => Promise.reject(reason) });
    assert.equal(error.code, 'ERR_GODWIT_CHECK_CLIENT');
    assert.equal(error.cause, reason);
  });

  test('a byte that nobody wrote: the check looks at Godwit itself, too', async () => {
    let connections = 0;
    const error = await find(numberLines(), {
      client: (socket) => {
        connections += 1;
        if (connections === 12) socket.once('data', () => socket.push(Buffer.from('!')));
        socket.end(LINES);
      },
    });
    assert.equal(error.code, 'ERR_GODWIT_INTERNAL', error.message);
    assert.match(error.message, /the client read other bytes than the handler wrote.*bug in Godwit/s);
    assert.equal(String(error.difference?.actual)[0], '!');
  });
});

test('a run that failed is repeated by its number alone, with the same result', async () => {
  const handler = numberLines({ bytesConsumed: () => undefined });
  const error = await find(handler, { input: LINES });
  const again = await find(handler, { input: LINES, only: error.run.number });
  assert.equal(again.message, error.message);
  const report = await checkHandler(numberLines(), { input: LINES, only: error.run.number });
  assert.equal(report.runs, 8);
  assert.equal(report.crashes, 1);
  assert.equal(report.output.toString(), ANSWERS);
});

describe('options that make no sense are refused:', () => {
  const good = { input: LINES };
  for (const [what, handler, options, code] of [
    ['no handler', undefined, good, 'ERR_INVALID_ARG_VALUE'],
    ['no options', numberLines(), undefined, 'ERR_INVALID_ARG_VALUE'],
    ['neither input nor client', numberLines(), {}, 'ERR_MISSING_ARGS'],
    ['both', numberLines(), { ...good, client: () => undefined }, 'ERR_MISSING_ARGS'],
    ['an input that is a number', numberLines(), { input: 1 }, 'ERR_INVALID_ARG_VALUE'],
    ['another delivery', numberLines(), { ...good, delivery: 'once' }, 'ERR_INVALID_ARG_VALUE'],
    ['normalize in replay mode', numberLines(), { ...good, normalize: String }, 'ERR_INVALID_ARG_VALUE'],
    ['verify that is no function', numberLines(), { ...good, verify: 1 }, 'ERR_INVALID_ARG_VALUE'],
    ['a negative number of crashes', numberLines(), { ...good, crashes: -1 }, 'ERR_OUT_OF_RANGE'],
    ['crashes in words', numberLines(), { ...good, crashes: 'all' }, 'ERR_INVALID_ARG_VALUE'],
    ['no time at all', numberLines(), { ...good, timeoutMs: 0 }, 'ERR_OUT_OF_RANGE'],
    ['half a seed', numberLines(), { ...good, seed: 0.5 }, 'ERR_OUT_OF_RANGE'],
  ] as const) {
    test(what, async () => {
      await assert.rejects(checkHandler(handler as never, options as never), { code });
    });
  }
});
