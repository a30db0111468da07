/** What protects a session, what ends its protection, and what brings it back (I3, I7). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformApp, transformed, type ServerAppFactory } from '../world/server-apps.ts';

const KIB = 1024;
const clientEvents = (scenario: Scenario, type: string): number =>
  scenario.client.events.filter((event) => event.type === type).length;
const serverEvents = (scenario: Scenario, type: string): number =>
  [...scenario.world.servers.values()].reduce(
    (sum, server) => sum + server.events.filter((event) => event.type === type).length,
    0,
  );

for (const { name: mode, delivery } of MODES) {
  test(`an application that exports nothing goes on beyond what the client keeps: both ends say "unprotected" (${mode})`, () => {
    const app = transformApp({ exports: 'never' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      client: { limits: { retainLimitBytes: 256 * KIB } },
    });
    scenario.untilReceived(2_000_000);
    assert.equal(scenario.client.session.isProtected, false);
    assert.ok(scenario.client.session.bytesRetained <= 256 * KIB + 64 * KIB);
    scenario.finishExactly();
    assert.equal(clientEvents(scenario, 'unprotected'), 1);
    assert.equal(serverEvents(scenario, 'unprotected'), 1);
  });

  test(`an unprotected session whose server dies ends with ERR_GODWIT_UNPROTECTED (${mode})`, () => {
    const app = transformApp({ exports: 'never' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      client: { limits: { retainLimitBytes: 256 * KIB }, timers: { giveUpTimeoutMs: 2000 } },
    });
    scenario.untilReceived(1_500_000);
    scenario.origin.kill();
    scenario.world.until(() => scenario.client.closed !== undefined);
    assert.equal(scenario.client.closed?.failure?.code, 'ERR_GODWIT_UNPROTECTED');
    assert.deepEqual(
      scenario.client.received,
      transformed(scenario.input, 0).subarray(0, scenario.client.receivedBytes),
      'what came is right',
    );
  });

  test(`an unprotected session that nobody can restore stays at its origin when it is asked to move (I6, ${mode})`, () => {
    const app = transformApp({ exports: 'never' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      server: { limits: { inputLogBytes: 0 } },
      client: { limits: { retainLimitBytes: 256 * KIB } },
    });
    scenario.untilReceived(1_000_000);
    scenario.trigger('b');
    scenario.world.until(() => clientEvents(scenario, 'migrationFailed') === 1);
    scenario.finishExactly();
    assert.equal(scenario.client.session.serverName, 'a');
  });

  test(`an unprotected session survives its carrier (${mode})`, () => {
    const app = transformApp({ exports: 'never' });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      client: { limits: { retainLimitBytes: 256 * KIB } },
    });
    for (const bytes of [600_000, 900_000, 1_400_000]) {
      scenario.untilReceived(bytes);
      for (const pipe of scenario.client.pipesTo('a')) pipe.cut();
    }
    scenario.finishExactly();
  });

  test(`"not now" several times delays the snapshot, and no more (${mode})`, () => {
    const app = transformApp({ exports: 'pulled', notNow: 5 });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      // The client sends half a MiB at once, behind which the application is asked again.
      client: { limits: { retainLimitBytes: 1024 * KIB } },
    });
    scenario.untilReceived(2_400_000);
    scenario.world.run(5000);
    assert.equal(scenario.client.session.isProtected, true);
    scenario.origin.kill();
    scenario.finishExactly();
  });

  test(`protection is back at both ends once the application exports again (${mode})`, () => {
    // So many refusals take the client beyond what it keeps; what comes then covers everything.
    const app = transformApp({ exports: 'pulled', notNow: 12 });
    const scenario = new Scenario({
      delivery,
      app,
      length: 6_000_000,
      server: { timers: { unprotectAfterMs: 10 } },
      client: {
        limits: { retainLimitBytes: 128 * KIB, receiveWindowBytes: 64 * KIB, sendBufferBytes: 64 * KIB },
      },
    });
    scenario.world.until(() => clientEvents(scenario, 'protected') > 0, 60_000, 'protection');
    assert.ok(clientEvents(scenario, 'unprotected') > 0);
    scenario.world.run(10);
    assert.equal(clientEvents(scenario, 'unprotected'), serverEvents(scenario, 'unprotected'));
    scenario.world.until(() => scenario.client.session.isProtected);
    scenario.origin.kill();
    scenario.finishExactly();
  });

  test(`a state larger than the client takes makes the session unprotected, and it goes on (${mode})`, () => {
    const app = transformApp({
      exports: delivery === Delivery.Commit ? 8192 : 'pulled',
      stateBytes: 100_000,
    });
    const scenario = new Scenario({
      delivery,
      app,
      length: 3_000_000,
      client: { limits: { maxBodyBytes: 64 * KIB, retainLimitBytes: 256 * KIB } },
    });
    scenario.untilReceived(2_500_000);
    assert.equal(scenario.client.session.isProtected, false);
    scenario.trigger('b'); // the origin hands it over all the same
    scenario.untilMigrated(1);
    scenario.finishExactly();
  });

  test(`a state that shrinks below what the client takes protects the session again (${mode})`, () => {
    const scenario = new Scenario({
      delivery,
      app: shrinkingState,
      length: 2_000_000,
      client: {
        limits: {
          maxBodyBytes: 64 * KIB,
          receiveWindowBytes: 64 * KIB,
          retainLimitBytes: 128 * KIB,
          sendBufferBytes: 32 * KIB,
        },
      },
    });
    scenario.world.until(() => clientEvents(scenario, 'protected') > 0, 60_000, 'protection');
    assert.ok(clientEvents(scenario, 'unprotected') > 0);
    scenario.world.until(() => scenario.client.session.isProtected);
    scenario.origin.kill();
    scenario.finishExactly();
  });
}

test('in commit mode an application that never exports answers all the same, after the first time at once', () => {
  const scenario = new Scenario({
    delivery: Delivery.Commit,
    app: transformApp({ exports: 'never' }),
    length: 100,
  });
  const { world, client } = scenario;
  world.until(() => client.receivedBytes === 100, 250, 'the first answer');
  for (let i = 1; i <= 20; i += 1) {
    client.write(pattern(100, 7));
    world.until(() => client.receivedBytes === 100 * (i + 1), 10, `answer ${i + 1}`);
  }
  scenario.client.end();
  world.until(() => client.closed !== undefined);
  assert.equal(client.closed?.failure, undefined);
});

for (const [when, requests] of [
  ['in the same call as its first answer', ['?', '!e']],
  ['some time after its first answer', ['!', 'e']],
  ['some time after its first answer, having been asked before', ['?', '!', 'e']],
] as const) {
  test(`in commit mode an application that exports by itself ${when} has nothing delivered before`, () => {
    const scenario = new Scenario({ delivery: Delivery.Commit, app: selfExporting, length: 0 });
    const { world, client } = scenario;
    for (const request of requests) {
      client.write(new TextEncoder().encode(request));
      // Asked in between, by time, it has nothing to answer with: it is not asked, it exports.
      world.run(request === '?' ? 1500 : 50);
      assert.equal(client.receivedBytes, request.includes('e') ? 1 : 0, request);
    }
    assert.equal(clientEvents(scenario, 'unprotected') + serverEvents(scenario, 'unprotected'), 0);
    scenario.origin.kill();
    scenario.finish();
    assert.equal(client.closed?.failure, undefined);
    assert.equal(client.receivedBytes, 1);
  });
}

test('in commit mode an UNPROTECTED that died with its carrier is said again', () => {
  for (let offset = 0; offset < 700; offset += 9) {
    const app = transformApp({ exports: 'never' });
    const scenario = new Scenario({ delivery: Delivery.Commit, app, servers: ['a'], length: 100 });
    const { world, client } = scenario;
    world.until(() => client.session.state === 'attached' && client.receivedBytes === 100);
    const [pipe] = client.pipesTo('a');
    assert.ok(pipe);
    pipe.cutAfter[1] = pipe.sent(1) + offset;
    for (let i = 2; i <= 4; i += 1) {
      client.write(pattern(100, 7));
      world.until(
        () => client.receivedBytes === 100 * i,
        5000,
        `answer ${i} though the carrier broke behind byte ${offset}`,
      );
    }
  }
});

test('in commit mode the end of an output that was not committed is not held back while the input is open', () => {
  const app = fileApp({ length: 5000, seed: 3, exports: 'never' });
  const scenario = new Scenario({ delivery: Delivery.Commit, app, length: 0 });
  scenario.world.until(() => scenario.client.ended, 5000, 'the end of the output');
  scenario.finish();
  scenario.assertExact(pattern(5000, 3));
});

test('in commit mode end() asks for a last snapshot, and the output ends while the input is open', () => {
  const app = fileApp({ length: 5000, seed: 3, exports: 'pulled' });
  const scenario = new Scenario({ delivery: Delivery.Commit, app, length: 0 });
  scenario.world.until(() => scenario.client.ended, 500, 'the end of the output');
  assert.equal(scenario.client.session.isProtected, true);
  scenario.finish();
  scenario.assertExact(pattern(5000, 3));
});

test('in commit mode one record larger than the stage passes it', () => {
  const app = fileApp({ length: 3_000_000, seed: 3, exports: 'pulled', commitEvery: 1_000_000 * 16 });
  const scenario = new Scenario({
    delivery: Delivery.Commit,
    app,
    length: 0,
    client: { limits: { receiveWindowBytes: 64 * KIB } },
  });
  scenario.finish();
  scenario.assertExact(pattern(3_000_000, 3));
});

/** Answers each "!" with a byte, and exports at each "e". It has no exporter that could be asked. */
const selfExporting: ServerAppFactory = (session, _restart, context) => ({
  handle: (event) => {
    if (event.type === 'exportDue') {
      if (event.reason === 'freeze') session.freezeReady(context.now());
      else session.exportDeclined(context.now(), { hasExporter: false });
      return;
    }
    if (event.type !== 'readable') return;
    for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
      if (chunk === 'end') {
        session.finConsumed(context.now());
        session.end(context.now());
        continue;
      }
      session.consumed(context.now(), chunk.byteLength);
      for (const byte of new TextDecoder().decode(chunk)) {
        if (byte === '!') session.write(context.now(), Uint8Array.of(1));
        if (byte === 'e')
          session.exportState(context.now(), {
            state: new Uint8Array(1),
            input: session.received,
            output: session.produced,
          });
      }
    }
  },
});

