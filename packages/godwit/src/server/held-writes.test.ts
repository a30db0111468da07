import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { HeldWrites } from './held-writes.ts';

/** A stream whose writes wait until they are told to go on. */
function slow(highWaterMark: number): { stream: Duplex; goOn: () => void; drains: () => number } {
  const waiting: (() => void)[] = [];
  let drains = 0;
  const stream = new Duplex({
    writableHighWaterMark: highWaterMark,
    read: () => undefined,
    write: (_chunk, _encoding, callback) => void waiting.push(callback),
  });
  stream.on('drain', () => (drains += 1));
  return {
    stream,
    drains: () => drains,
    goOn: () => {
      for (let callback = waiting.shift(); callback !== undefined; callback = waiting.shift()) callback();
    },
  };
}

test('whoever was told to wait hears of it once, with room in the stream and without', async () => {
  for (const bytes of [1, 10, 11]) {
    const { stream, goOn, drains } = slow(10);
    const held = new HeldWrites(stream);
    held.hold();
    assert.equal(stream.write(Buffer.alloc(bytes)), false);
    held.release();
    goOn();
    await setImmediate();
    assert.equal(drains(), 1, `${bytes} bytes`);
    assert.equal(stream.write(Buffer.alloc(1)), true);
  }
});

test('no drain is due to a stream that has ended, nor to one that was destroyed', async () => {
  for (const over of [
    (stream: Duplex): unknown => stream.end('x'),
    (stream: Duplex): unknown => stream.destroy(),
  ]) {
    const { stream, drains } = slow(10);
    const held = new HeldWrites(stream);
    held.hold();
    stream.write('x');
    over(stream);
    held.release();
    await setImmediate();
    assert.equal(drains(), 0);
  }
});

test('held twice in one tick, it owes one drain; a write that was kept from then is an ordinary one', async () => {
  const { stream, drains } = slow(10);
  const held = new HeldWrites(stream);
  held.hold();
  const kept = stream.write.bind(stream);
  stream.write('x');
  held.release();
  held.hold();
  await setImmediate();
  assert.equal(drains(), 0);
  held.release();
  await setImmediate();
  assert.equal(drains(), 1);
  assert.equal(kept('y'), true);
});

test('a write of somebody else is left alone', () => {
  const { stream } = slow(10);
  const own = (): boolean => true;
  stream.write = own;
  const held = new HeldWrites(stream);
  held.hold();
  assert.equal(stream.write, own);
  held.release();
  assert.equal(stream.write, own);
});
