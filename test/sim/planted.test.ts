/** What the simulator counts: a byte that is lost, doubled or damaged, in either direction, is each counted as what it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Coverage } from './coverage.ts';
import { drawPlan, type Plan } from './plan.ts';
import { Simulation, requiredCoverage, type RunResult } from './simulation.ts';

const FAULTS = {
  lost: (bytes: Uint8Array, at: number) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]),
  duplicated: (bytes: Uint8Array, at: number) =>
    Buffer.concat([bytes.subarray(0, at + 1), bytes.subarray(at)]),
  corrupt: (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)),
} as const;

/** A client and a server that say a few hundred bytes to each other, both ways, in a world where nothing happens. */
function quietPlan(): Plan {
  for (let seed = 1; ; seed += 1) {
    const plan = drawPlan(seed);
    const [client] = plan.clients;
    if (plan.clients.length > 1 || !client || client.earlyEnd || client.application.earlyEnd) continue;
    const { inputBytes, outputBytes } = client.script;
    if (Math.min(inputBytes, outputBytes) < 300 || client.application.leavesToChance || !plan.isPatient)
      continue;
    return { ...plan, faults: [], isUndisturbed: true };
  }
}

/** Runs with the fault at the 100th byte or behind, in what the client's application reads, or the server's. */
function runWith(fault: keyof typeof FAULTS | undefined, where: 'client' | 'server'): RunResult {
  const simulation = new Simulation(quietPlan());
  let isPlanted = fault === undefined;
  let seen = 0;
  const tamper = (bytes: Uint8Array): Uint8Array => {
    seen += bytes.byteLength;
    const at = Math.max(0, 99 - (seen - bytes.byteLength));
    if (isPlanted || fault === undefined || at >= bytes.byteLength) return bytes;
    isPlanted = true;
    return FAULTS[fault](bytes, at);
  };
  const watched = new Set<object>();
  const watch = (comparer: { push(bytes: Uint8Array): void } | undefined): void => {
    if (!comparer || watched.has(comparer)) return;
    watched.add(comparer);
    const push = comparer.push.bind(comparer);
    comparer.push = (bytes) => push(tamper(bytes));
  };
  simulation.observers.add({
    clientEvent: () => {
      if (where === 'client') for (const client of simulation.clients) watch(client.comparer);
    },
    serverEvent: () => {
      if (where === 'server')
        for (const { application } of simulation.applications) watch(application.comparer);
    },
  });
  const result = simulation.run();
  assert.equal(isPlanted, true, 'it was planted');
  return result;
}

for (const where of ['client', 'server'] as const) {
  for (const fault of ['lost', 'duplicated', 'corrupt'] as const)
    test(`one byte that is ${fault} on its way to the application of the ${where} is counted as that`, () => {
      const { content, violations } = runWith(fault, where);
      assert.deepEqual(content, { lost: 0, duplicated: 0, corrupt: 0, [fault]: 1 });
      assert.deepEqual(
        violations.map(({ checker }) => checker),
        ['I1'],
      );
    });
  test(`nothing is counted where nothing was planted (${where})`, () => {
    const { content, violations } = runWith(undefined, where);
    assert.deepEqual(content, { lost: 0, duplicated: 0, corrupt: 0 });
    assert.deepEqual(violations, []);
  });
}

test('what many seeds never reached is named', () => {
  const all = requiredCoverage();
  const reached = new Coverage();
  for (const [group, rows] of Object.entries(all.counts))
    for (const row of Object.keys(rows)) reached.count(group as keyof typeof all.counts, row);
  assert.ok(all.unreached.length > 100);
  assert.ok(all.unreached.includes('serverTransitions: offered release'));
  const counts = structuredClone(reached.counts);
  delete counts.framesSent['protected'];
  all.add(counts);
  assert.deepEqual(all.unreached, ['framesSent: protected']);
});
