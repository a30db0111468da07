/** Servers whose cryptography answers later, and in another order, as Web Crypto does: on every path a session can take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cause } from '../../packages/godwit/src/wire/index.ts';
import { MODES, Scenario, type ScenarioOptions } from '../world/scenario.ts';
import { transformApp } from '../world/server-apps.ts';

const address = (name: string): { name: string; host: string; port: number } => ({
  name,
  host: name,
  port: 1,
});

/** Each answer takes its own time: 0 … `most` ms, drawn from the seed. */
function jitter(most: number, seed: number): () => number {
  let x = seed >>> 0 || 1;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return (x / 2 ** 32) * most;
  };
}

const DELAYS: readonly (readonly [
  name: string,
  delay: (seed: number) => () => number,
  clientDelay: (seed: number) => (() => number) | undefined,
])[] = [
  ['always 4 ms', () => () => 4, () => undefined],
  ['0 … 15 ms at both ends', (seed) => jitter(15, seed), (seed) => jitter(15, seed + 1000)],
];

interface Fault {
  readonly name: string;
  readonly strike: (scenario: Scenario) => void;
}

function restart(scenario: Scenario, name: string): void {
  const server = scenario.world.server(name);
  if (!server.isAlive) return;
  server.kill();
  scenario.world.scheduler.after(100, () => scenario.world.start(name));
}
function cut(scenario: Scenario, name: string): void {
  for (const pipe of scenario.client.pipesTo(name)) pipe.cut();
}

const FAULTS: readonly Fault[] = [
  { name: 'nothing', strike: () => undefined },
  { name: 'the origin dies', strike: (scenario) => restart(scenario, 'a') },
  { name: 'the destination dies', strike: (scenario) => restart(scenario, 'b') },
  { name: "the origin's carrier breaks", strike: (scenario) => cut(scenario, 'a') },
  { name: "the destination's carrier breaks", strike: (scenario) => cut(scenario, 'b') },
  {
    name: 'the link between them breaks',
    strike: ({ world }) => {
      world.breakPeerLink('a', 'b');
    },
  },
];

