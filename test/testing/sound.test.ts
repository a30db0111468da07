/** Handlers that are right pass, and the check has really killed, moved and restored what they serve. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import type { ServerSocket, Socket } from 'godwit';
import { checkHandler, type CheckReport } from 'godwit/testing';
import { LINES, numberLines } from './handlers.ts';

/** Every fault that was planned for, and what follows of it, has happened. */
function assertThorough(report: CheckReport): void {
  assert.ok(report.crashes >= 40, `${report.crashes} crashes`);
  assert.ok(report.moves >= 5, `${report.moves} moves`);
  assert.ok(report.restores >= 30, `${report.restores} restores`);
}

describe('a handler passes that', () => {
  test('answers lines, under a crash at every byte', async () => {
    const report = await checkHandler(numberLines(), { input: LINES, crashes: 'every-offset' });
    assert.equal(report.output.toString(), '1 ALPHA\n2 BETA\n3 GAMMA\n4 DELTA\n5 EPSILON\n');
    assert.equal(report.outputHash, createHash('sha256').update(report.output).digest('hex'));
    assert.equal(report.inputBytes, LINES.length);
    assertThorough(report);
    assert.ok(report.crashes >= LINES.length + report.output.length, `${report.crashes} crashes`);
    assert.ok(report.replays >= 10, `${report.replays} replays`);
  });

  test('iterates over its input', async () => {
    const handler = async (socket: ServerSocket): Promise<void> => {
      let { sum, consumed } = socket.importState(
        (bytes) => JSON.parse(String(bytes)) as { sum: number; consumed: number },
      ) ?? {
        sum: 0,
        consumed: 0,
      };
      socket.onExportState(() => ({ state: JSON.stringify({ sum, consumed }), bytesConsumed: consumed }));
      try {
        for await (const chunk of socket) {
          for (const byte of chunk as Buffer) {
            sum = (sum * 31 + byte) % 65_521;
            consumed += 1;
            if (byte === 10) socket.write(`${sum}\n`);
          }
        }
      } catch (error) {
        // It lives elsewhere now.
        if (!socket.signal.aborted) throw error;
      }
    };
    assertThorough(await checkHandler(handler, { input: LINES, crashes: 40 }));
  });

  test('reads to the end before it answers, half-open', async () => {
    const handler = (socket: ServerSocket): void => {
      let count = socket.importState(Number) ?? 0;
      socket.onExportState(() => String(count));
      socket.on('data', (chunk) => (count += chunk.length));
      socket.on('end', () => socket.end(`${count} bytes\n`));
    };
    const report = await checkHandler(handler, {
      input: LINES,
      crashes: 32,
      server: { allowHalfOpen: true },
    });
    assert.equal(report.output.toString(), `${LINES.length} bytes\n`);
  });

  test('sends far more than its socket holds, at the pace of its client', async () => {
    const piece = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7 + (index >> 8)) % 251));
    const handler = (socket: ServerSocket): void => {
      let sent = socket.importState(Number) ?? 0;
      socket.onExportState(() => String(sent));
      const more = (): void => {
        while (sent < 300) {
          sent += 1;
          if (!socket.write(piece)) {
            socket.once('drain', more);
            return;
          }
        }
        socket.end();
      };
      more();
    };
    const report = await checkHandler(handler, {
      input: '',
      crashes: 12,
      server: { allowHalfOpen: true, highWaterMark: 8192 },
    });
    assert.equal(report.output.length, 300 * piece.length);
    assert.ok(report.crashes >= 12 && report.restores >= 5, JSON.stringify({ ...report, output: 0 }));
  });

  test('talks with a client whose next line depends on the answer', async () => {
    const handler = (socket: ServerSocket): void => {
      const state = socket.importState(
        (bytes) => JSON.parse(String(bytes)) as { low: number; consumed: number },
      );
      let { low, consumed } = state ?? { low: 0, consumed: 0 };
      let rest = '';
      socket.onExportState(() => ({ state: JSON.stringify({ low, consumed }), bytesConsumed: consumed }));
      socket.on('data', (chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          consumed += line.length + 1;
          low += Number(line);
          socket.write(low >= 20 ? 'enough\n' : `${low}\n`);
        }
      });
    };
    const client = async (socket: Socket): Promise<void> => {
      let next = 1;
      socket.write(`${next}\n`);
      for await (const line of createInterface(socket)) {
        if (line === 'enough') break;
        next = (Number(line) % 3) + 1;
        socket.write(`${next}\n`);
      }
    };
    const report = await checkHandler(handler, { client, crashes: 40 });
    assert.match(report.output.toString(), /^1\n3\n.*enough\n$/s);
    assertThorough(report);
  });

  test('commits random receipts, with the same balance each time', async () => {
    const handler = (socket: ServerSocket): void => {
      const state = socket.importState(
        (bytes) => JSON.parse(String(bytes)) as { balance: number; consumed: number },
      );
      let { balance, consumed } = state ?? { balance: 0, consumed: 0 };
      let rest = '';
      socket.on('data', (chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          consumed += line.length + 1;
          balance += line.length;
          socket.write(`${balance} #${crypto.randomUUID()}\n`);
          socket.exportState(JSON.stringify({ balance, consumed }), { bytesConsumed: consumed });
        }
      });
    };
    const report = await checkHandler(handler, {
      input: LINES,
      crashes: 40,
      delivery: 'commit',
      normalize: (output) => output.toString().replace(/#[0-9a-f-]{36}/g, '#'),
    });
    assertThorough(report);
    assert.match(report.output.toString(), /^5 #[0-9a-f-]{36}\n9 #/);
  });

  test('exports nothing, where that is said to be meant', async () => {
    const echo = (socket: ServerSocket): void => {
      socket.pipe(socket);
    };
    const report = await checkHandler(echo, { input: LINES, crashes: 32, exports: 'optional' });
    assert.equal(report.output.toString(), LINES);
    assert.equal(report.snapshots + report.restores, 0);
    assert.ok(report.replays >= 30, `${report.replays} replays`);
  });

  test('streams without end, to a client that leaves when it has enough', async () => {
    const handler = (socket: ServerSocket): void => {
      let next = socket.importState(Number) ?? 0;
      socket.onExportState(() => String(next));
      const more = (): void => {
        while (socket.write(String((next += 1)).padStart(4096)));
        socket.once('drain', more);
      };
      more();
    };
    const report = await checkHandler(handler, {
      client: async (socket) => {
        let length = 0;
        for await (const chunk of socket) if ((length += (chunk as Buffer).length) > 1_000_000) break;
      },
      crashes: 12,
    });
    assert.ok(report.output.length > 1_000_000);
    assert.match(report.output.toString(), /^ +1 +2 +3 /);
    assert.ok(report.crashes >= 8 && report.restores >= 4, JSON.stringify({ ...report, output: 0 }));
  });

  test('is an http server, over connections that know nothing of it', async () => {
    let requests = 0;
    const server = http.createServer({ keepAlive: true }, (request, response) => {
      requests += 1;
      response.sendDate = false;
      response.end(`${request.method} ${request.url}`);
    });
    const report = await checkHandler((socket) => void server.emit('connection', socket), {
      input: 'GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      crashes: 40,
      exports: 'optional',
    });
    assert.match(report.output.toString(), /GET \/a.*GET \/b$/s);
    assert.ok(requests > 2 * report.runs && report.replays >= 40);
  });

  test('has side effects under idempotency keys, which are executed again and done once', async () => {
    const report = await checkHandler(numberLines(), { input: LINES, crashes: 32 });
    assert.equal(report.effects.size, 5);
    assert.deepEqual([...report.effects.values()], ['alpha', 'beta', 'gamma', 'delta', 'epsilon']);
    assert.equal([...report.effects.keys()][1], 'session:6');
    assert.ok(report.repeatedEffects > 0);
  });
});

