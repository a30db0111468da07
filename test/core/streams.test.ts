/** Both streams: their ends around migrations, resets, backpressure and limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery, WireCode } from '../../packages/godwit/src/wire/index.ts';
import { assertNoLeaks } from '../world/leaks.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformApp, transformed, type ServerAppFactory } from '../world/server-apps.ts';

const KIB = 1024;
const closings = (scenario: Scenario): (string | undefined)[] =>
  [...scenario.world.servers.values()].flatMap((server) =>
    server.events.flatMap((event) => (event.type === 'closed' ? [event.failure?.code] : [])),
  );

/** Answers nothing until its input ends; then all of it at once. */
const answersAtTheEnd: ServerAppFactory = (session, restart, context) => {
  let offset = restart && restart.state.byteLength > 0 ? Number(new TextDecoder().decode(restart.state)) : 0;
  let finished = session.inputFinished;
  const answer = (): void => {
    if (finished && !session.outputFinished) {
      session.write(context.now(), transformed(pattern(offset, 7), 0));
      session.end(context.now());
    }
  };
  answer();
  return {
    handle: (event) => {
      if (event.type === 'readable' || event.type === 'thawed') {
        for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
          if (chunk === 'end') {
            finished = true;
            session.finConsumed(context.now());
            answer();
            continue;
          }
          session.consumed(context.now(), chunk.byteLength);
          offset += chunk.byteLength;
        }
      } else if (event.type === 'exportDue') {
        session.exportState(context.now(), {
          state: new TextEncoder().encode(String(offset)),
          input: offset,
          output: session.produced,
        });
        if (event.reason === 'freeze') session.freezeReady(context.now());
      }
    },
  };
};

/** Destroys its socket, or resets it, once it has read so many bytes. */
function quits(how: 'destroy' | 'reset', afterBytes: number): ServerAppFactory {
  return (session, _restart, context) => {
    let read = 0;
    return {
      handle: (event) => {
        if (event.type === 'exportDue') {
          if (event.reason === 'freeze') session.freezeReady(context.now());
          else session.exportDeclined(context.now(), { hasExporter: true });
        }
        if (event.type !== 'readable') return;
        for (
          let chunk = session.read();
          chunk !== undefined && chunk !== 'end' && read < afterBytes;
          chunk = session.read()
        ) {
          read += chunk.byteLength;
          session.consumed(context.now(), chunk.byteLength);
        }
        if (read < afterBytes || session.outputFinished || session.isResetting) return;
        session.write(context.now(), pattern(5000, 3));
        if (how === 'destroy') session.destroy(context.now());
        else session.reset(context.now());
      },
    };
  };
}

