import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { until } from '../../../../test/integration/until.ts';
import type { Carrier } from '../carriers/carrier.ts';
import { createMemoryPair } from '../carriers/memory.ts';
import { Trunk } from '../carriers/trunk.ts';
import { Trunks } from './trunks.ts';

test('a connection without channels goes in time, though one that was not let in has come meanwhile', async () => {
  const [near, far] = createMemoryPair();
  const taken: Carrier[] = [];
  const settled: Carrier[] = [];
  let refused = 0;
  const trunks = new Trunks(60_000, {
    isListening: () => true,
    onChannel: (channel) => {
      if (taken.length > 0) return false;
      taken.push(channel);
      return true;
    },
    refused: () => assert.fail('the connection has shown that somebody is behind it'),
    settled: (carrier) => settled.push(carrier),
  });
  const client = new Trunk(near, {
    onEmpty: () => undefined,
    onRefused: () => (refused += 1),
    onClose: () => undefined,
  });
  client.start();
  trunks.accept(far, new Uint8Array(0));
  const first = client.openChannel();
  while (taken[0] === undefined) await turn();
  trunks.settled(taken[0]);
  assert.deepEqual(settled, [far]);
  first.end();
  client.openChannel();
  while (refused === 0) await turn();
  assert.equal(trunks.size, 1);
  await until(() => trunks.size === 0);
});
