import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError, WireCode } from '../wire/index.ts';
import { Places, type Occupant } from './places.ts';

function newcomer(): Occupant {
  return { place: undefined };
}

function isBusy(error: unknown): boolean {
  assert.ok(error instanceof ProtocolError);
  assert.equal(error.wireCode, WireCode.Busy);
  return error.tryElsewhere;
}

test('places are only so many, in all and for one address, and are free again when they are left', () => {
  const places = Places.ofSessions({ maxSessions: 3, maxSessionsPerAddress: 2 });
  const [first, second, third] = [newcomer(), newcomer(), newcomer()];
  for (const occupant of [first, second]) {
    places.check('a');
    places.take(occupant, 'a');
  }
  assert.throws(() => places.check('a'), isBusy);
  places.check('b');
  places.check('b', 0);
  assert.throws(() => places.check('b', 1), isBusy, 'one is promised');
  places.take(third, 'b');
  assert.throws(() => places.check('c'), isBusy);
  places.leave(first);
  places.leave(first);
  assert.equal(places.size, 2);
  places.check('a');
});

test('who comes from another address takes his place along, whatever is free there', () => {
  const places = Places.ofSessions({ maxSessions: 10, maxSessionsPerAddress: 1 });
  const [first, second] = [newcomer(), newcomer()];
  places.take(first, 'a');
  places.take(second, 'b');
  places.take(first, 'b');
  places.take(first, 'b');
  assert.equal(places.size, 2);
  places.check('a');
  places.leave(second);
  assert.throws(() => places.check('b'), isBusy);
  places.leave(first);
  places.check('b');
  assert.equal(places.size, 0);
});

test('where there is no address, or no limit for one, only all count', () => {
  const places = Places.ofSessions({ maxSessions: 2, maxSessionsPerAddress: 1 });
  const without = [newcomer(), newcomer()] as const;
  for (const occupant of without) {
    places.check(undefined);
    places.take(occupant, undefined);
  }
  assert.throws(() => places.check(undefined), isBusy);
  for (const occupant of without) places.leave(occupant);
  assert.equal(places.size, 0);
  const unlimited = Places.ofSessions({ maxSessions: 5, maxSessionsPerAddress: 0 });
  for (let count = 0; count < 5; count += 1) {
    unlimited.check('a');
    unlimited.take(newcomer(), 'a');
  }
  assert.throws(() => unlimited.check('a'), isBusy);
});

test('a server that takes none takes none, and those that have a place keep it', () => {
  const places = Places.ofSessions({ maxSessions: 10, maxSessionsPerAddress: 10 });
  places.take(newcomer(), 'a');
  places.isClosed = true;
  assert.throws(() => places.check('b'), isBusy);
  assert.equal(places.size, 1);
  places.isClosed = false;
  places.check('b');
});