for (const { name: mode, delivery } of MODES) {
  for (const at of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20]) {
    test(`a server is killed ${at} ms after the client's FIN, and the answer that only then begins comes whole (${mode})`, () => {
      const scenario = new Scenario({
        delivery,
        app: answersAtTheEnd,
        length: 40_000,
        client: { servers: ['a', 'b', 'c'] },
      });
      scenario.world.until(() => scenario.client.session.state === 'attached');
      scenario.client.end();
      scenario.world.run(at);
      scenario.world.servers.get(scenario.client.session.serverName)?.kill();
      scenario.finishExactly();
    });

    test(`a server is killed ${at} ms after it wrote its last byte and its FIN (${mode})`, () => {
      const app = fileApp({
        length: 60_000,
        seed: 3,
        exports: 'pulled',
        ...(delivery === Delivery.Commit && { commitEvery: 16 * KIB }),
      });
      const scenario = new Scenario({
        delivery,
        app,
        length: 0,
        client: { servers: ['a', 'b', 'c'], limits: { receiveWindowBytes: 64 * KIB } },
      });
      scenario.world.until(
        () =>
          scenario.world.servers.get('a')?.node.session(scenario.client.session.id)?.outputFinished ===
            true || scenario.client.session.serverName !== '',
      );
      scenario.world.run(at);
      scenario.world.servers.get(scenario.client.session.serverName)?.kill();
      scenario.finish();
      scenario.assertExact(pattern(60_000, 3));
    });
  }

  test(`the server's FIN comes first, the session moves and is killed, and the input goes on to its end (${mode})`, () => {
    const app = fileApp({ length: 10_000, seed: 3, exports: 'pulled' });
    const scenario = new Scenario({ delivery, app, length: 100_000 });
    const { world, client } = scenario;
    world.until(() => client.ended);
    scenario.trigger('b');
    scenario.untilMigrated(1);
    client.write(pattern(50_000, 8));
    world.run(20);
    world.server('b').kill();
    client.write(pattern(50_000, 9));
    scenario.finish();
    scenario.assertExact(pattern(10_000, 3));
  });

  test(`the client's FIN comes first, the session moves back and forth, and the output ends exactly (${mode})`, () => {
    const app = fileApp({
      length: 2_000_000,
      seed: 3,
      exports: 'pulled',
      ...(delivery === Delivery.Commit && { commitEvery: 16 * KIB }),
    });
    const scenario = new Scenario({
      delivery,
      app,
      length: 1000,
      client: { limits: { receiveWindowBytes: 64 * KIB } },
    });
    scenario.client.end();
    ['b', 'a', 'c'].forEach((to, index) => {
      scenario.untilReceived(300_000 * (index + 1));
      scenario.trigger(to);
      scenario.untilMigrated(index + 1);
    });
    scenario.finish();
    scenario.assertExact(pattern(2_000_000, 3));
  });

  test(`a session both of whose streams have ended moves without its application (${mode})`, () => {
    const app = fileApp({ length: 300_000, seed: 3, exports: 'pulled' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 1000,
      client: { autoRead: false, limits: { receiveWindowBytes: 64 * KIB } },
    });
    const { world, client } = scenario;
    client.end();
    world.run(100);
    scenario.trigger('b');
    world.run(100);
    client.autoRead = true;
    client.read();
    scenario.finish();
    scenario.assertExact(pattern(300_000, 3));
  });

  test(`a reset by the client reaches the server's application as ECONNRESET, and ends both sides (${mode})`, () => {
    const scenario = new Scenario({ delivery, app: answersAtTheEnd });
    scenario.world.run(20);
    scenario.client.do((session, now) => {
      session.reset(now);
    });
    scenario.world.until(() => scenario.client.closed !== undefined);
    assertNoLeaks(scenario.world, scenario.client);
    assert.deepEqual(closings(scenario), ['ECONNRESET']);
  });

  test(`a reset by the server reaches the client as ECONNRESET, through a broken carrier too (${mode})`, () => {
    for (const cut of [false, true]) {
      const scenario = new Scenario({ delivery, servers: ['a'], app: quits('reset', 20_000) });
      const { world, client } = scenario;
      world.until(() => [...world.server('a').node.sessions].some((session) => session.isResetting));
      if (cut) for (const pipe of client.pipesTo('a')) pipe.cut();
      world.until(() => client.closed !== undefined);
      assert.equal(client.closed?.failure?.code, 'ECONNRESET');
      assertNoLeaks(world, client);
    }
  });

  test(`what a server wrote before it destroyed its socket reaches the client whole, unread input or not (${mode})`, () => {
    const scenario = new Scenario({ delivery, app: quits('destroy', 20_000) });
    scenario.world.until(() => scenario.client.closed !== undefined);
    scenario.client.end();
    scenario.assertExact(pattern(5000, 3));
  });

  test(`a client that destroys its socket while output comes leaves nothing behind (${mode})`, () => {
    for (const at of [0, 2, 3, 5, 8, 20, 100]) {
      const app = fileApp({
        length: 5_000_000,
        seed: 3,
        exports: 'pulled',
        ...(delivery === Delivery.Commit && { commitEvery: 64 * KIB }),
      });
      const scenario = new Scenario({ delivery, app, length: 10_000, client: { servers: ['a', 'b'] } });
      scenario.world.run(at);
      scenario.client.do((session, now) => {
        session.destroy(now);
      });
      if (at % 5 === 0) for (const pipe of scenario.world.pipes) pipe.cut();
      scenario.world.until(() => scenario.client.closed !== undefined);
      assert.equal(scenario.client.closed?.failure, undefined);
      assertNoLeaks(scenario.world, scenario.client);
    }
  });

  test(`destroy right after write: the server still reads every byte (${mode})`, () => {
    let read = 0;
    const app: ServerAppFactory = (session, _restart, context) => ({
      handle: (event) => {
        if (event.type === 'exportDue' && event.reason !== 'freeze')
          session.exportDeclined(context.now(), { hasExporter: true });
        else if (event.type === 'exportDue') session.freezeReady(context.now());
        if (event.type !== 'readable') return;
        for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
          if (chunk === 'end') session.finConsumed(context.now());
          else {
            read += chunk.byteLength;
            session.consumed(context.now(), chunk.byteLength);
          }
        }
      },
    });
    const scenario = new Scenario({ delivery, app, length: 100_000 });
    scenario.world.until(() => scenario.client.session.state === 'attached');
    scenario.client.do((session, now) => {
      session.destroy(now);
    });
    scenario.world.until(() => scenario.client.closed !== undefined);
    scenario.world.run(100);
    assert.equal(read, 100_000);
    assertNoLeaks(scenario.world, scenario.client);
  });

  test(`a client that does not read stops the server at its limits, and gets all of it later (I7, ${mode})`, () => {
    const app = fileApp({
      length: 6_000_000,
      seed: 3,
      exports: 'pulled',
      ...(delivery === Delivery.Commit && { commitEvery: 64 * KIB }),
    });
    const limits = { outputTailBytes: 128 * KIB, receiveWindowBytes: 64 * KIB };
    const scenario = new Scenario({
      delivery,
      app,
      length: 0,
      server: { limits },
      client: { autoRead: false, limits: { receiveWindowBytes: 256 * KIB } },
    });
    const { world, client } = scenario;
    world.run(30_000);
    const session = world.server('a').node.session(client.session.id);
    assert.ok(session);
    assert.ok(session.produced <= (256 + 128 + 16) * KIB, `${session.produced} produced`);
    assert.ok(session.streams.send.retainedBytes <= (128 + 16) * KIB);
    world.run(30_000);
    client.autoRead = true;
    client.read();
    scenario.finish();
    scenario.assertExact(pattern(6_000_000, 3));
  });

  test(`a server application that does not read stops the client at the server's window (I7, ${mode})`, () => {
    const app: ServerAppFactory = (session, _restart, context) => ({
      handle: (event) => {
        if (event.type === 'exportDue' && event.reason !== 'freeze')
          session.exportDeclined(context.now(), { hasExporter: true });
      },
    });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      server: { limits: { receiveWindowBytes: 64 * KIB } },
      client: { limits: { sendBufferBytes: 32 * KIB } },
    });
    const { world, client } = scenario;
    world.run(10_000);
    const session = world.server('a').node.session(client.session.id);
    assert.equal(session?.streams.receive.received, 64 * KIB);
    assert.ok(client.session.bytesRetained <= (64 + 32 + 64) * KIB);
    assert.equal(client.session.wantsWrite, false);
  });

  test(`one huge write and ten thousand small ones are the same stream (${mode})`, () => {
    const scenario = new Scenario({ delivery, length: 0, client: { servers: ['a', 'b'] } });
    const huge = pattern(5_000_000, 7);
    const small = pattern(10_000, 8);
    scenario.client.write(huge);
    for (const byte of small) scenario.client.write(Uint8Array.of(byte));
    scenario.untilReceived(3_000_000);
    scenario.origin.kill();
    scenario.finish();
    scenario.assertExact(transformed(Buffer.concat([huge, small]), 0));
  });

  test(`windows of the smallest size on either side never lock up (${mode})`, () => {
    for (const [client, server] of [
      [64, 64],
      [64, 1024],
      [1024, 64],
    ] as const) {
      const scenario = new Scenario({
        delivery,
        length: 2_000_000,
        server: {
          limits: { receiveWindowBytes: server * KIB, outputTailBytes: server * KIB, inputLogBytes: 0 },
        },
        client: {
          limits: {
            receiveWindowBytes: client * KIB,
            retainLimitBytes: client * KIB,
            sendBufferBytes: 16 * KIB,
          },
        },
      });
      scenario.untilReceived(500_000);
      scenario.trigger('b');
      scenario.finish();
      assert.ok(scenario.world.now < 2000, `took ${scenario.world.now} ms`);
      scenario.assertExact();
    }
  });
}

