import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { Deadline, DeadlineHeap } from './timers.ts';

/** Deadlines under node's mocked clock: `performance.now` is not mocked, so it is made to follow. */
function underMockedTime(run: (heap: DeadlineHeap, advance: (ms: number) => void) => void): void {
  let time = 0;
  mock.timers.enable({ apis: ['setTimeout'] });
  const clock = mock.method(performance, 'now', () => time);
  try {
    run(new DeadlineHeap(), (ms) => {
      for (let step = 0; step < ms; step += 1) {
        time += 1;
        mock.timers.tick(1);
      }
    });
  } finally {
    clock.mock.restore();
    mock.timers.reset();
  }
}

describe('deadlines under one timer', () => {
  test('come in order, each once', () => {
    underMockedTime((heap, advance) => {
      const fired: number[] = [];
      for (const due of [30, 10, 20, 10, 50]) new Deadline(() => fired.push(due), heap).set(due);
      advance(29);
      assert.deepEqual(fired, [10, 10, 20]);
      advance(100);
      assert.deepEqual(fired, [10, 10, 20, 30, 50]);
      assert.equal(heap.size, 0);
    });
  });

  test('move to later and to earlier', () => {
    underMockedTime((heap, advance) => {
      const fired: string[] = [];
      const later = new Deadline(() => fired.push('later'), heap);
      const earlier = new Deadline(() => fired.push('earlier'), heap);
      later.set(10);
      earlier.set(40);
      later.set(60);
      earlier.set(20);
      advance(25);
      assert.deepEqual(fired, ['earlier']);
      advance(40);
      assert.deepEqual(fired, ['earlier', 'later']);
    });
  });

  test('that are taken away do not come, and leave no timer behind', () => {
    underMockedTime((heap, advance) => {
      const deadline = new Deadline(() => assert.fail('it was taken away'), heap);
      deadline.set(10);
      deadline.set(undefined);
      assert.equal(heap.size, 0);
      advance(20);
    });
  });

  test('may be set again by what they call', () => {
    underMockedTime((heap, advance) => {
      let count = 0;
      const deadline: Deadline = new Deadline(() => {
        count += 1;
        if (count < 3) deadline.set(count * 10 + 10);
      }, heap);
      deadline.set(10);
      advance(100);
      assert.equal(count, 3);
    });
  });

  test('a thousand of them, set by a fixed pattern, all come at their time', () => {
    underMockedTime((heap, advance) => {
      let last = 0;
      let count = 0;
      for (let index = 0; index < 1_000; index += 1) {
        const due = ((index * 7_919) % 997) + 1;
        new Deadline(() => {
          assert.ok(due >= last);
          last = due;
          count += 1;
        }, heap).set(due);
      }
      advance(1_000);
      assert.equal(count, 1_000);
    });
  });
});