for (const { name: mode, delivery } of MODES) {
  for (const [pace, delay, clientDelay] of DELAYS) {
    const slow = (seed: number, options: ScenarioOptions = {}): Scenario => {
      const cryptoDelayMs = clientDelay(seed);
      return new Scenario({
        delivery,
        length: 60_000,
        ...options,
        server: { cryptoDelayMs: delay(seed), ...options.server },
        client: { servers: ['a', 'b', 'c'], ...(cryptoDelayMs && { cryptoDelayMs }), ...options.client },
      });
    };

    for (const fault of FAULTS) {
      test(`at any instant of a planned move: ${fault.name} (${pace}, ${mode})`, () => {
        for (let at = 0; at < 80; at += 4) {
          const scenario = slow(at + 1);
          scenario.untilReceived(20_000);
          scenario.trigger('b');
          scenario.world.run(at);
          fault.strike(scenario);
          scenario.finishExactly();
        }
      });
    }

    test(`a move over a standby, round all servers and home again (${pace}, ${mode})`, () => {
      for (let seed = 1; seed <= 4; seed += 1) {
        const scenario = slow(seed, { length: 200_000 });
        scenario.untilReceived(1000);
        ['b', 'c', 'a', 'b'].forEach((to, index) => {
          scenario.client.standby(to);
          scenario.world.run(60);
          const { node } = scenario.world.server(to);
          node.trigger(scenario.world.now, scenario.client.session.sessionId, address(to));
          scenario.world.server(to).poke();
          scenario.untilMigrated(index + 1);
        });
        scenario.finishExactly();
      }
    });

    test(`a fresh carrier to the same server, while bytes still come and go on the old one (${pace}, ${mode})`, () => {
      for (let at = 0; at < 30; at += 2.5) {
        const scenario = slow(at + 1, {
          length: 300_000,
          client: { limits: { receiveWindowBytes: 65_536 } },
        });
        scenario.untilReceived(20_000);
        scenario.world.run(at / 3);
        scenario.client.do((session, now) =>
          session.migrate(now, { to: address('a'), cause: Cause.AddressChanged }),
        );
        scenario.untilMigrated(1);
        assert.equal(scenario.client.migrations[0]?.source, 'resume');
        scenario.finishExactly();
      }
    });

    test(`a crash, with a state that does not fit into MIGRATE (${pace}, ${mode})`, () => {
      const app = transformApp({ exports: 4096, stateBytes: 5000 });
      for (let seed = 1; seed <= 6; seed += 1) {
        const scenario = slow(seed, {
          app,
          length: 200_000,
          server: { limits: { snapshotIntervalBytes: 8192, snapshotShare: 0, receiveWindowBytes: 65_536 } },
        });
        for (const bytes of [30_000, 90_000]) {
          scenario.untilReceived(bytes);
          restart(scenario, scenario.client.session.serverName);
        }
        scenario.finishExactly();
      }
    });

    test(`an origin that only the client reaches, and one that reaches nobody (${pace}, ${mode})`, () => {
      for (let at = 0; at < 20; at += 1) {
        const scenario = slow(at + 1);
        scenario.untilReceived(20_000);
        scenario.world.partition('a', 'b');
        scenario.trigger('b');
        if (at % 2 === 1) {
          scenario.world.run(at * 60);
          scenario.world.partition('client', 'a');
        }
        scenario.finishExactly();
      }
    });

    test(`an OPEN that is answered too late, and repeated (${pace}, ${mode})`, () => {
      for (let attachTimeoutMs = 2; attachTimeoutMs < 80; attachTimeoutMs += 4) {
        const scenario = slow(attachTimeoutMs, {
          client: {
            servers: ['a', 'b', 'a', 'c', 'a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c'],
            limits: { maxServers: 64 },
            timers: { attachTimeoutMs },
          },
        });
        scenario.world.until(() => scenario.client.closed !== undefined || scenario.client.receivedBytes > 0);
        if (scenario.client.closed) assert.equal(scenario.client.closed.failure?.code, 'ETIMEDOUT');
        else scenario.finishExactly();
      }
    });

    test(`either end resets it at any instant of a move (${pace}, ${mode})`, () => {
      for (let at = 0; at < 60; at += 4) {
        for (const end of ['client', 'origin'] as const) {
          const scenario = slow(at + 1);
          const { world, client } = scenario;
          scenario.untilReceived(20_000);
          const session = world.server('a').node.session(client.session.id);
          assert.ok(session);
          scenario.trigger('b');
          world.run(at);
          if (end === 'client') client.do((own, now) => own.reset(now));
          else {
            session.reset(world.now);
            world.server('a').poke();
            client.end();
          }
          world.until(() => client.closed !== undefined);
          world.run(200_000);
          for (const name of ['a', 'b', 'c']) assert.equal(world.server(name).node.sessionCount, 0, name);
          for (const name of ['a', 'b', 'c']) assert.equal(world.server(name).node.population.requests, 0);
        }
      }
    });
  }
}

test('a client whose cryptography takes its time hears why its session ended, though the carrier closes first', () => {
  const scenario = slowAtTheClient({ app: transformApp({ exports: 'never', divergent: true }) });
  scenario.untilReceived(20_000);
  scenario.world.server('a').kill();
  const { client, world } = scenario;
  world.until(() => client.closed !== undefined, 60_000, 'the end of the session');
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_DIVERGED');
  assert.equal(client.migrations.length, 1, 'one server executed again, and said what it found');
});

test('an application that exports before it hears that its session is over does no harm', () => {
  const exported: number[] = [];
  const scenario = slowAtTheClient({
    server: { cryptoDelayMs: () => 4 },
    app: (session, restart, context) => {
      const app = transformApp({ exports: 'never', divergent: true })(session, restart, context);
      return {
        handle: (event) => {
          app.handle(event);
          if (event.type !== 'readable' || !restart || session.state === 'ended') return;
          // As an application that counts what it gave to `write`.
          session.write(context.now(), new Uint8Array(10));
          const options = {
            state: new Uint8Array(1),
            input: session.received,
            output: session.produced + 10,
          };
          if (session.isResetting) session.exportState(context.now(), options);
          if (session.isResetting) exported.push(options.output);
        },
      };
    },
  });
  scenario.untilReceived(20_000);
  scenario.world.server('a').kill();
  const { client, world } = scenario;
  world.until(() => client.closed !== undefined, 60_000, 'the end of the session');
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_DIVERGED');
  assert.ok(exported.length > 0, 'it exported while its session was being reset');
});

function slowAtTheClient(options: ScenarioOptions): Scenario {
  return new Scenario({
    length: 60_000,
    ...options,
    client: { servers: ['a', 'b', 'c'], cryptoDelayMs: () => 4, ...options.client },
  });
}
