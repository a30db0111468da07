import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CandidateRace, type RaceHost } from './candidate-race.ts';
import type { Candidate, CarrierFailure } from './client-events.ts';

const A: Candidate = { name: 'a', host: 'a', port: 1 };
const B: Candidate = { name: 'b', host: 'b', port: 1 };

const LOST: CarrierFailure = { code: 'ECONNRESET', message: 'lost', reset: true };
const NO_GOOD: CarrierFailure = { code: 'ETIMEDOUT', message: 'no good', reset: false, redial: true };

class Host implements RaceHost {
  readonly dialled: string[] = [];
  #dials = 0;
  nextDialId(): number {
    this.#dials += 1;
    return this.#dials;
  }
  dial(dialId: number, { name }: Candidate): void {
    this.dialled.push(`${name}${dialId}`);
  }
  cancelDial(dialId: number): void {
    this.dialled.push(`cancel ${dialId}`);
  }
  hangUp(carrierId: number): void {
    this.dialled.push(`hang up ${carrierId}`);
  }
}

function raceOf(...order: readonly Candidate[]): { host: Host; race: CandidateRace } {
  const host = new Host();
  const race = new CandidateRace(host, { staggerMs: 100, order });
  race.advance(0);
  return { host, race };
}

test('a candidate that fails makes room for the next one, and is not dialled again', () => {
  const { host, race } = raceOf(A, B);
  race.handleFailed(0, 1, LOST);
  race.handleConnected(2, 7, undefined);
  race.handleLost(0, 7, LOST);
  assert.deepEqual(host.dialled, ['a1', 'b2']);
  assert.ok(race.isExhausted);
});

describe('a candidate whose connection was no good', () => {
  for (const [when, fail] of [
    ['when it was dialled', (race: CandidateRace, dialId: number) => race.handleFailed(0, dialId, NO_GOOD)],
    [
      'once it was set up',
      (race: CandidateRace, dialId: number) => {
        race.handleConnected(dialId, 10 + dialId, undefined);
        race.handleLost(0, 10 + dialId, NO_GOOD);
      },
    ],
    [
      'when it was in use',
      (race: CandidateRace, dialId: number) => {
        race.handleConnected(dialId, 10 + dialId, undefined);
        const taken = race.take(true);
        assert.ok(taken);
        race.redial(taken.candidate, NO_GOOD);
        race.advance(0);
      },
    ],
  ] as const)
    test(`${when}, is dialled once more, before the others, and no third time`, () => {
      const { host, race } = raceOf(A, B);
      fail(race, 1);
      assert.deepEqual(host.dialled, ['a1', 'a2']);
      fail(race, 2);
      assert.deepEqual(host.dialled, ['a1', 'a2', 'b3']);
      fail(race, 3);
      assert.deepEqual(host.dialled, ['a1', 'a2', 'b3', 'b4']);
      fail(race, 4);
      assert.ok(race.isExhausted);
    });
});

test('a failure of a dial that was given up says nothing', () => {
  const { host, race } = raceOf(A, B);
  race.end();
  assert.equal(race.handleFailed(0, 1, NO_GOOD), false);
  assert.deepEqual(host.dialled, ['a1', 'cancel 1']);
});