for (const { name: mode, delivery } of MODES) {
  test(`a client destroys its socket, and its server dies: the next one still reads every byte that was written (${mode})`, () => {
    for (let afterMs = 0; afterMs < 12; afterMs += 1) {
      let consumed = 0;
      const inner = transformApp({ exports: 512 });
      const app: ServerAppFactory = (session, restart, context) => {
        const one = inner(session, restart, context);
        return {
          handle: (event) => {
            one.handle(event);
            consumed = Math.max(consumed, session.received);
          },
        };
      };
      const scenario = new Scenario({ delivery, app, length: 30_000, latencyMs: 2 });
      const { world, client } = scenario;
      scenario.untilReceived(1000);
      world.run(0.5);
      client.write(pattern(20_000, 3));
      client.do((session, now) => session.destroy(now));
      const origin = client.session.serverName;
      world.run(afterMs);
      world.server(origin).kill();
      world.until(() => client.closed !== undefined);
      assert.deepEqual(client.closed, { failure: undefined }, `${afterMs} ms`);
      assert.equal(consumed, 50_000, `${afterMs} ms`);
      assertNoLeaks(world, client);
    }
  });
}

test('an application that re-creates other output after a crash ends the session on both sides with ERR_GODWIT_DIVERGED', () => {
  const app = transformApp({ exports: 'pulled', divergent: true });
  const scenario = new Scenario({
    app,
    length: 2_000_000,
    server: { limits: { receiveWindowBytes: 64 * KIB } },
  });
  const { world, client } = scenario;
  scenario.untilReceived(300_000);
  const before = client.receivedBytes;
  scenario.origin.kill();
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_DIVERGED');
  assert.equal(client.receivedBytes, before, 'nothing of the other execution was released');
  world.run(10);
  assert.ok(closings(scenario).includes('ERR_GODWIT_DIVERGED'));
  assertNoLeaks(world, client);
});

