import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultDetectors } from './detectors.ts';
import { DEFAULT_CLIENT_TIMERS } from './limits.ts';
import { ServerPulses } from './server-pulses.ts';
import { VitalSignsMonitor } from './vital-signs.ts';

type Streams = Parameters<VitalSignsMonitor['probe']>[2];

/** Nothing is outstanding. */
const QUIET = { send: { sent: 0, acknowledged: 0 }, receive: { received: 0, heldBytes: 0 } } as Streams;
const SERVER = { name: 'a', host: '127.0.0.1', port: 1 };

function attached(pulses: ServerPulses | undefined, now: number): VitalSignsMonitor {
  const vitals = new VitalSignsMonitor(defaultDetectors(), now);
  vitals.attached(now, pulses?.of(SERVER));
  return vitals;
}

/** Looks as the session does, until `until`, and answers each PING a millisecond later. Answers when PINGs were sent. */
function pingsOf(
  vitals: VitalSignsMonitor,
  from: number,
  until: number,
  heard: (now: number) => void,
): number[] {
  const pings: number[] = [];
  for (let now = from; now < until; now += vitals.nextLookMs(now, DEFAULT_CLIENT_TIMERS)) {
    heard(now);
    const token = vitals.probe(now, DEFAULT_CLIENT_TIMERS, QUIET);
    if (token === undefined) continue;
    pings.push(now);
    vitals.alive(now + 1);
    vitals.pong(now + 1, token);
  }
  return pings;
}

test('a session that was answered asks for nothing while others hear of its server, until it is asleep', () => {
  const pulses = new ServerPulses();
  const other = attached(pulses, 0);
  const heard = (now: number): void => {
    other.alive(now);
  };
  const vitals = attached(pulses, 0);
  vitals.active(0, true);
  vitals.alive(1);
  vitals.active(1, false);
  const pings = pingsOf(vitals, 100, 40_000, heard);
  assert.deepEqual(pings.slice(0, 1), [100], 'the first session measures the round trip');
  assert.ok(pings.slice(1).every((at) => at > 15_000));
  assert.ok(pings.length >= 2, 'its own carrier is asked now and then');
});

for (const [what, pieces] of [
  ['that waits for an answer', 0],
  ['in the middle of a stream', 10],
] as const)
  test(`a session ${what} asks on its own carrier, whoever hears of its server`, () => {
    const pulses = new ServerPulses();
    const other = attached(pulses, 0);
    const heard = (now: number): void => {
      other.alive(now);
    };
    const shared = attached(pulses, 0);
    const alone = attached(undefined, 0);
    for (const vitals of [shared, alone]) {
      vitals.active(0, true);
      for (let piece = 0; piece < pieces; piece += 1) vitals.active(0, false);
    }
    const expected = pingsOf(alone, 100, 5000, heard);
    assert.ok(expected.length > 3);
    assert.deepEqual(pingsOf(shared, 100, 5000, heard), expected);
  });

test('a session takes the round trip that another has just measured to the same server, and no other one', () => {
  const pulses = new ServerPulses();
  const other = attached(pulses, 0);
  const token = other.probe(10, DEFAULT_CLIENT_TIMERS, QUIET);
  assert.ok(token !== undefined);
  other.pong(17, token);
  const vitals = attached(pulses, 20);
  assert.equal(vitals.probe(120, DEFAULT_CLIENT_TIMERS, QUIET), undefined);
  assert.equal(vitals.roundTripMs, 7);
  vitals.attached(200, pulses.of({ ...SERVER, port: 2 }));
  assert.notEqual(vitals.probe(300, DEFAULT_CLIENT_TIMERS, QUIET), undefined);
});
