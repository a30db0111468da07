/** Sessions that move while bytes flow: offsets of both streams must be exact wherever the bytes are. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { connect, type GodwitError, type ServerSocket, type Socket } from 'godwit';
import { startCluster } from './cluster.ts';

async function open(servers: readonly string[]): Promise<Socket> {
  const client = connect({ servers });
  await once(client, 'connect');
  return client;
}

/** Reads until so many bytes are there. */
async function take(client: Socket, bytes: number): Promise<string> {
  let text = '';
  client.on('data', onData);
  client.resume();
  while (text.length < bytes) await once(client, 'data');
  client.off('data', onData);
  client.pause();
  return text;

  function onData(chunk: Buffer): void {
    text += chunk.toString('latin1');
  }
}

/** Answers each byte with three that depend on it and on its offset; writes by chance corked, split or at once. */
function amplify(socket: ServerSocket): void {
  let offset = socket.importState((state) => Number(state.toString())) ?? 0;
  socket.onExportState(() => String(offset));
  socket.on('data', (chunk: Buffer) => {
    const out = Buffer.alloc(chunk.byteLength * 3);
    for (let index = 0; index < chunk.byteLength; index += 1) {
      const value = (chunk[index] as number) + offset * 7;
      offset += 1;
      out[index * 3] = value & 0xff;
      out[index * 3 + 1] = (value >> 3) & 0xff;
      out[index * 3 + 2] = offset & 0xff;
    }
    if (randomInt(3) === 0 && socket.writableCorked === 0) {
      socket.cork();
      setTimeout(() => socket.uncork(), randomInt(4));
    }
    const half = randomInt(out.byteLength);
    socket.write(out.subarray(0, half));
    if (!socket.write(out.subarray(half))) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
}

function amplified(input: Buffer): Buffer {
  const out = Buffer.alloc(input.byteLength * 3);
  for (let offset = 0; offset < input.byteLength; offset += 1) {
    const value = (input[offset] as number) + offset * 7;
    out[offset * 3] = value & 0xff;
    out[offset * 3 + 1] = (value >> 3) & 0xff;
    out[offset * 3 + 2] = (offset + 1) & 0xff;
  }
  return out;
}

describe('a session that moves under load', () => {
  test('loses, doubles and reorders nothing in ten moves, with corked and queued output', async () => {
    await using cluster = await startCluster(3, amplify);
    const client = await open(cluster.addresses);
    // All of it if need be: what flows until there were enough moves depends on the machine.
    const input = randomBytes(40_000_000);
    const hash = createHash('sha256');
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      received += chunk.byteLength;
      hash.update(chunk);
    });
    const ended = once(client, 'end');
    let moves = 0;
    const mover = (async (): Promise<void> => {
      while (moves < 10 && !client.destroyed && !client.writableEnded) {
        const report = await client.migrate().catch(() => undefined);
        if (report !== undefined) moves += 1;
        // Bytes flow again before the next move.
        if (!client.readableEnded) await Promise.race([once(client, 'data'), ended]);
      }
    })();
    let sent = 0;
    while (sent < input.byteLength && (sent < 4_000_000 || moves < 3)) {
      const piece = input.subarray(sent, sent + randomInt(1, 60_000));
      if (!client.write(piece)) await once(client, 'drain');
      sent += piece.byteLength;
    }
    client.end();
    await ended;
    await mover;
    assert.equal(received, sent * 3);
    const expected = createHash('sha256').update(amplified(input.subarray(0, sent)));
    assert.equal(hash.digest('hex'), expected.digest('hex'));
    assert.ok(moves >= 3, `only ${moves} moves`);
  });

  test('is asked to move before its client has confirmed it there, and moves as soon as that is done', async () => {
    let onward: Promise<string> | undefined;
    await using cluster = await startCluster(3, (socket) => {
      socket.onExportState(() => 'state');
      // ACCEPT is not even on its way yet.
      if (socket.restored) onward ??= socket.migrate().then(({ to }) => to);
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    });
    const client = await open(cluster.addresses);
    client.write('a');
    assert.equal(await take(client, 1), 'a');
    const first = await client.migrate();
    const [second] = (await once(client, 'migrated')) as [{ from: string; to: string }];
    assert.equal(second.from, first.to);
    assert.equal(await onward, second.to);
    client.write('b');
    assert.equal(await take(client, 1), 'b');
    client.destroy();
  });

  test('input that waits in the stream of a paused application moves along', async () => {
    const seen: string[] = [];
    await using cluster = await startCluster(2, (socket, name) => {
      socket.onExportState(() => 'state');
      if (socket.restored) {
        socket.on('data', (chunk: Buffer) => {
          seen.push(`${name} ${chunk.toString()}`);
          socket.write('seen');
        });
      } else {
        socket.once('readable', () => {
          seen.push(`${name} ${String(socket.read(2))}`);
          socket.write('read');
        });
      }
    });
    const client = await open(cluster.addresses.slice(0, 1));
    client.write('abcdef');
    assert.equal(await take(client, 4), 'read');
    assert.equal(cluster.socketOf(client.sessionId).bytesConsumed, 2);
    await client.migrate({ to: 's1' });
    assert.equal(await take(client, 4), 'seen');
    assert.deepEqual(seen, ['s0 ab', 's1 cdef']);
    client.destroy();
  });

  test('the session waits for a hold to be let go', async () => {
    const done: string[] = [];
    await using cluster = await startCluster(2, (socket, name) => {
      let state = socket.importState()?.toString() ?? '';
      socket.onExportState(() => state);
      socket.on('data', (chunk: Buffer) => {
        const release = socket.hold();
        setTimeout(() => {
          state += chunk.toString();
          done.push(name);
          socket.write(`${state};`);
          release();
        }, 100);
      });
    });
    const client = await open(cluster.addresses.slice(0, 1));
    const held = once(cluster.socketOf(client.sessionId), 'data');
    client.write('a');
    await held;
    await client.migrate({ to: 's1' });
    client.write('b');
    assert.equal(await take(client, 5), 'a;ab;');
    assert.deepEqual(done, ['s0', 's1']);
    client.destroy();
  });

  test('the origin closes its socket with an aborted signal, and with an error for whoever listens', async () => {
    const sockets: ServerSocket[] = [];
    await using cluster = await startCluster(2, (socket) => {
      sockets.push(socket);
      socket.resume();
    });
    const client = await open(cluster.addresses.slice(0, 1));
    const [quiet] = sockets as [ServerSocket];
    // Not events.once, which listens for errors too.
    const closed = new Promise((resolve) => quiet.on('close', resolve));
    await client.migrate({ to: 's1' });
    await closed;
    assert.equal(quiet.signal.aborted, true);
    assert.equal((quiet.signal.reason as GodwitError).code, 'ERR_GODWIT_MOVED');

    const [, loud] = sockets as [ServerSocket, ServerSocket];
    const failed = once(loud, 'error');
    await client.migrate({ to: 's0' });
    assert.equal(((await failed) as [GodwitError])[0].code, 'ERR_GODWIT_MOVED');
    client.destroy();
  });

  test('a move to nowhere fails, and the session goes on where it was', async () => {
    await using cluster = await startCluster(2, amplify);
    const client = await open(cluster.addresses.slice(0, 1));
    await assert.rejects(client.migrate({ to: '127.0.0.1:1' }), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
    client.write('x');
    assert.equal((await take(client, 3)).length, 3);
    assert.equal(client.currentServer?.name, 's0');
    assert.equal(client.migrations, 0);
    client.destroy();
  });

  test('writes are told to wait while the session is handed over, and go on where it stays', async () => {
    const answers: boolean[] = [];
    const stayed = Promise.withResolvers<undefined>();
    await using cluster = await startCluster(
      2,
      (socket) => {
        let moves = false;
        socket.onExportState(() => {
          // What is written from now on is behind the state.
          if (moves) process.nextTick(writeOn);
          return 'state';
        });
        socket.once('data', () => (moves = true));
        const writeOn = (): void => {
          moves = false;
          answers.push(socket.write('b'));
          socket.once('drain', () => {
            answers.push(socket.write('c'));
            stayed.resolve(undefined);
          });
        };
        socket.write('a');
      },
      // The other server freezes the session, and can't read its state.
      (name) => ({ schema: name === 's0' ? 1 : 2 }),
    );
    const client = await open(cluster.addresses.slice(0, 1));
    const asked = once(cluster.socketOf(client.sessionId), 'data');
    client.write('move');
    await asked;
    await assert.rejects(client.migrate({ to: 's1' }), { code: 'ERR_GODWIT_MIGRATION_FAILED' });
    await stayed.promise;
    assert.deepEqual(answers, [false, true]);
    assert.equal(await take(client, 3), 'abc');
    client.destroy();
  });

  test('a guard that is let go behind a write that waits for its drain does not hold the move up', async () => {
    const restored = Promise.withResolvers<string>();
    await using cluster = await startCluster(2, (socket) => {
      let done = 'nothing';
      socket.onExportState(() => done);
      if (socket.restored) restored.resolve(String(socket.importState()));
      socket.once('data', () => {
        const release = socket.hold();
        // The session is frozen by then.
        socket.once('asked', () => {
          const finish = (): void => {
            done = 'the work';
            release();
          };
          if (socket.write('line')) finish();
          else socket.once('drain', finish);
        });
      });
    });
    const client = await open(cluster.addresses.slice(0, 1));
    const origin = cluster.socketOf(client.sessionId);
    const began = once(origin, 'data');
    client.write('work');
    await began;
    const frozen = once(client, 'migrating');
    const moved = client.migrate({ to: 's1' });
    await frozen;
    while (!origin.isLeaving) await new Promise((resolve) => setImmediate(resolve));
    origin.emit('asked' as never);
    await moved;
    assert.equal(await restored.promise, 'the work');
    client.destroy();
  });

  test('a move that ends on another server than the one asked for says so to who asked', async () => {
    await using cluster = await startCluster(3, amplify);
    const client = await open(cluster.addresses.slice(0, 1));
    const origin = cluster.socketOf(client.sessionId);
    // The client is on its way to s2 by the time it is asked to go to s1; and `undefined` means anywhere.
    const [own, asked, anywhere] = await Promise.allSettled([
      client.migrate({ to: 's2' }),
      origin.migrate({ to: 's1' }),
      origin.migrate(),
    ]);
    assert.equal(own.status === 'fulfilled' && own.value.to, 's2');
    assert.equal(anywhere.status === 'fulfilled' && anywhere.value.to, 's2');
    const error = asked.status === 'rejected' && (asked.reason as GodwitError);
    assert.ok(error);
    assert.equal(error.code, 'ERR_GODWIT_MOVED');
    assert.match(error.message, /moved to s2/);
    // By its address as by its name.
    const next = cluster.socketOf(client.sessionId);
    assert.equal((await next.migrate({ to: cluster.addresses[0] ?? '' })).to, 's0');
    client.destroy();
  });

  test('drain moves every session and takes no new ones', async () => {
    await using cluster = await startCluster(3, amplify);
    const clients = await Promise.all(Array.from({ length: 20 }, () => open(cluster.addresses.slice(0, 1))));
    const [draining] = cluster.servers;
    assert.ok(draining !== undefined);
    assert.equal(await draining.drain(), 20);
    assert.equal([...draining.sessions].length, 0);
    for (const client of clients) {
      client.write('x');
      assert.equal((await take(client, 3)).length, 3);
      assert.notEqual(client.currentServer?.name, 's0');
    }
    const late = await open(cluster.addresses);
    assert.notEqual(late.currentServer?.name, 's0');
    for (const client of [...clients, late]) client.destroy();
  });

  test('asks the next server soon where one of them is gone', async () => {
    await using cluster = await startCluster(3, amplify);
    const clients = await Promise.all(Array.from({ length: 4 }, () => open(cluster.addresses.slice(0, 1))));
    const [draining, gone] = cluster.servers;
    assert.ok(draining !== undefined && gone !== undefined);
    gone.close();
    gone.closeAllConnections();
    const startedAt = performance.now();
    assert.equal(await draining.drain(), 4);
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    for (const client of clients) assert.equal(client.currentServer?.name, 's2');
    for (const client of clients) client.destroy();
  });
});

describe('exporting a state', () => {
  /** One session, its server's socket, and bytes already consumed by it. */
  async function session(
    prepare: (socket: ServerSocket) => void,
  ): Promise<{ client: Socket; socket: ServerSocket } & AsyncDisposable> {
    const cluster = await startCluster(1, prepare);
    const client = await open(cluster.addresses);
    return {
      client,
      socket: cluster.socketOf(client.sessionId),
      [Symbol.asyncDispose]: async () => {
        client.destroy();
        await cluster[Symbol.asyncDispose]();
      },
    };
  }

  const ways: readonly (readonly [way: string, use: (socket: ServerSocket) => void])[] = [
    ['pipe', (socket) => void socket.pipe(socket)],
    [
      'asynchronous iteration',
      (socket) =>
        void socket[Symbol.asyncIterator]()
          .next()
          .catch(() => undefined),
    ],
    ['setEncoding', (socket) => socket.setEncoding('utf8')],
    ['unshift', (socket) => socket.unshift(Buffer.from('x'))],
    [
      'map',
      (socket) =>
        void socket
          .map((chunk: unknown) => chunk)
          .toArray()
          .catch(() => undefined),
    ],
  ];
  for (const [way, use] of ways) {
    test(`with ${way} needs bytesConsumed`, async () => {
      await using both = await session(() => undefined);
      use(both.socket);
      assert.throws(() => both.socket.exportState('state'), { code: 'ERR_GODWIT_CONSUMED_UNKNOWN' });
      both.socket.exportState('state', { bytesConsumed: 0 });
    });
  }

  test('refuses offsets that can not be', async () => {
    await using both = await session((socket) => socket.on('data', () => socket.write('y')));
    both.client.write('abc');
    await take(both.client, 1);
    assert.equal(both.socket.bytesConsumed, 3);
    assert.throws(() => both.socket.exportState('', { bytesConsumed: 4 }), { code: 'ERR_OUT_OF_RANGE' });
    both.socket.exportState('', { bytesConsumed: 2 });
    assert.throws(() => both.socket.exportState('', { bytesConsumed: 1 }), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => both.socket.exportState('', { bytesConsumed: 2.5 }), { code: 'ERR_OUT_OF_RANGE' });
    both.socket.exportState('');
    assert.equal(both.socket.snapshotNumber, 2);
  });

  test('refuses what is no state', async () => {
    await using both = await session(() => undefined);
    assert.throws(() => both.socket.exportState(7 as unknown as string), {
      code: 'ERR_GODWIT_EXPORT_INVALID',
    });
  });

  test('a pushed state waits for the bytes it covers, and the newest wins', async () => {
    await using both = await session((socket) => socket.resume());
    const { socket } = both;
    socket.cork();
    socket.write('abc');
    socket.exportState('first');
    socket.write('def');
    socket.exportState('second');
    socket.write('ghi');
    assert.equal(socket.snapshotNumber, 0);
    socket.uncork();
    assert.equal(socket.snapshotNumber, 1);
    assert.equal(await take(both.client, 9), 'abcdefghi');
  });

  test('keys of requests tell the offset at which the application stands', async () => {
    const keys: string[] = [];
    await using both = await session((socket) =>
      socket.on('data', () => {
        keys.push(socket.idempotencyKey());
        socket.write('y');
      }),
    );
    both.client.write('abc');
    await take(both.client, 1);
    assert.deepEqual(keys, [`${both.client.sessionId}:3`]);
    assert.equal(both.socket.idempotencyKey(7), `${both.client.sessionId}:7`);
  });

  test('an exporter that answers a promise is an error on the socket', async () => {
    await using cluster = await startCluster(2, (socket) => {
      socket.onExportState((() => Promise.resolve('late')) as never);
      socket.resume();
    });
    const client = await open(cluster.addresses.slice(0, 1));
    const told = once(client, 'error');
    const failed = once(cluster.socketOf(client.sessionId), 'error');
    client.migrate({ to: 's1' }).catch(() => undefined);
    assert.equal(((await failed) as [GodwitError])[0].code, 'ERR_GODWIT_EXPORT_INVALID');
    assert.equal(((await told) as [GodwitError])[0].code, 'ERR_GODWIT_INTERNAL');
  });
});

describe('commit mode', () => {
  test('output is delivered with the snapshot that covers it', async () => {
    await using cluster = await startCluster(
      1,
      (socket) => {
        socket.on('data', (chunk: Buffer) => {
          socket.write(chunk);
          if (chunk.includes('!')) socket.exportState('state');
        });
      },
      { delivery: 'commit' },
    );
    const client = await open(cluster.addresses);
    const written = once(cluster.socketOf(client.sessionId), 'data');
    client.write('a');
    await written;
    assert.equal(client.bytesRead, 0);
    client.write('b!');
    assert.equal(await take(client, 3), 'ab!');
    client.destroy();
  });

  test('end asks for a last state, and the client reads everything', async () => {
    await using cluster = await startCluster(
      1,
      (socket) => {
        socket.onExportState(() => 'state');
        socket.on('data', (chunk: Buffer) => socket.end(chunk));
      },
      { delivery: 'commit' },
    );
    const client = await open(cluster.addresses);
    client.write('last words');
    let text = '';
    client.on('data', (chunk: Buffer) => (text += chunk.toString()));
    // The servers live on until the session is over: who ends before that is reset.
    await once(client, 'close');
    assert.equal(text, 'last words');
  });
});
