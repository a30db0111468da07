import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watchers } from './watchers.ts';

let last = 0;
/** WATCH for so many sessions that nobody watched before. */
function watch(count: number): Parameters<Watchers['update']>[1] {
  const sessionId = (): Uint8Array => {
    const id = new Uint8Array(16);
    new DataView(id.buffer).setUint32(0, ++last);
    return id;
  };
  return { add: Array.from({ length: count }, () => ({ sessionId: sessionId(), epoch: 1 })), remove: [] };
}

const here = (id: number): { id: number; network: string } => ({ id, network: 'here' });

test('the standbys of one address watch only so many sessions together, and others are not touched by it', () => {
  const watchers = new Watchers(3);
  watchers.update(here(1), watch(2));
  assert.throws(() => watchers.update(here(2), watch(2)), { code: 'ERR_GODWIT_LIMIT_EXCEEDED' });
  watchers.dropCarrier(here(2));
  watchers.update({ id: 3, network: 'there' }, watch(3));
  watchers.update({ id: 4, network: undefined }, watch(3));
  watchers.update(here(5), watch(1));
  assert.equal(watchers.all.size, 9);
  assert.throws(() => watchers.update(here(1), watch(1)), { code: 'ERR_GODWIT_LIMIT_EXCEEDED' });
});

test('what is watched no longer counts no longer, and twice the same counts once', () => {
  const watchers = new Watchers(2);
  const two = watch(2);
  watchers.update(here(1), two);
  watchers.update(here(1), two);
  watchers.update(here(1), { add: [], remove: two.add });
  watchers.dropCarrier(here(1));
  watchers.update(here(2), watch(2));
  watchers.dropCarrier(here(2));
  assert.equal(watchers.all.size, 0);
  watchers.update(here(3), watch(2));
});