for (const how of ['stops', 'ends'] as const) {
  test(`an application that ${how} short of what the client has ends the session with ERR_GODWIT_DIVERGED`, () => {
    const file = pattern(200_000, 3);
    const app: ServerAppFactory = (session, restart, context) => {
      session.write(context.now(), restart ? file.subarray(0, 1000) : file);
      if (restart && how === 'ends') session.end(context.now());
      return {
        handle: (event) =>
          event.type === 'exportDue' && session.exportDeclined(context.now(), { hasExporter: true }),
      };
    };
    const scenario = new Scenario({ app, length: 0 });
    scenario.untilReceived(100_000);
    const at = scenario.world.now;
    scenario.origin.kill();
    scenario.world.until(() => scenario.client.closed !== undefined);
    assert.equal(scenario.client.closed?.failure?.code, 'ERR_GODWIT_DIVERGED');
    assert.ok(how === 'ends' || scenario.world.now - at >= 10_000, 'replayTimeoutMs');
    assertNoLeaks(scenario.world, scenario.client);
  });
}

test('commit mode makes a non-deterministic application exactly-once: what was not committed never happened (I1)', () => {
  let executions = 0;
  const records = 400;
  // Each record names its number and the execution that made it; the state chains what was committed.
  const app: ServerAppFactory = (session, restart, context) => {
    const execution = (executions += 1);
    let { next, chain } =
      restart && restart.state.byteLength > 0
        ? (JSON.parse(new TextDecoder().decode(restart.state)) as { next: number; chain: string })
        : { next: 0, chain: '' };
    const produce = (): void => {
      while (next < records && session.wantsWrite) {
        chain = `${chain}${next}/${execution},`;
        session.write(context.now(), new TextEncoder().encode(`${next}/${execution} ${'x'.repeat(900)}\n`));
        next += 1;
        if (next % 3 === 0)
          session.exportState(context.now(), {
            state: new TextEncoder().encode(JSON.stringify({ next, chain })),
            input: session.received,
            output: session.produced,
          });
      }
      if (next === records && !session.outputFinished) {
        session.write(context.now(), new TextEncoder().encode(`chain ${chain}`));
        session.end(context.now());
      }
    };
    produce();
    return {
      handle: (event) => {
        if (event.type === 'drain' || event.type === 'thawed') produce();
        else if (event.type === 'readable') {
          for (let chunk = session.read(); chunk !== undefined; chunk = session.read())
            if (chunk === 'end') session.finConsumed(context.now());
        } else if (event.type === 'exportDue') {
          if (event.reason === 'freeze') session.freezeReady(context.now());
          else if (event.reason === 'end')
            session.exportState(context.now(), {
              state: new TextEncoder().encode(JSON.stringify({ next, chain })),
              input: session.received,
              output: session.produced,
            });
          else session.exportDeclined(context.now(), { hasExporter: true });
        }
      },
    };
  };
  const scenario = new Scenario({
    delivery: Delivery.Commit,
    app,
    length: 0,
    client: { limits: { receiveWindowBytes: 64 * KIB } },
  });
  for (const bytes of [40_000, 120_000, 200_000, 290_000]) {
    scenario.untilReceived(bytes);
    const victim = scenario.origin;
    victim.kill();
    scenario.world.scheduler.after(50, () => scenario.world.start(victim.address.name));
  }
  scenario.finish();
  const text = new TextDecoder().decode(scenario.client.received);
  const lines = text.split('\n').map((line) => line.replace(/ x*$/, ''));
  const chain = lines.pop()?.replace('chain ', '');
  assert.equal(lines.length, records);
  lines.forEach((line, index) => assert.equal(Number(line.split('/')[0]), index));
  assert.equal(`${lines.join(',')},`, chain, 'the state at the end contains exactly what the client read');
  assert.ok(new Set(lines.map((line) => line.split('/')[1])).size > 2);
  assertNoLeaks(scenario.world, scenario.client);
});

