import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { BusyPoll, busyPoll } from './busy-poll.ts';
import { SocketCarrier } from './tcp.ts';

const BUDGET_MS = 0.1;
const SMALL = 64;

/** A loop whose turns take 1 µs while nothing comes. */
class World {
  nowMs = 1;
  turns = 0;
  readonly #next: (() => void)[] = [];
  readonly poll = new BusyPoll({
    now: () => this.nowMs,
    nextTurn: (callback) => void this.#next.push(callback),
  });

  /** Writes, and reads the answer so many microseconds later; answers for how many turns the loop did not sleep meanwhile. */
  exchange(answerUs: number, { bytes = SMALL, budgetMs = BUDGET_MS } = {}): number {
    const before = this.turns;
    this.poll.wrote(bytes, budgetMs);
    const answeredAt = this.nowMs + answerUs / 1_000;
    this.turnUntil(answeredAt);
    this.poll.read();
    return this.turns - before;
  }

  turnUntil(untilMs: number): void {
    while (this.#next.length > 0 && this.nowMs < untilMs) {
      this.nowMs += 0.001;
      this.turns += 1;
      for (const callback of this.#next.splice(0)) callback();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }
}

/** As many exchanges as make a habit. */
function accustomed(answerUs: number, options = {}): World {
  const world = new World();
  for (let exchange = 0; exchange < 32; exchange += 1) world.exchange(answerUs, options);
  return world;
}

test('a process that was answered quickly a few times looks for the next answer until it comes', () => {
  const world = new World();
  const turns = Array.from({ length: 12 }, () => world.exchange(20));
  assert.deepEqual(turns.slice(0, 8), [0, 0, 0, 0, 0, 0, 0, 0]);
  for (const looked of turns.slice(8)) assert.ok(looked >= 19 && looked <= 21, String(looked));
});

test('nobody looks for answers that take longer', () => {
  const world = accustomed(500);
  assert.equal(world.turns, 0);
});

test('what takes a little longer than it is looked for is given up, and tried again now and then', () => {
  const world = accustomed(150);
  world.turns = 0;
  for (let exchange = 0; exchange < 100; exchange += 1) world.exchange(150);
  assert.ok(world.turns > 0 && world.turns <= 25 * 101, String(world.turns));
});

test('an answer that does not come is looked for no longer than was allowed', () => {
  const world = accustomed(20);
  world.turns = 0;
  world.poll.wrote(SMALL, BUDGET_MS);
  assert.equal(world.poll.isLooking, true);
  world.turnUntil(world.nowMs + 10);
  assert.equal(world.poll.isLooking, false);
  assert.ok(world.turns >= 99 && world.turns <= 101, String(world.turns));
});

test('three slow answers in a row, and nobody looks any more', () => {
  const world = accustomed(20);
  for (let exchange = 0; exchange < 3; exchange += 1) world.exchange(1_000);
  assert.equal(world.exchange(20), 0);
});

test('a process that has read, and writes nothing, sleeps', () => {
  const world = accustomed(20);
  assert.ok(world.poll.isLooking, 'it looked until the last answer');
  world.turnUntil(world.nowMs + 0.005);
  assert.equal(world.poll.isLooking, false);
});

test('neither bulk streams nor an allowance of 0 begin to look', () => {
  assert.equal(accustomed(20, { bytes: 64 * 1024 }).turns, 0);
  assert.equal(accustomed(20, { budgetMs: 0 }).turns, 0);
});

test('a process to which several messages come at once does not look for them, but tries again later', () => {
  const world = accustomed(20);
  const crowd = (): void => {
    for (let message = 0; message < 3; message += 1) {
      world.poll.read();
      world.poll.wrote(SMALL, BUDGET_MS);
    }
    world.turnUntil(world.nowMs + 0.001);
  };
  let turns = 0;
  for (; world.poll.isLooking && turns < 100; turns += 1) crowd();
  assert.equal(turns, 8, 'the turns that it takes to see it');
  world.turns = 0;
  for (let exchange = 0; exchange < 1_000; exchange += 1) crowd();
  assert.ok(world.turns > 0 && world.turns <= 100, `looked in ${world.turns} of 1,000 turns`);
  for (let exchange = 0; exchange < 300; exchange += 1) world.exchange(20);
  assert.ok(world.exchange(20) > 0, 'one message at a time again');
});

test('carriers over sockets look only if they are told to, and the process sleeps when they are done', async () => {
  const server = net.createServer((socket) => socket.on('data', (chunk) => socket.write(chunk)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const looks = async (busyPollMs: number | undefined): Promise<number> => {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const carrier = new SocketCarrier(socket);
    if (busyPollMs !== undefined) carrier.setBusyPoll(busyPollMs);
    let looked = 0;
    let left = 200;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    carrier.start({
      onData: () => {
        if (busyPoll.isLooking) looked += 1;
        left -= 1;
        if (left === 0) resolve(undefined);
        else carrier.write([Buffer.alloc(SMALL)]);
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    carrier.write([Buffer.alloc(SMALL)]);
    await promise;
    while (busyPoll.isLooking) await new Promise(setImmediate);
    carrier.destroy();
    return looked;
  };
  assert.equal(await looks(undefined), 0);
  // Generous: the test's machine may be busy, and what is too slow is not looked for.
  assert.ok((await looks(100)) > 100);
  assert.equal(await looks(0), 0);
  server.close();
});
