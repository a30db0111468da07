import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import type { Carrier } from '../carriers/carrier.ts';
import { createMemoryPair } from '../carriers/memory.ts';
import type { CarrierFailure, Incoming } from '../session/client-events.ts';
import { FrameDecoder, encodeFrame } from '../wire/index.ts';
import { CarrierDriver, type Core } from './carrier-driver.ts';

/** Waits for an answer of cryptography behind the first frame, until it is told that there is one. */
class WaitingCore implements Core {
  readonly seen: string[] = [];
  #isBusy = false;

  answer(): void {
    this.#isBusy = false;
  }
  isBusy(): boolean {
    return this.#isBusy;
  }
  handleFrame(_now: number, _carrierId: number, frame: Incoming): void {
    this.#isBusy = this.seen.length === 0;
    this.seen.push(frame.frame);
  }
  handleCarrierLost(_now: number, _carrierId: number, { code }: CarrierFailure): void {
    this.seen.push(code);
  }
  setWritable(): void {
    return;
  }
  handleTimeout(): void {
    return;
  }
  pollTransmit(): undefined {
    return undefined;
  }
  pollTimeout(): undefined {
    return undefined;
  }
}

/** A driver with one carrier, and the other end of that. */
function attached(t: TestContext): { core: WaitingCore; driver: CarrierDriver; there: Carrier } {
  const core = new WaitingCore();
  const driver = new CarrierDriver(core, {
    drainEvents: () => false,
    carrierError: (_, error) => {
      throw error;
    },
  });
  t.after(() => driver.stop());
  const [here, there] = createMemoryPair();
  driver.attach(driver.takeCarrierId(), here, FrameDecoder.forCarrier('server'));
  return { core, driver, there };
}

test('what came before the end of a carrier is handled before that end, however long cryptography takes', async (t) => {
  const { core, driver, there } = attached(t);
  there.start({ onData: () => undefined, onDrain: () => undefined, onClose: () => undefined });
  there.write([encodeFrame('ping', { token: 1 }), encodeFrame('pong', { token: 2 })]);
  there.end();
  for (let turn = 0; turn < 5; turn += 1) await nextTurn();
  assert.deepEqual(core.seen, ['ping']);
  core.answer();
  driver.settle();
  assert.deepEqual(core.seen, ['ping', 'pong', 'ECONNRESET']);
  assert.equal(driver.carrierCount, 0);
});

test('while an answer is awaited no more is read than may follow an OPEN, and all of it once that is there', async (t) => {
  const { core, driver, there } = attached(t);
  let drained = 0;
  there.start({
    onData: () => undefined,
    onDrain: () => {
      drained += 1;
    },
    onClose: () => undefined,
  });
  const pongs = Buffer.concat(Array.from({ length: 1_000 }, (_, token) => encodeFrame('pong', { token })));
  there.write([encodeFrame('ping', { token: 1 })]);
  let written = 0;
  for (let goOn = true; goOn && written < 64 * 1024 * 1024;) {
    goOn = there.write([pongs]);
    written += pongs.byteLength;
    await nextTurn();
  }
  for (let turn = 0; turn < 5; turn += 1) await nextTurn();
  assert.ok(written < 2 * 1024 * 1024, `${written} bytes were taken`);
  assert.equal(drained, 0);
  assert.deepEqual(core.seen, ['ping']);
  core.answer();
  driver.settle();
  const frames = 1 + (written / pongs.byteLength) * 1_000;
  for (let turn = 0; turn < 50 && core.seen.length < frames; turn += 1) await nextTurn();
  assert.equal(core.seen.length, frames);
});

/** Answers each frame: at once, or in a later tick; writes down when its answer was asked for, and when peers' frames left. */
class AnsweringCore extends WaitingCore {
  readonly order: string[];
  readonly answers: (frame: Incoming) => void;
  readonly #unsent: number[] = [];

  constructor(order: string[], answers: (frame: Incoming) => void) {
    super();
    this.order = order;
    this.answers = answers;
  }
  override isBusy(): boolean {
    return false;
  }
  override handleFrame(_now: number, carrierId: number, frame: Incoming): void {
    this.#unsent.push(carrierId);
    this.answers(frame);
  }
  override pollTransmit(): undefined {
    if (this.#unsent.splice(0).length > 0) this.order.push('sent');
    return undefined;
  }
}

for (const [how, expected] of [
  ['at once', ['peers', 'sent', 'tick']],
  ['in a later tick', ['tick', 'peers', 'sent']],
] as const)
  test(`what an application answers ${how} leaves as soon as that, and what peers get before it`, async (t) => {
    const order: string[] = [];
    const core = new AnsweringCore(order, () => {
      process.nextTick(() => {
        order.push('tick');
        if (how !== 'at once') driver.written(1);
      });
      if (how === 'at once') driver.written(1);
    });
    const driver = new CarrierDriver(core, {
      drainEvents: () => false,
      carrierError: (_, error) => {
        throw error;
      },
      transmitting: () => order.push('peers'),
    });
    t.after(() => driver.stop());
    const [here, there] = createMemoryPair();
    driver.attach(driver.takeCarrierId(), here, FrameDecoder.forCarrier('server'));
    await nextTurn();
    order.length = 0;
    there.start({ onData: () => undefined, onDrain: () => undefined, onClose: () => undefined });
    there.write([encodeFrame('ping', { token: 1 })]);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    assert.deepEqual(order.slice(0, 3), expected);
  });

/** Sends a last word behind its first, as soon as cryptography, which it asks as the first one leaves, has made it. */
class PartingCore extends WaitingCore {
  readonly left: string[] = [];
  readonly unsent = ['first'];
  isAsking = false;

  override pollTransmit(): undefined {
    const word = this.unsent.shift();
    if (word === undefined) return undefined;
    this.left.push(word);
    this.isAsking = word === 'first';
    return undefined;
  }
}

test('what cryptography makes for a session as its bytes leave, follows them without anything else happening', async (t) => {
  const core = new PartingCore();
  const driver = new CarrierDriver(core, {
    drainEvents: () => {
      if (!core.isAsking) return false;
      core.isAsking = false;
      core.unsent.push('last');
      return true;
    },
    carrierError: (_, error) => {
      throw error;
    },
  });
  t.after(() => driver.stop());
  driver.schedule();
  await nextTurn();
  assert.deepEqual(core.left, ['first', 'last']);
});
