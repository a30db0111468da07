import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHandler } from 'godwit/testing';
import { placeOrders, takeOrders } from './orders.ts';

test('each order is charged once, and its receipt comes once, wherever the server dies', async () => {
  const orders = ['2 apples', '1 pear', '3 plums'];
  const report = await checkHandler(
    (socket, { effects }) =>
      takeOrders(socket, {
        charge: async (key, order) => `charged for ${effects.record(key, order).value}`,
      }),
    {
      client: async (socket) => {
        const receipts: string[] = [];
        for await (const receipt of placeOrders(socket, orders)) receipts.push(receipt);
        assert.deepEqual(
          receipts,
          orders.map((order) => `${order}: charged for ${order}`),
        );
      },
    },
  );
  assert.deepEqual([...report.effects.values()], orders);
  assert.ok(report.repeatedEffects > 0, 'servers have died between the charge and the receipt');
});