test('a new version passes that reads the states of the old one, and makes the same of them', async () => {
  const schema = 2;
  const successor = {
    // It names in its state what the old one calls a count.
    handler: numberLines({
      imported: (state) =>
        'lines' in state ? { count: Number(state.lines), consumed: state.consumed } : state,
      exported: ({ count, consumed }) => ({ lines: count, consumed }) as never,
    }),
    server: { schema, canRestore: (version: number) => version <= schema },
  };
  const report = await checkHandler(numberLines(), {
    input: LINES,
    crashes: 40,
    server: { schema: 1 },
    successor,
  });
  assertThorough(report);
});

test('a check leaves nothing running: no timer, no server, and the clock as it was', async () => {
  const clock = Date;
  await checkHandler(numberLines(), { input: LINES, crashes: 8 });
  assert.equal(Date, clock);
  await new Promise((resolve) => setImmediate(resolve));
  const left = process
    .getActiveResourcesInfo()
    .filter((name) => !/^(?:PipeWrap|TTYWrap|Timeout)$/.test(name));
  assert.deepEqual(left, []);
});

test('one seed makes the same runs again', async () => {
  const comparable = async (): Promise<object> => {
    const { elapsedMs: _elapsedMs, ...rest }: CheckReport = await checkHandler(numberLines(), {
      input: LINES,
      crashes: 40,
      seed: 7,
    });
    return rest;
  };
  const first = await comparable();
  // One in six once was another: by a timer of a millisecond that fired, or did not, before its session ended.
  for (let repetition = 0; repetition < 10; repetition += 1) assert.deepEqual(await comparable(), first);
});

test('a client may destroy its socket: what came until then is compared', async () => {
  const report = await checkHandler(numberLines(), {
    client: async (socket) => {
      socket.write('one\n');
      let text = '';
      for await (const chunk of socket) {
        text += String(chunk);
        // Which destroys the socket.
        if (text.endsWith('\n')) break;
      }
    },
    crashes: 8,
  });
  assert.equal(report.output.toString(), '1 ONE\n');
});
