import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { RateMeter } from './rate-meter.ts';

test('what is done in the warm-up does not count, and time runs between two things done', async () => {
  let nowMs = 0;
  const clock = mock.method(performance, 'now', () => nowMs);
  const meter = new RateMeter({ warmUpMs: 100, measureMs: 50 });
  const at = (ms: number, amount: number): void => {
    nowMs = ms;
    meter.add(amount);
  };
  at(10, 1_000);
  at(99, 1_000);
  at(110, 500); // the stretch begins here, behind these
  at(120, 7);
  at(159, 3);
  assert.equal(meter.over, false);
  at(165, 5); // and ends here, with these
  assert.equal(meter.over, true);
  at(170, 9_999);
  clock.mock.restore();
  assert.deepEqual(await meter.rate, { count: 15, seconds: 0.055, total: 2_515 });
});
