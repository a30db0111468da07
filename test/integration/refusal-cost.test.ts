/** I8: bytes that prove nothing cost about as much as a TLS handshake, in processor time of whoever must refuse them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusals } from '../../bench/figures/refusals.ts';
import { Bench, QUICK } from '../../bench/harness/bench.ts';
import { compilePrograms } from '../../bench/harness/fresh-build.ts';

/**
 * How many handshakes a refusal may cost. From 0.6 to 1.2 were measured, depending on how quick OpenSSL is, and
 * other work on the machine adds to that. The figures themselves are in docs/performance.md and SECURITY.md.
 */
const HANDSHAKES_MAX = 2;

test('refusing a bogus OPEN, MIGRATE, STANDBY or TRIGGER costs no more than a few TLS handshakes', async (t) => {
  await compilePrograms();
  const bench = new Bench({
    name: 'refusals',
    scale: { ...QUICK, pairs: 1, sessions: 800, refusals: 300 },
    log: (line) => t.diagnostic(line),
    // What is tested is the sources.
    nodeOptions: () => ['--conditions=godwit-source'],
  });
  const outcome = await refusals.run(bench);
  assert.ok(!('skipped' in outcome));
  const { handshake, ...bogus } = outcome.cpuUs as Record<string, number>;
  assert.equal(Object.keys(bogus).length, 4);
  for (const [attempt, cpuUs] of Object.entries(bogus))
    assert.ok(
      cpuUs < HANDSHAKES_MAX * (handshake ?? 0),
      `refusing ${attempt} costs ${cpuUs} µs, a handshake ${handshake} µs`,
    );
});