test("a client's reset carries its code", () => {
  const scenario = new Scenario({ app: answersAtTheEnd });
  scenario.world.run(20);
  scenario.client.do((session, now) => {
    session.reset(now, WireCode.Denied, 'no');
  });
  scenario.world.run(20);
  assert.deepEqual(closings(scenario), ['ERR_GODWIT_DENIED']);
});

/** Writes all of its output before it reads any input; counts that. */
function writesFirst(outputBytes: number, read: (bytes: number) => void): ServerAppFactory {
  return (session, _restart, context) => {
    let written = 0;
    const write = (): void => {
      while (written < outputBytes && session.wantsWrite) {
        session.write(context.now(), pattern(16 * KIB, 3));
        written += 16 * KIB;
      }
      if (written < outputBytes) return;
      for (let chunk = session.read(); chunk !== undefined; chunk = session.read())
        if (chunk === 'end') session.finConsumed(context.now());
        else {
          read(chunk.byteLength);
          session.consumed(context.now(), chunk.byteLength);
        }
    };
    write();
    return {
      handle: (event) => {
        if (event.type === 'exportDue') session.exportDeclined(context.now(), { hasExporter: false });
        else if (event.type === 'drain' || event.type === 'readable') write();
      },
    };
  };
}

const BLOCKING = { receiveWindowBytes: 64 * KIB };

test('a client that destroys its socket while both ends are blocked lets the server go on, and its input arrives', () => {
  let read = 0;
  const length = 512 * KIB;
  const scenario = new Scenario({
    app: writesFirst(1024 * KIB, (bytes) => (read += bytes)),
    length,
    server: { limits: { ...BLOCKING, outputTailBytes: 64 * KIB } },
    client: { autoRead: false, limits: { ...BLOCKING, sendBufferBytes: 1024 * KIB } },
  });
  const { world, client } = scenario;
  // Long enough for its PINGs to be rare.
  world.run(60_000);
  assert.equal(read, 0);
  client.do((session, now) => session.destroy(now));
  world.until(() => client.closed !== undefined);
  world.run(100);
  assert.equal(client.closed?.failure, undefined);
  assert.equal(read, length);
  assertNoLeaks(world, client);
});

test('a server that destroys its socket while both ends are blocked lets the client write on', () => {
  const length = 512 * KIB;
  const app: ServerAppFactory = (session, _restart, context) => ({
    handle: (event) => {
      if (event.type === 'exportDue') session.exportDeclined(context.now(), { hasExporter: false });
      if (event.type !== 'readable' || session.produced > 0) return;
      session.write(context.now(), pattern(256 * KIB, 3));
      context.after(60_000, () => session.destroy(context.now()));
    },
  });
  const scenario = new Scenario({
    app,
    length,
    server: { limits: BLOCKING },
    client: { autoRead: false, limits: { ...BLOCKING, sendBufferBytes: 64 * KIB } },
  });
  const { world, client } = scenario;
  world.run(59_000);
  const before = client.session.streams.send.sent;
  assert.ok(before < length, `${before} bytes sent`);
  world.run(1_500);
  assert.ok(
    client.session.streams.send.sent > before + 64 * KIB,
    `${client.session.streams.send.sent} bytes sent`,
  );
});
