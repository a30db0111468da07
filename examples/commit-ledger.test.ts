import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHandler } from 'godwit/testing';
import { keepLedger } from './commit-ledger.ts';

test('every deposit is booked once, with one receipt, wherever the server dies', async () => {
  const report = await checkHandler(keepLedger, {
    input: '5\n70\n900\n',
    delivery: 'commit',
    // Receipts are random: all else must be the same in every run.
    normalize: (output) => output.toString().replace(/receipt [0-9a-f-]{36}/g, 'receipt'),
    verify: (output) => {
      const receipts = output.toString().match(/[0-9a-f-]{36}/g);
      assert.equal(new Set(receipts).size, 3);
    },
  });
  assert.match(
    report.output.toString(),
    /^deposit 5: .* balance 5\ndeposit 70: .* balance 75\ndeposit 900: .* balance 975\n$/,
  );
  assert.ok(report.restores > 0);
});
