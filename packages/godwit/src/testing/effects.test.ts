import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EffectStore } from './effects.ts';

test('an effect is done once a key, and whoever does it again gets what was stored', () => {
  const store = new EffectStore();
  const [first, second] = [store.forExecution('5e55', () => true), store.forExecution('5e55', () => true)];
  assert.deepEqual(first.record('5e55:0', { amount: 1 }), { isNew: true, value: { amount: 1 } });
  assert.deepEqual(second.record('5e55:0', { amount: 1 }), { isNew: false, value: { amount: 1 } });
  assert.equal(store.conflict, undefined);
  assert.deepEqual(second.record('5e55:0', { amount: 2 }), { isNew: false, value: { amount: 1 } });
  assert.deepEqual(store.conflict, { key: 'session:0', first: { amount: 1 }, later: { amount: 2 } });
  assert.deepEqual([...store.values], [['session:0', { amount: 1 }]]);
  assert.equal(store.repeats, 2);
});

test('what a dead execution does has never happened', () => {
  const store = new EffectStore();
  let isAlive = true;
  const effects = store.forExecution('5e55', () => isAlive);
  effects.record('a', 1);
  isAlive = false;
  assert.deepEqual(effects.record('b', 2), { isNew: false, value: undefined });
  assert.deepEqual([...store.values.keys()], ['a']);
});
