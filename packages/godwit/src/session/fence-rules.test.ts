import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireCode } from '../wire/index.ts';
import { decideFence, type FenceQuestion, type FenceRecord } from './fence-rules.ts';

const at = (epoch: number, k: number): { epoch: number; k: number } => ({ epoch, k });

/** Server a went live under epoch 4, and released the tickets 6 and 7, of which the first arrived. */
const RECORD: FenceRecord = {
  epoch: 4,
  owner: 'copy a',
  server: 'a',
  newest: at(4, 7),
  acknowledged: at(4, 6),
  ended: false,
};

function ask(change: Partial<FenceQuestion>, record: FenceRecord | undefined = RECORD): unknown {
  const verdict = decideFence(record, {
    kind: 'advance',
    sessionId: new Uint8Array(16),
    secret: new Uint8Array(32),
    epoch: 5,
    heldEpoch: 0,
    owner: 'copy b',
    server: 'b',
    point: at(4, 7),
    acknowledged: at(4, 7),
    floor: 'acknowledged',
    ...change,
  });
  return verdict.kind === 'refused' ? verdict.code : (verdict.next ?? 'granted');
}

test('a server goes live under a higher epoch, and the record is its own then', () => {
  assert.deepEqual(ask({}), {
    epoch: 5,
    owner: 'copy b',
    server: 'b',
    newest: at(4, 7),
    acknowledged: at(4, 7),
    ended: false,
  });
});

test('of two copies that go live under one epoch, the second is refused', () => {
  const first = ask({}) as FenceRecord;
  assert.equal(ask({ owner: 'copy c', server: 'c' }, first), WireCode.StaleEpoch);
});

test('the owner releases ticket after ticket, and the record never falls', () => {
  const mine = { owner: 'copy a', server: 'a', epoch: 4, heldEpoch: 4 };
  const next = ask({ ...mine, point: at(4, 8), acknowledged: at(4, 7) }) as FenceRecord;
  assert.deepEqual([next.newest, next.acknowledged], [at(4, 8), at(4, 7)]);
  const again = ask({ ...mine, point: at(4, 7), acknowledged: at(4, 6) }, next) as FenceRecord;
  assert.deepEqual([again.newest, again.acknowledged], [at(4, 8), at(4, 7)]);
});

test('a copy that was left behind advances nothing, under whatever epoch it comes', () => {
  const moved = ask({}) as FenceRecord;
  const zombie = { owner: 'copy a', server: 'a', heldEpoch: 4, point: at(4, 9) };
  assert.equal(ask({ ...zombie, epoch: 4 }, moved), WireCode.StaleEpoch);
  assert.equal(ask({ ...zombie, epoch: 6 }, moved), WireCode.StaleEpoch);
  assert.equal(ask({ ...zombie, kind: 'check', epoch: 6 }, moved), WireCode.StaleEpoch);
});

test('a copy that went live while the fence was away takes its record later', () => {
  const next = ask({ epoch: 5, heldEpoch: 5, point: at(5, 8) }) as FenceRecord;
  assert.deepEqual([next.epoch, next.owner, next.newest], [5, 'copy b', at(5, 8)]);
});

test('a ticket older than the one before the newest is refused, and with the floor "released" that one too', () => {
  assert.equal(ask({ point: at(4, 5) }), WireCode.StalePoint);
  assert.notEqual(ask({ point: at(4, 6) }), WireCode.StalePoint);
  assert.equal(ask({ point: at(4, 6), floor: 'released' }), WireCode.StalePoint);
  assert.notEqual(ask({ point: at(4, 7), floor: 'released' }), WireCode.StalePoint);
});

test('a point of a later epoch is newer, whatever its number', () => {
  const record = { ...RECORD, epoch: 6, acknowledged: at(6, 3), newest: at(6, 3) };
  assert.equal(ask({ epoch: 7, point: at(4, 9) }, record), WireCode.StalePoint);
});

test('a check writes nothing', () => {
  assert.equal(ask({ kind: 'check' }), 'granted');
});

test('what has ended stays ended, and a copy left behind can not end it', () => {
  const ended = ask({ kind: 'end', owner: 'copy a', epoch: 4, heldEpoch: 4 }) as FenceRecord;
  assert.equal(ended.ended, true);
  assert.equal(ask({}, ended), WireCode.SessionEnded);
  assert.equal(ask({ kind: 'end' }, ended), 'granted');
  const moved = ask({}) as FenceRecord;
  assert.equal(ask({ kind: 'end', owner: 'copy a', epoch: 4, heldEpoch: 4 }, moved), WireCode.StaleEpoch);
});

test('a question of the owner that a later one has overtaken is granted, and the epoch does not fall', () => {
  const late = ask({
    owner: 'copy a',
    server: 'a',
    heldEpoch: 3,
    epoch: 3,
    point: at(3, 5),
    acknowledged: at(3, 5),
  });
  assert.deepEqual(late, RECORD);
});