/** As the transform application, but its state is too large for the first half megabyte. */
const shrinkingState: ServerAppFactory = (session, restart, context) => {
  let offset =
    restart && restart.state.byteLength > 0 ? Number(new TextDecoder().decode(restart.state).trim()) : 0;
  const exportNow = (): void => {
    const size = offset < 500_000 ? 100_000 : 20;
    session.exportState(context.now(), {
      state: new TextEncoder().encode(String(offset).padEnd(size)),
      input: offset,
      output: session.produced,
    });
  };
  const feed = (): void => {
    while (session.wantsWrite) {
      const chunk = session.read();
      if (chunk === undefined) return;
      if (chunk === 'end') {
        session.finConsumed(context.now());
        session.end(context.now());
        return;
      }
      session.consumed(context.now(), chunk.byteLength);
      session.write(context.now(), transformed(chunk, offset));
      offset += chunk.byteLength;
    }
  };
  return {
    handle: (event) => {
      if (event.type === 'readable' || event.type === 'drain' || event.type === 'thawed') feed();
      else if (event.type === 'exportDue') {
        exportNow();
        if (event.reason === 'freeze') session.freezeReady(context.now());
      }
    },
  };
};

test('an application that says "not now" after its state was too large does not make its client wait for ever', () => {
  // Found by the simulator, seed 2115.
  let asked = 0;
  const app: ServerAppFactory = (session, _restart, context) => ({
    handle: (event) => {
      if (event.type === 'readable')
        for (let chunk = session.read(); chunk !== undefined; chunk = session.read())
          if (chunk !== 'end') {
            session.consumed(context.now(), chunk.byteLength);
            session.write(context.now(), transformed(chunk, session.produced));
          }
      if (event.type !== 'exportDue') return;
      asked += 1;
      session.exportDeclined(context.now(), { hasExporter: true, tooLarge: asked === 1 });
    },
  });
  const scenario = new Scenario({ delivery: Delivery.Commit, app, length: 500 });
  scenario.world.until(() => asked === 1);
  scenario.client.write(pattern(500, 8));
  scenario.untilReceived(1000);
  assert.ok(asked > 1);
  assert.equal(scenario.client.session.isProtected, false);
});
