/**
 * Random faults in virtual time. One seed draws the world, the transfer and every fault; a failing test prints it.
 * `GODWIT_SEEDS=17,18 node --test …` runs those seeds alone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cause, Delivery } from '../../packages/godwit/src/wire/index.ts';
import { fileApp, pattern, transformApp, transformed } from '../world/server-apps.ts';
import { World } from '../world/world.ts';
import { assertNoLeaks } from '../world/leaks.ts';

const SEEDS = 300;
const BLOCK = 25;
const NAMES = ['a', 'b', 'c'];
/** Faults come within this time, in ms; afterwards the world is whole and the transfer must end. */
const FAULTS_UNTIL_MS = 4000;

interface Transfer {
  readonly app: ReturnType<typeof transformApp>;
  readonly input: Uint8Array;
  readonly expected: Uint8Array;
}

function transferOf(world: World, delivery: Delivery): Transfer {
  const length = Math.floor(10 ** (3 + world.random() * 3.5));
  const chunk = 64 * 1024;
  if (world.random() < 0.5) {
    const input = pattern(length, 7);
    const exports =
      delivery === Delivery.Commit || world.random() < 0.5
        ? Math.floor(512 + world.random() * chunk)
        : 'pulled';
    const stateBytes = world.random() < 0.3 ? Math.floor(world.random() * 20_000) : 0;
    return { app: transformApp({ exports, stateBytes }), input, expected: transformed(input, 0) };
  }
  const app = fileApp({
    length,
    seed: 9,
    exports: 'pulled',
    ...(delivery === Delivery.Commit && { commitEvery: chunk }),
  });
  return { app, input: new Uint8Array(0), expected: pattern(length, 9) };
}

function soak(seed: number): void {
  const world = new World({ seed, latencyMs: 0.1 + (seed % 7) });
  const delivery = seed % 2 === 0 ? Delivery.Replay : Delivery.Commit;
  const { app, input, expected } = transferOf(world, delivery);
  const small = world.random() < 0.5;
  const limits = small
    ? {
        receiveWindowBytes: 64 * 1024,
        outputTailBytes: 96 * 1024,
        inputLogBytes: 48 * 1024,
        snapshotIntervalBytes: 32 * 1024,
      }
    : {};
  world.addServers(NAMES, { delivery, app, limits });
  const windowBytes = 64 * 1024 * 2 ** Math.floor(world.random() * 5);
  const client = world.connect({
    servers: NAMES,
    ...(seed % 3 === 0 && { cryptoDelayMs: () => world.random() * 2 }),
    timers: { giveUpTimeoutMs: 60_000 },
    limits: {
      receiveWindowBytes: windowBytes,
      retainLimitBytes: windowBytes * 2,
      sendBufferBytes: windowBytes,
      digestWindowBytes: windowBytes / 4,
    },
  });
  const pick = (): string => NAMES[Math.floor(world.random() * NAMES.length)] as string;

  const faults: (() => void)[] = [
    () => {
      const name = world.random() < 0.7 ? client.session.serverName || pick() : pick();
      if (!world.server(name).isAlive) return;
      world.server(name).kill(world.random() < 0.2);
      world.scheduler.after(world.random() * 500, () => world.start(name));
    },
    () => {
      for (const pipe of world.pipes) if (!pipe.isClosed && world.random() < 0.5) pipe.cut();
    },
    () => {
      for (const pipe of world.pipes)
        if (!pipe.isClosed && world.random() < 0.3)
          pipe.cutAfter[world.random() < 0.5 ? 0 : 1] = pipe.sent(0) + Math.floor(world.random() * 3000);
    },
    () => {
      const server = world.servers.get(client.session.serverName);
      const session = server?.node.session(client.session.id);
      const to = pick();
      if (server?.isAlive && session)
        server.node.migrate(
          world.now,
          session,
          world.random() < 0.3 ? undefined : { name: to, host: to, port: 1 },
        );
      server?.poke();
    },
    () => {
      client.do((session, now) => session.migrate(now, { cause: Cause.Application }));
    },
    () => {
      const server = world.servers.get(client.session.serverName);
      if (!server?.isAlive) return;
      server.suspend();
      world.scheduler.after(world.random() * 3000, () => {
        server.resume();
      });
    },
    () => {
      const [from, to] = [pick(), pick()];
      if (from === to) return;
      world.partition(from, to);
      world.scheduler.after(world.random() * 2000, () => {
        world.heal();
      });
    },
    () => {
      if (client.closed === undefined) client.standby(pick());
    },
  ];
  client.write(input);
  world.until(() => client.session.state !== 'opening', 10_000, 'opening');
  if (world.random() < 0.3) client.standby(pick());
  const count = 1 + Math.floor(world.random() * 12);
  for (let i = 0; i < count; i += 1) {
    const fault = faults[Math.floor(world.random() * faults.length)] as () => void;
    world.scheduler.after(world.random() * (i % 4 === 0 ? FAULTS_UNTIL_MS : 40 * world.latencyMs), fault);
  }
  world.scheduler.after(world.random() * FAULTS_UNTIL_MS, () => {
    client.end();
  });
  world.until(
    () => client.closed !== undefined && world.now > FAULTS_UNTIL_MS + 4000,
    200_000,
    'the end of the transfer',
  );
  assert.equal(client.closed?.failure, undefined);
  assert.deepEqual(client.receivedBytes, expected.byteLength);
  assert.ok(Buffer.from(client.received).equals(Buffer.from(expected)), 'the output is exact');
  assert.equal(client.ended, true);
  assertNoLeaks(world, client);
}

const chosen = process.env.GODWIT_SEEDS?.split(',').map(Number);
const seeds = chosen ?? Array.from({ length: SEEDS }, (_, i) => i + 1);

for (let at = 0; at < seeds.length; at += BLOCK) {
  const block = seeds.slice(at, at + BLOCK);
  test(`random faults leave the transfer exact: seeds ${block[0]} … ${block.at(-1)}`, () => {
    const failures: string[] = [];
    for (const seed of block) {
      try {
        soak(seed);
      } catch (error) {
        failures.push(`seed ${seed}: ${(error as Error).stack}`);
      }
    }
    assert.equal(failures.length, 0, failures.join('\n'));
  });
}
