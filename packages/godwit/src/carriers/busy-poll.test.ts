import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { BusyPoll, busyPoll } from './busy-poll.ts';
import { SocketCarrier } from './tcp.ts';

const BUDGET_MS = 0.1;
const SMALL = 64;
/** What a process that sleeps needs more until it has read. */
const WAKE_US = 25;

/** A loop whose turns take 1 µs while nothing comes. */
class World {
  nowMs = 1;
  turns = 0;
  preemptions = 0;
  wakeUs = WAKE_US;
  readonly #next: (() => void)[] = [];
  readonly poll = new BusyPoll({
    now: () => this.nowMs,
    nextTurn: (callback) => void this.#next.push(callback),
    preemptions: () => this.preemptions,
  });

  /** Writes, and reads the answer so many microseconds later; answers for how many turns the loop did not sleep meanwhile. */
  exchange(answerUs: number, { bytes = SMALL, budgetMs = BUDGET_MS } = {}): number {
    const before = this.turns;
    this.poll.wrote(bytes, budgetMs);
    const answeredAt = this.nowMs + (answerUs + (this.poll.isLooking ? 0 : this.wakeUs)) / 1_000;
    this.turnUntil(answeredAt);
    this.poll.read();
    return this.turns - before;
  }

  /** Turns that so many exchanges took. */
  exchanges(count: number, answerUs: number, options = {}): number {
    const before = this.turns;
    for (let exchange = 0; exchange < count; exchange += 1) this.exchange(answerUs, options);
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
  world.exchanges(100, answerUs, options);
  return world;
}

test('fake timers of a test of the application do not stop it, nor does it stop them', async (t) => {
  const exchange = (): void => {
    busyPoll.wrote(SMALL, BUDGET_MS);
    if (!busyPoll.isLooking) busyPoll.read();
  };
  t.mock.timers.enable({ apis: ['setImmediate'] });
  for (let left = 1_000; left > 0 && !busyPoll.isLooking; left -= 1) exchange();
  assert.equal(busyPoll.isLooking, true);
  t.mock.timers.reset();
  for (let turn = 0; turn < 100_000 && busyPoll.isLooking; turn += 1) await new Promise(setImmediate);
  assert.equal(busyPoll.isLooking, false);
});

test('a process that was answered quickly for a while looks for the next answer until it comes', () => {
  const world = new World();
  assert.equal(world.exchanges(64, 20), 0);
  for (let exchange = 0; exchange < 200; exchange += 1) {
    const looked = world.exchange(20);
    assert.ok(looked >= 19 && looked <= 21, String(looked));
  }
});

test('nobody looks for answers that take longer', () => {
  assert.equal(accustomed(500).turns, 0);
});

test('what takes a little longer than it is looked for is given up, and tried again now and then', () => {
  const looked = accustomed(150).exchanges(1_000, 150);
  assert.ok(looked > 0 && looked <= 250 * 101, String(looked));
});

test('an answer that does not come is looked for no longer than was allowed, and then it is forgotten', () => {
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
  world.exchanges(3, 1_000);
  assert.equal(world.exchange(20), 0);
});

test('who writes on and on and is not answered sleeps', () => {
  const world = accustomed(20);
  world.turns = 0;
  for (let write = 0; write < 1_000; write += 1) {
    world.poll.wrote(SMALL, BUDGET_MS);
    world.turnUntil(world.nowMs + 0.09);
  }
  assert.ok(world.turns < 1_000, `${world.turns} turns in 90 ms`);
});

test('several writes before something comes are one wait', () => {
  const world = new World();
  for (let exchange = 0; exchange < 100; exchange += 1) {
    world.poll.wrote(SMALL, BUDGET_MS);
    world.nowMs += 0.001;
    world.exchange(20);
  }
  assert.ok(world.turns > 0);
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

test('where answers come no sooner for being looked for, that is tried less and less', () => {
  const world = new World();
  world.wakeUs = 1;
  world.exchanges(5_000, 20);
  const looked = world.exchanges(16_000, 20);
  assert.ok(looked < 16_000 * 20 * 0.08, `looked for ${looked / 20} of 16,000 answers`);
});

test('where others need the processor nobody looks, however quick the answers are', () => {
  const world = new World();
  for (let exchange = 0; exchange < 20_000; exchange += 1) if (world.exchange(20) > 0) world.preemptions += 1;
  assert.ok(world.preemptions < 20_000 * 0.08 + 256, `looked for ${world.preemptions} of 20,000 answers`);
  world.preemptions = 0;
  world.exchanges(5_000, 20);
  assert.ok(world.exchange(20) > 0, 'the others are gone');
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
  assert.ok(world.turns <= 100, `looked in ${world.turns} of 1,000 turns`);
  world.exchanges(20_000, 20);
  assert.ok(world.exchange(20) > 0, 'one message at a time again');
});

test('carriers over sockets look only if they are told to, and the process sleeps when they are done', async () => {
  const server = net.createServer((socket) => socket.on('data', (chunk) => socket.write(chunk)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const looks = async (set: (carrier: SocketCarrier) => void, bytes = SMALL): Promise<number> => {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const carrier = new SocketCarrier(socket);
    set(carrier);
    let looked = 0;
    let missing = bytes;
    let left = 300;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    carrier.start({
      onData: (chunk) => {
        missing -= chunk.byteLength;
        if (missing > 0) return;
        if (busyPoll.isLooking) looked += 1;
        left -= 1;
        missing = bytes;
        if (left === 0) resolve(undefined);
        else carrier.write([Buffer.alloc(bytes)]);
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    carrier.write([Buffer.alloc(bytes)]);
    await promise;
    while (busyPoll.isLooking) await new Promise(setImmediate);
    carrier.destroy();
    return looked;
  };
  assert.equal(await looks(() => undefined), 0);
  assert.equal(await looks((carrier) => carrier.setBusyPoll(0)), 0);
  assert.equal(await looks((carrier) => carrier.setBusyPoll(1_000), 64 * 1024), 0, 'large writes');
  const unreferenced = (carrier: SocketCarrier): void => {
    carrier.setBusyPoll(1_000);
    carrier.unref();
  };
  assert.equal(await looks(unreferenced), 0, 'it would keep the process alive');
  // Last: behind it looking pauses, since both ends are in this process, and none is woken.
  assert.ok((await looks((carrier) => carrier.setBusyPoll(1_000))) > 50);
  server.close();
});
