import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interleave } from './interleave.ts';

test('legs take turns, A B A B, and none begins before the last one has ended', async () => {
  const order: string[] = [];
  const leg = (name: 'A' | 'B') => ({
    name,
    run: async (round: number): Promise<string> => {
      order.push(`${name}${round} begins`);
      await Promise.resolve();
      order.push(`${name}${round} ends`);
      return `${name}${round}`;
    },
  });
  const values = await interleave([leg('A'), leg('B')], 3);
  const turns = ['A0', 'B0', 'A1', 'B1', 'A2', 'B2'];
  assert.deepEqual(
    order,
    turns.flatMap((turn) => [`${turn} begins`, `${turn} ends`]),
  );
  assert.deepEqual(values, { A: ['A0', 'A1', 'A2'], B: ['B0', 'B1', 'B2'] });
});

test('a leg that fails ends it all', async () => {
  const ran: string[] = [];
  const failing = {
    name: 'fails',
    run: (round: number): Promise<number> => {
      ran.push(`fails${round}`);
      return Promise.reject(new Error('planted'));
    },
  };
  const other = {
    name: 'other',
    run: (round: number): Promise<number> => {
      ran.push(`other${round}`);
      return Promise.resolve(round);
    },
  };
  await assert.rejects(interleave([other, failing], 3), /planted/);
  assert.deepEqual(ran, ['other0', 'fails0']);
});
